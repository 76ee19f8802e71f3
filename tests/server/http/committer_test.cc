// Replies that wait for a sync.
#include "http/committer.h"

#include <gtest/gtest.h>

#include <atomic>

namespace zn::server {
namespace {

TEST(Committer, TellsEachOfItsOwnFate) {
  std::atomic<int> good{0}, bad{0}, order_broken{0}, last{-1};
  {
    Committer committer;
    for (int i = 0; i < 1000; ++i) {
      auto pending = std::make_shared<PendingCommit>();
      pending->Defer([i]() -> Result<> {
        if (i % 10 == 0) return Error{ErrorCode::kNoSpace, "full"};
        return {};
      });
      committer.Wait(pending, [&, i](Result<> done) {
        (done ? good : bad)++;
        if (last.exchange(i) >= i) ++order_broken;
      });
    }
  }  // ends only when all are told
  EXPECT_EQ(good, 900);
  EXPECT_EQ(bad, 100);
  EXPECT_EQ(order_broken, 0);
}

}  // namespace
}  // namespace zn::server
