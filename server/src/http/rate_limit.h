// Token buckets by client: how often each may ask.
//
// A bucket holds `burst` requests and fills by `per_second`. Clients that have not asked for as
// long as theirs takes to fill are forgotten, so memory follows the clients of the last seconds,
// and is bounded: of very many at once the ones that asked least are forgotten first.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "http/request.h"

namespace zn::server {

struct RateLimit {
  double per_second = 0;  // 0: no limit
  double burst = 0;
};

/// Thread-safe.
class RateLimiter {
 public:
  explicit RateLimiter(const RateLimit& limit);

  /// Takes one from the key's bucket: 0; or, when it is empty, takes nothing and tells in how many
  /// milliseconds there is one. Keys are those of one limiter.
  int64_t Take(uint64_t key, int64_t now_ms);
  /// The same without taking one.
  int64_t Wait(uint64_t key, int64_t now_ms);

  /// What stands for the holder of a token, or for an address (of IPv6 its /64: a network is one
  /// client). Seeded, so that nobody can choose to share another's.
  uint64_t KeyOf(std::string_view token) const;
  uint64_t KeyOf(const PeerAddress& address) const;

  size_t clients() const;

 private:
  struct Bucket {
    double left;
    int64_t at_ms;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<uint64_t, Bucket> buckets;  // guarded by mutex
  };
  static constexpr size_t kShards = 16, kMaxBuckets = 4096;  // of a shard: some 4 MiB in all
  int64_t Ask(uint64_t key, int64_t now_ms, bool take);
  double LeftNow(const Bucket& bucket, int64_t now_ms) const;
  void Forget(Shard& shard, int64_t now_ms);  // REQUIRES: its mutex

  const RateLimit limit_;
  const uint64_t seed_;
  std::array<Shard, kShards> shards_;
};

}  // namespace zn::server
