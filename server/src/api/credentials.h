// Sessions and tokens over HTTP. What they are is in control/access.h.
#pragma once

#include "api/router.h"

namespace zn::server {

Answer<Reply> PostLogin(const Call& call);
Answer<Reply> ListAllTokens(const Call& call);
Answer<Reply> PostToken(const Call& call);
Answer<Reply> DeleteToken(const Call& call);

}  // namespace zn::server
