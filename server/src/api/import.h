// Files uploaded to be imported, and the jobs that do it.
#pragma once

#include "api/router.h"

namespace zn::server {

Answer<Reply> PostImport(const Call& call);
Answer<Reply> ListJobs(const Call& call);
Answer<Reply> GetJob(const Call& call);
Answer<Reply> DeleteJob(const Call& call);

}  // namespace zn::server
