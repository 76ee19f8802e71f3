#include "http/rate_limit.h"

#include <gtest/gtest.h>

namespace zn::server {
namespace {

TEST(RateLimiter, TakesABurstThenTheRate) {
  RateLimiter limiter({.per_second = 10, .burst = 3});
  const uint64_t ann = limiter.KeyOf("ann");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.Take(ann, 1000), 0);
  EXPECT_EQ(limiter.Take(ann, 1000), 100);
  EXPECT_EQ(limiter.Take(ann, 1040), 60) << "asking too early costs nothing";
  EXPECT_EQ(limiter.Take(ann, 1100), 0);
  EXPECT_GT(limiter.Take(ann, 1100), 0);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(limiter.Take(ann, 9000), 0) << "it fills up again, to the burst";
  EXPECT_GT(limiter.Take(ann, 9000), 0);
}

TEST(RateLimiter, ClientsHaveBucketsOfTheirOwn) {
  RateLimiter limiter({.per_second = 1, .burst = 1});
  EXPECT_EQ(limiter.Take(limiter.KeyOf("ann"), 0), 0);
  EXPECT_EQ(limiter.Take(limiter.KeyOf("ben"), 0), 0);
  EXPECT_GT(limiter.Wait(limiter.KeyOf("ann"), 0), 0);
  EXPECT_EQ(limiter.Wait(limiter.KeyOf("cat"), 0), 0);
  EXPECT_EQ(limiter.Take(limiter.KeyOf("cat"), 0), 0) << "Wait took nothing";
}

TEST(RateLimiter, AnIpv6NetworkIsOneClient) {
  RateLimiter limiter({.per_second = 1, .burst = 1});
  PeerAddress a, b, c;
  a.bytes = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 9};
  b.bytes = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 7};
  c.bytes = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, 9};
  EXPECT_EQ(limiter.KeyOf(a), limiter.KeyOf(b));
  EXPECT_NE(limiter.KeyOf(a), limiter.KeyOf(c));
  const PeerAddress one = PeerAddress::V4({127, 0, 0, 1}), two = PeerAddress::V4({127, 0, 0, 2});
  EXPECT_NE(limiter.KeyOf(one), limiter.KeyOf(two));
}

TEST(RateLimiter, MemoryIsBoundedAndTheBusiestAreRemembered) {
  RateLimiter limiter({.per_second = 1, .burst = 2});
  for (int i = 0; i < 2; ++i) ASSERT_EQ(limiter.Take(limiter.KeyOf("busy"), 0), 0);
  for (int i = 0; i < 300'000; ++i)
    ASSERT_EQ(limiter.Take(limiter.KeyOf("client " + std::to_string(i)), 0), 0);
  EXPECT_LE(limiter.clients(), size_t{16 * 4096});
  EXPECT_GT(limiter.Wait(limiter.KeyOf("busy"), 0), 0)
      << "a flood of others must not free who is out of requests";
}

TEST(RateLimiter, NoneWithoutALimit) {
  RateLimiter limiter({});
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(limiter.Take(1, 0), 0);
  EXPECT_EQ(limiter.clients(), 0u);
}

}  // namespace
}  // namespace zn::server
