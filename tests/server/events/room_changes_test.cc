// Events as they follow from what is done to a store.
#include "events/room_changes.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "server/api/test_store.h"
#include "server/support/fake_loop.h"

namespace zn::server {
namespace {

using nlohmann::json;

class RoomChangesTest : public ::testing::Test, public Follower {
 protected:
  void SetUp() override {
    StoreOptions options;
    options.create = true;
    options.background_maintenance = false;
    auto store = Store::Open(directory_.path() + "/store", options);
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
    store_->SetListener([this](const RoomChange& change) { PublishRoomChange(&hub_, change); });
    auto room = store_->CreateRoom("md", {}, {"ann", ""});
    ASSERT_TRUE(room);
    room_ = *room;
    ASSERT_TRUE(room_->Append(Molecules({2, 3, 1, 5, 2, 4}), {"ann", ""}));
    (void)hub_.Follow(loop_, "md", std::nullopt, this);
  }
  void OnEvent(const EventRef& event) override {
    json data = json::parse(event->data());
    EXPECT_EQ(data["roomId"], event->room());
    data.erase("roomId");
    data.erase("position");
    data["event"] = event->name();
    heard_.push_back(std::move(data));
  }
  /// What was heard since the last call; members that all share are checked and left out.
  std::vector<json> Heard() {
    loop_.Run();
    auto head = room_->HeadOrError();
    for (json& event : heard_) {
      if (event.contains("commit")) EXPECT_EQ(event["commit"], head->commit().ToString());
      event.erase("commit");
      if (event["event"] != "room:update") EXPECT_EQ(event["actor"], "ben") << event;
      event.erase("actor");
    }
    return std::exchange(heard_, {});
  }
  FrameId Id(int64_t position) { return *room_->HeadOrError()->IdAt(position); }
  FrameBatch Energy(double value, const std::vector<FrameId>& ids) {
    FrameBatch batch;
    auto head = room_->HeadOrError();
    for (FrameId id : ids) batch.n_atoms.push_back(*head->AtomCount(id));
    Column column;
    column.name = "calc.energy";
    column.data = Buffer::Own(std::vector<double>(ids.size(), value));
    batch.columns.push_back(std::move(column));
    return batch;
  }

  const CommitContext ben_{"ben", ""};
  TempDir directory_;
  EventHub hub_;
  FakeLoop loop_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<Room> room_;
  std::vector<json> heard_;
};

using Events = std::vector<json>;

TEST_F(RoomChangesTest, AppendedFramesInvalidateAndTheRoomGrows) {
  ASSERT_TRUE(room_->Append(Molecules({1, 1}), ben_));
  EXPECT_EQ(Heard(), (Events{{{"event", "frames:invalidate"},
                              {"operation", "append"},
                              {"from", 6},
                              {"count", 2},
                              {"frameCount", 8}},
                             {{"event", "room:update"}, {"frameCount", 8}}}));
}

TEST_F(RoomChangesTest, InsertedFramesSayWhere) {
  ASSERT_TRUE(room_->Insert(1, Molecules({1, 1}), ben_));
  EXPECT_EQ(Heard()[0], (json{{"event", "frames:invalidate"},
                              {"operation", "insert"},
                              {"from", 1},
                              {"count", 2},
                              {"frameCount", 8}}));
}

// Applied one after the other, the events must take away the frames that went, and no others.
TEST_F(RoomChangesTest, DeletedRunsComeLastFirst) {
  const std::vector<FrameId> ids{Id(4), Id(0), Id(1), Id(3)};
  ASSERT_TRUE(room_->Delete(ids, ben_));
  auto heard = Heard();
  ASSERT_EQ(heard.size(), 3u);
  std::vector<int> frames{0, 1, 2, 3, 4, 5};
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(heard[i]["operation"], "delete");
    const int from = heard[i]["from"], count = heard[i]["count"];
    frames.erase(frames.begin() + from, frames.begin() + from + count);
  }
  EXPECT_EQ(frames, (std::vector<int>{2, 5}));
}

TEST_F(RoomChangesTest, EditsUndoAndRedoNameFrameVersionAndFields) {
  const FrameId id = Id(2);
  for (int step = 0; step < 3; ++step) {
    auto done = step == 0   ? room_->Edit(id, Energy(7.5, {id}), {}, ben_)
                : step == 1 ? room_->Undo(id, ben_)
                            : room_->Redo(id, ben_);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(Heard(), (Events{{{"event", "frame_updated"},
                                {"frame", 2},
                                {"id", id},
                                {"version", 2 + step},
                                {"fields", {"calc.energy"}}}}))
        << step;
  }
}

TEST_F(RoomChangesTest, AnEditThatChangesNothingIsSilent) {
  const FrameId id = Id(2);
  ASSERT_TRUE(room_->Edit(id, Energy(7.5, {id}), {}, ben_));
  Heard();
  ASSERT_TRUE(room_->Edit(id, Energy(7.5, {id}), {}, ben_));
  EXPECT_EQ(Heard(), Events{});
}

TEST_F(RoomChangesTest, ManyFramesAtOnceAreOneReset) {
  ASSERT_TRUE(room_->Append(Molecules(std::vector<int32_t>(200, 1)), ben_));
  Heard();
  auto head = room_->HeadOrError();
  auto ids = head->IdsAt(0, 101);
  ASSERT_TRUE(room_->EditMany(*ids, Energy(1.25, *ids), {}, ben_));
  auto heard = Heard();
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0]["operation"], "reset");
  ids = head->IdsAt(0, 100);
  ASSERT_TRUE(room_->EditMany(*ids, Energy(2.5, *ids), {}, ben_));
  EXPECT_EQ(Heard().size(), 100u);
}

