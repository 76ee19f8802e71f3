#include "http/rate_limit.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

namespace zn::server {
namespace {

uint64_t Mix(uint64_t seed, std::string_view bytes) {
  uint64_t hash = seed ^ std::hash<std::string_view>()(bytes);
  hash *= 0x9e3779b97f4a7c15ull;
  return hash ^ (hash >> 29);
}

uint64_t RandomSeed() {
  std::random_device random;
  return static_cast<uint64_t>(random()) << 32 | random();
}

}  // namespace

RateLimiter::RateLimiter(const RateLimit& limit)
    : limit_{limit.per_second, std::max(1.0, limit.burst)}, seed_(RandomSeed()) {}

int64_t RateLimiter::Take(uint64_t key, int64_t now_ms) { return Ask(key, now_ms, true); }
int64_t RateLimiter::Wait(uint64_t key, int64_t now_ms) { return Ask(key, now_ms, false); }

uint64_t RateLimiter::KeyOf(std::string_view token) const { return Mix(seed_, token); }

uint64_t RateLimiter::KeyOf(const PeerAddress& address) const {
  const size_t size = address.is_v4() ? address.bytes.size() : address.bytes.size() / 2;
  return Mix(~seed_, {reinterpret_cast<const char*>(address.bytes.data()), size});
}

double RateLimiter::LeftNow(const Bucket& bucket, int64_t now_ms) const {
  const double filled =
      static_cast<double>(std::max<int64_t>(0, now_ms - bucket.at_ms)) / 1000 * limit_.per_second;
  return std::min(limit_.burst, bucket.left + filled);
}

int64_t RateLimiter::Ask(uint64_t key, int64_t now_ms, bool take) {
  if (limit_.per_second <= 0) return 0;
  Shard& shard = shards_[key % kShards];
  std::lock_guard lock(shard.mutex);
  const auto found = shard.buckets.find(key);
  const double left = found == shard.buckets.end() ? limit_.burst : LeftNow(found->second, now_ms);
  if (left < 1)
    return std::max<int64_t>(1, std::llround(std::ceil((1 - left) / limit_.per_second * 1000)));
  if (!take) return 0;
  if (found != shard.buckets.end()) {
    found->second = {left - 1, std::max(now_ms, found->second.at_ms)};
    return 0;
  }
  if (shard.buckets.size() >= kMaxBuckets) Forget(shard, now_ms);
  shard.buckets.emplace(key, Bucket{left - 1, now_ms});
  return 0;
}

void RateLimiter::Forget(Shard& shard, int64_t now_ms) {
  std::erase_if(shard.buckets,
                [&](const auto& item) { return LeftNow(item.second, now_ms) >= limit_.burst; });
  if (shard.buckets.size() < kMaxBuckets / 2) return;
  std::vector<double> left;
  left.reserve(shard.buckets.size());
  for (const auto& [key, bucket] : shard.buckets) left.push_back(LeftNow(bucket, now_ms));
  const auto median = left.begin() + static_cast<std::ptrdiff_t>(left.size() / 2);
  std::nth_element(left.begin(), median, left.end());
  // Those at the median may be all of them: half are enough.
  size_t goes = left.size() / 2;
  std::erase_if(shard.buckets, [&, least = *median](const auto& item) {
    return goes > 0 && LeftNow(item.second, now_ms) >= least && goes-- > 0;
  });
}

size_t RateLimiter::clients() const {
  size_t total = 0;
  for (const Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    total += shard.buckets.size();
  }
  return total;
}

}  // namespace zn::server
