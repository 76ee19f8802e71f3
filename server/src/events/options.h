// What followers of events are granted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace zn::server {

struct FollowOptions {
  /// Bytes that may wait for a client that does not read. One that lets more pile up is dropped and
  /// told why, so that it costs no memory; it resumes from where it was.
  size_t max_unsent = 1 << 20;
  int64_t heartbeat_ms = 15000;  // of Server-Sent Events: a comment, to find dead connections
};

}  // namespace zn::server