TEST_F(RoomChangesTest, RestoreAndMoveInvalidateEverything) {
  auto before = room_->HeadOrError()->commit();
  ASSERT_TRUE(room_->Move(0, 2, 3, ben_));
  EXPECT_EQ(Heard(), (Events{{{"event", "frames:invalidate"},
                              {"operation", "reset"},
                              {"from", 0},
                              {"count", 6},
                              {"frameCount", 6}}}));
  ASSERT_TRUE(room_->Restore(before, ben_));
  EXPECT_EQ(Heard()[0]["operation"], "reset");
}

TEST_F(RoomChangesTest, MaintenanceIsSilent) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(room_->Append(Molecules({3}), ben_));
  loop_.Run();
  heard_.clear();
  ASSERT_TRUE(room_->Compact(100));
  EXPECT_EQ(Heard(), Events{});
}

TEST_F(RoomChangesTest, ModelsSayWhatChanged) {
  RoomModel model = room_->info().model;
  model.description = "water";
  model.metadata = "{\"not\":\"in events\"}";
  ASSERT_TRUE(room_->SetModel(model, ben_));
  EXPECT_EQ(Heard(), (Events{{{"event", "room:update"}, {"description", "water"}}}));
  model.metadata = "{}";
  ASSERT_TRUE(room_->SetModel(model, ben_));
  EXPECT_EQ(Heard(), Events{}) << "metadata alone is in no event";
}

TEST_F(RoomChangesTest, RoomsComeAndGoInTheOverview) {
  Heard();
  hub_.Unfollow(loop_, "md", this);
  (void)hub_.Follow(loop_, kOverview, std::nullopt, this);
  ASSERT_TRUE(store_->ForkRoom("md", std::nullopt, "fork", ben_));
  ASSERT_TRUE(store_->DeleteRoom("fork", ben_));
  loop_.Run();
  ASSERT_EQ(heard_.size(), 2u);
  EXPECT_EQ(heard_[0]["event"], "room:update");
  EXPECT_EQ(heard_[0]["created"], true);
  EXPECT_EQ(heard_[0]["frameCount"], 6);
  EXPECT_EQ(heard_[1]["event"], "room:delete");
}

// What Zn-Position promises: read it, then take the snapshot, and nothing falls between.
TEST_F(RoomChangesTest, AnEventIsOutNoEarlierThanItsCommitIsVisible) {
  hub_.Unfollow(loop_, "md", this);
  const FrameId id = Id(1);
  const uint64_t first = hub_.position("md").sequence;
  const uint32_t version = *room_->HeadOrError()->VersionOf(id);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i) EXPECT_TRUE(room_->Edit(id, Energy(i, {id}), {}, ben_));
    stop = true;
  });
  while (!stop) {
    const uint64_t events = hub_.position("md").sequence - first;
    EXPECT_GE(*room_->HeadOrError()->VersionOf(id), version + events);
  }
  writer.join();
}

}  // namespace
}  // namespace zn::server
