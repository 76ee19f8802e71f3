#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

namespace zn {
namespace {

TEST(ThreadPool, ParallelForRunsEveryIndexOnce) {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> ran(1000);
  pool.ParallelFor(ran.size(), [&](size_t i) { ++ran[i]; });
  for (const auto& count : ran) EXPECT_EQ(count, 1);
  pool.ParallelFor(0, [](size_t) { FAIL(); });
}

// Encoding a field in parallel calls encoders that are parallel themselves; waiting for each other
// would hang an import.
TEST(ThreadPool, ParallelForMayBeNestedDeeperThanThereAreThreads) {
  ThreadPool pool(2);
  std::atomic<int> leaves = 0;
  pool.ParallelFor(8, [&](size_t) {
    pool.ParallelFor(8, [&](size_t) { pool.ParallelFor(8, [&](size_t) { ++leaves; }); });
  });
  EXPECT_EQ(leaves, 512);
}

TEST(ThreadPool, ParallelForOfSeveralThreadsAtOnce) {
  ThreadPool pool(2);
  std::vector<std::thread> callers;
  std::atomic<int64_t> sum = 0;
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&] {
      for (int round = 0; round < 100; ++round)
        pool.ParallelFor(10, [&](size_t i) { sum += static_cast<int64_t>(i); });
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 100 * 45);
}

TEST(ThreadPool, FinishesWhatWasSubmitted) {
  std::atomic<int> done = 0;
  {
    ThreadPool pool(2);
    for (int i = 0; i < 500; ++i) pool.Submit([&] { ++done; });
  }
  EXPECT_EQ(done, 500);
}

}  // namespace
}  // namespace zn
