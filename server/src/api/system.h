// What operators ask: is it alive, is it ready, how is it doing, which version.
#pragma once

#include "api/router.h"

namespace zn::server {

Answer<Reply> GetHealth(const Call& call);
/// A real read: the list of rooms, and a row of the first room that has frames.
Answer<Reply> GetReady(const Call& call);
/// Prometheus' text format.
Answer<Reply> GetMetrics(const Call& call);
Answer<Reply> GetVersion(const Call& call);

}  // namespace zn::server
