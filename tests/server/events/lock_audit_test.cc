// What the audit log says of locks: an admin who asks who held what would otherwise be told too
// little, or drown in it.
#include "events/lock_audit.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/temp_dir.h"

namespace zn::server {
namespace {

using nlohmann::json;

class LockAuditTest : public ::testing::Test {
 protected:
  void SetUp() override {
    StoreOptions options;
    options.create = true;
    options.background_maintenance = false;
    auto store = Store::Open(directory_.path() + "/store", options);
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
  }
  void Take(LockTarget target, const std::string& holder, const std::string& fence) {
    LockInfo lock;
    lock.target = target;
    lock.holder = {holder, ""};
    lock.fence = fence;
    audit_.Note(room_, target, &lock, 1'000'000'000);
  }
  void End(LockTarget target) { audit_.Note(room_, target, nullptr, 2'000'000'000); }
  std::vector<json> Lines() {
    const auto read = store_->records().Audit("md", 0, 10'000);
    EXPECT_TRUE(read);
    std::vector<json> lines;
    for (const AuditLine& line : *read) lines.push_back(json::parse(line.line));
    return lines;
  }

  TempDir directory_;
  std::unique_ptr<Store> store_;
  LockAudit audit_;
  const RoomKey room_{7, "md"};
};

TEST_F(LockAuditTest, TellsWhoTookAndLostButNotWhoRefreshed) {
  Take(LockTarget::Frame(3), "ann", "1.1");
  Take(LockTarget::Frame(3), "ann", "1.1");
  End(LockTarget::Frame(3));
  End(LockTarget::Frame(3));
  Take(LockTarget::Meta(), "ben", "1.2");
  Take(LockTarget::Meta(), "cat", "1.3");  // by force
  ASSERT_TRUE(audit_.Flush(*store_, 1000));
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0]["target"], "frame:id:3");
  EXPECT_EQ(lines[0]["key"], "acquired");
  EXPECT_EQ(lines[0]["old"], nullptr);
  EXPECT_EQ(lines[0]["new"], "ann");
  EXPECT_EQ(lines[1]["key"], "ended");
  EXPECT_EQ(lines[1]["actor"], "ann");
  EXPECT_EQ(lines[1]["old"], "ann");
  EXPECT_EQ(lines[1]["new"], nullptr);
  EXPECT_EQ(lines[3]["actor"], "cat");
  EXPECT_EQ(lines[3]["old"], "ben");
}

TEST_F(LockAuditTest, WritesAtMostEveryInterval) {
  Take(LockTarget::Meta(), "ann", "1.1");
  ASSERT_TRUE(audit_.Flush(*store_, 1000));
  End(LockTarget::Meta());
  ASSERT_TRUE(audit_.Flush(*store_, 1000 + LockAudit::kFlushEveryMs - 1));
  EXPECT_EQ(Lines().size(), 1u);
  ASSERT_TRUE(audit_.Flush(*store_, 1000 + LockAudit::kFlushEveryMs));
  EXPECT_EQ(Lines().size(), 2u);
  Take(LockTarget::Meta(), "ann", "1.2");
  ASSERT_TRUE(audit_.Flush(*store_, 0, true)) << "at the stop, whatever the time";
  EXPECT_EQ(Lines().size(), 3u);
}

TEST_F(LockAuditTest, ABurstIsCountedNotWritten) {
  for (int i = 0; i < 1000; ++i) {
    Take(LockTarget::Frame(i), "ann", std::to_string(i));
    End(LockTarget::Frame(i));
  }
  ASSERT_TRUE(audit_.Flush(*store_, 1000));
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), LockAudit::kMaxLines + 1);
  EXPECT_EQ(lines.back()["key"], "more");
  EXPECT_EQ(lines.back()["new"]["omitted"], 2000 - LockAudit::kMaxLines);
  ASSERT_TRUE(audit_.Flush(*store_, 2000));
  EXPECT_EQ(Lines().size(), LockAudit::kMaxLines + 1);
}

}  // namespace
}  // namespace zn::server
