// What the store tells its listener: if it fails, somebody's picture of a room misses a change or has it in another order.

#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <thread>

#include "engine/room/room_model.h"
#include "support/temp_dir.h"
#include "zn/engine/store.h"

namespace zn {
namespace {

struct Told {
  RoomChange::Kind kind;
  std::string room;
  uint64_t incarnation;
  Operation operation;
  CommitId before, after;
  CommitInfo info;
  RoomModel model_before, model_after;
  std::string actor;
};

class Listening : public testing::Test {
 protected:
  Listening() {
    StoreOptions options;
    options.create = true;
    options.threads = 1;
    options.background_maintenance = false;
    auto store = Store::Open(dir_.path() + "/s", options);
    EXPECT_TRUE(store);
    store_ = std::move(*store);
    store_->SetListener([this](const RoomChange& change) {
      const std::lock_guard lock(mutex_);
      told_.push_back({change.kind, change.room, change.incarnation, change.operation,
                       change.before ? change.before.commit() : CommitId(), change.after.commit(), change.info,
                       change.model_before, change.model_after, change.context.actor});
    });
  }
  static FrameBatch OneFrame(char c) { return model::ToBatch({model::Content{1, {{"calc.energy", std::string(8, c)}}}}); }

  TempDir dir_;
  std::unique_ptr<Store> store_;
  std::mutex mutex_;
  std::vector<Told> told_;
};

TEST_F(Listening, IsToldOfEverythingThatHappensToARoom) {
  auto room = store_->CreateRoom("r", {"first", false, false, ""}, {"ann", "", {}});
  ASSERT_TRUE((*room)->Append(OneFrame('a'), {"ben", "", {}}));
  ASSERT_FALSE((*room)->Edit(0, OneFrame('b'), {}, {}, {7})) << "a conflict: nobody is told";
  ASSERT_TRUE((*room)->Edit(0, OneFrame('a'), {}, {})) << "no change: nobody is told";
  ASSERT_TRUE((*room)->Edit(0, OneFrame('b'), {}, {}));
  ASSERT_TRUE((*room)->SetModel({"second", false, true, ""}, {"cat", "", {}}));
  ASSERT_TRUE((*room)->Append(OneFrame('c'), {}));
  ASSERT_TRUE(store_->ForkRoom("r", {}, "fork", {}));
  auto import = store_->CreateRoomByImport("imported", {}, "", {});
  ASSERT_TRUE((*import)->Append(OneFrame('d')));
  ASSERT_TRUE((*import)->Finish({}));
  ASSERT_TRUE(store_->DeleteRoom("r", {"dan", "", {}}));
  ASSERT_TRUE(store_->CreateRoom("r", {}, {}));

  using Kind = RoomChange::Kind;
  const std::vector<std::tuple<std::string, Kind, Operation>> expected = {
      {"r", Kind::kCreated, Operation::kCreate},   {"r", Kind::kCommit, Operation::kAppend},
      {"r", Kind::kCommit, Operation::kEdit},      {"r", Kind::kModel, Operation::kEdit},
      {"r", Kind::kCommit, Operation::kAppend},    {"fork", Kind::kCreated, Operation::kFork},
      {"imported", Kind::kCreated, Operation::kImport}, {"r", Kind::kDeleted, Operation::kDelete},
      {"r", Kind::kCreated, Operation::kCreate}};
  ASSERT_EQ(told_.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(std::tuple(told_[i].room, told_[i].kind, told_[i].operation), expected[i]) << i;
  EXPECT_EQ(told_[0].before, CommitId());
  EXPECT_EQ(told_[0].actor, "ann");
  EXPECT_EQ(told_[1].actor, "ben");
  EXPECT_EQ(told_[1].before, told_[0].after);
  EXPECT_EQ(told_[1].info.commit, told_[1].after);
  EXPECT_EQ(told_[1].info.ids, std::vector<FrameId>{0});
  EXPECT_EQ(told_[2].info.versions, std::vector<uint32_t>{2});
  EXPECT_LT(told_[1].info.position, told_[2].info.position);
  EXPECT_EQ(told_[3].model_before.description, "first");
  EXPECT_EQ(told_[3].model_after.description, "second");
  EXPECT_EQ(told_[3].after, told_[3].before);
  EXPECT_EQ(told_[4].model_before.description, "second");
  EXPECT_EQ(told_[7].incarnation, told_[0].incarnation);
  EXPECT_NE(told_[8].incarnation, told_[0].incarnation);
}

TEST_F(Listening, IsToldInOrderBeforeTheWriterGoesOn) {
  auto room = store_->CreateRoom("r", {}, {});
  ASSERT_TRUE((*room)->Append(OneFrame('a'), {}));
  std::vector<std::thread> threads;
  for (int n = 0; n < 8; ++n) {
    threads.emplace_back([&, n] {
      for (int i = 0; i < 20; ++i) {
        Result<CommitInfo> info = CommitInfo();
        if (n == 0) {
          EXPECT_TRUE((*room)->SetModel({std::to_string(i), false, false, ""}, {}));
          continue;
        }
        info = (*room)->Append(OneFrame('x'), {});
        ASSERT_TRUE(info);
        const std::lock_guard lock(mutex_);
        const bool told = std::any_of(told_.begin(), told_.end(), [&](const Told& t) { return t.after == info->commit; });
        EXPECT_TRUE(told) << "the writer goes on, and the listener does not know";
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_EQ(told_.size(), 2u + 7 * 20 + 20);
  std::string description;
  for (size_t i = 1; i < told_.size(); ++i) {
    EXPECT_EQ(told_[i].before, told_[i - 1].after) << i;
    EXPECT_LE(told_[i - 1].info.position, told_[i].info.position) << i;
    EXPECT_EQ(told_[i].model_before, told_[i - 1].model_after);
  }
  EXPECT_EQ(told_.back().after, (*room)->Head().commit());
  EXPECT_EQ(told_.back().model_after, (*room)->info().model);
}

}  // namespace
}  // namespace zn
