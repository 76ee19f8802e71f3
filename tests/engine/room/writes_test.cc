// What the HTTP front needs of a room besides plain edits: placement, copies by reference, retries, deferred commits,
// the room's own lock.
#include <gtest/gtest.h>

#include <thread>

#include "support/temp_dir.h"
#include "zn/engine/store.h"

namespace zn {
namespace {

const CommitContext kMe{"me", ""};

/// Frames of `sizes` atoms: arrays.x (float32, offset + frame * 10 + atom), info.name; bonds (ragged) of `frame` rows.
FrameBatch Frames(const std::vector<int32_t>& sizes, float offset = 0) {
  FrameBatch batch;
  batch.n_atoms = sizes;
  std::vector<float> x;
  std::vector<int64_t> pairs;
  Column name, bonds;
  for (size_t f = 0; f < sizes.size(); ++f) {
    for (int32_t a = 0; a < sizes[f]; ++a) x.push_back(offset + static_cast<float>(f) * 10 + static_cast<float>(a));
    name.text.push_back("\"" + std::to_string(offset) + "/" + std::to_string(f) + "\"");
    bonds.lengths.push_back(static_cast<int64_t>(f));
    for (size_t k = 0; k < f; ++k) pairs.insert(pairs.end(), {static_cast<int64_t>(k), static_cast<int64_t>(f)});
  }
  batch.columns.push_back({"arrays.x", FieldKind::kAtom, DType::kFloat32, Shape{}, Buffer::Own(x)});
  name.name = "info.name";
  name.dtype = DType::kJson;
  batch.columns.push_back(name);
  bonds.name = "connectivity";
  bonds.kind = FieldKind::kRagged;
  bonds.dtype = DType::kInt64;
  bonds.inner = Shape{2};
  bonds.data = Buffer::Own(pairs);
  batch.columns.push_back(bonds);
  return batch;
}

class WritesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    StoreOptions options;
    options.create = true;
    auto store = Store::Open(directory_.path() + "/store", options);
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
    room_ = *store_->CreateRoom("a", {}, kMe);
    ASSERT_TRUE(room_->Append(Frames({2, 3, 1, 4}), kMe));
  }
  std::vector<FrameId> Ids(const Room& room) {
    const Snapshot head = room.Head();
    return *head.IdsAt(0, head.frames());
  }
  static void ExpectSameFrame(const Snapshot& a, FrameId id_a, const Snapshot& b, FrameId id_b) {
    auto hash_a = a.HashFrame(id_a), hash_b = b.HashFrame(id_b);
    ASSERT_TRUE(hash_a && hash_b);
    EXPECT_EQ(hash_a->Hex(), hash_b->Hex());
  }

  TempDir directory_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<Room> room_;
};

TEST_F(WritesTest, InsertsBeforeAnIdWhereverItStands) {
  const FrameId third = Ids(*room_)[2];
  ASSERT_TRUE(room_->Insert(0, Frames({1}), kMe));  // shifts it
  Placement place;
  place.before_id = third;
  auto made = room_->Add(Frames({1, 1}, 100), place, kMe);
  ASSERT_TRUE(made) << made.error().message;
  const auto ids = Ids(*room_);
  EXPECT_EQ(ids[3], made->ids[0]);
  EXPECT_EQ(ids[4], made->ids[1]);
  EXPECT_EQ(ids[5], third);
  place.before_id = 99;
  EXPECT_EQ(room_->Add(Frames({1}), place, kMe).error().code, ErrorCode::kNotFound);
}

TEST_F(WritesTest, CopiesFramesByReference) {
  auto other = *store_->CreateRoom("b", {}, kMe);
  ASSERT_TRUE(other->Append(Frames({5}, 1000), kMe));
  const auto bytes_before = store_->stats().pack_bytes_written;
  const Snapshot source = room_->Head();
  const auto ids = Ids(*room_);
  Placement place;
  place.before = 0;
  // Order and repetition are the caller's.
  auto made = other->CopyFrames(source, std::vector<FrameId>{ids[3], ids[0], ids[1], ids[1]}, place, kMe);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->frames, 5);
  EXPECT_EQ(store_->stats().pack_bytes_written, bytes_before);
  const Snapshot head = other->Head();
  const auto now = Ids(*other);
  ExpectSameFrame(head, now[0], source, ids[3]);
  ExpectSameFrame(head, now[1], source, ids[0]);
  ExpectSameFrame(head, now[2], source, ids[1]);
  ExpectSameFrame(head, now[3], source, ids[1]);
  EXPECT_EQ(*head.AtomCount(now[4]), 5);
  // The copy is a frame of its own.
  FrameBatch change;
  change.n_atoms = {4};
  change.columns.push_back(
      {"arrays.x", FieldKind::kAtom, DType::kFloat32, Shape{}, Buffer::Own(std::vector<float>{9, 9, 9, 9})});
  ASSERT_TRUE(other->Edit(now[0], change, {}, kMe));
  EXPECT_NE(other->Head().HashFrame(now[0])->Hex(), source.HashFrame(ids[3])->Hex());
  EXPECT_EQ(room_->Head().HashFrame(ids[3])->Hex(), source.HashFrame(ids[3])->Hex());
}

TEST_F(WritesTest, CopiesIntoARoomWithoutFieldsAndManyRuns) {
  ASSERT_TRUE(room_->Append(Frames(std::vector<int32_t>(300, 2), 7), kMe));
  auto empty = *store_->CreateRoom("c", {}, kMe);
  const Snapshot source = room_->Head();
  auto ids = Ids(*room_);
  std::vector<FrameId> every_other;
  for (size_t i = 0; i < ids.size(); i += 2) every_other.push_back(ids[ids.size() - 1 - i]);  // backwards: a run each
  auto made = empty->CopyFrames(source, every_other, {}, kMe);
  ASSERT_TRUE(made) << made.error().message;
  const Snapshot head = empty->Head();
  ASSERT_EQ(head.frames(), static_cast<int64_t>(every_other.size()));
  for (size_t i = 0; i < every_other.size(); i += 37)
    ExpectSameFrame(head, made->ids[i], source, every_other[i]);
}

TEST_F(WritesTest, CopyRefusesAFieldOfAnotherShape) {
  auto other = *store_->CreateRoom("d", {}, kMe);
  FrameBatch batch;
  batch.n_atoms = {1};
  batch.columns.push_back(
      {"arrays.x", FieldKind::kAtom, DType::kFloat32, Shape{3}, Buffer::Own(std::vector<float>{1, 2, 3})});
  ASSERT_TRUE(other->Append(batch, kMe));
  EXPECT_EQ(other->CopyFrames(room_->Head(), Ids(*room_), {}, kMe).error().code, ErrorCode::kTypeMismatch);
}

TEST_F(WritesTest, ARetryOfWhatIsThereIsNoConflict) {
  const FrameId id = Ids(*room_)[0];
  FrameBatch change;
  change.n_atoms = {2};
  change.columns.push_back({"arrays.x", FieldKind::kAtom, DType::kFloat32, Shape{}, Buffer::Own(std::vector<float>{5, 6})});
  ASSERT_TRUE(room_->Edit(id, change, {}, kMe, {1}));
  auto again = room_->Edit(id, change, {}, kMe, {1});
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_FALSE(again->changed);
  EXPECT_EQ(again->versions[0], 2u);
  change.columns[0].data = Buffer::Own(std::vector<float>{7, 8});
  EXPECT_EQ(room_->Edit(id, change, {}, kMe, {1}).error().code, ErrorCode::kConflict);
  EXPECT_EQ(*room_->Head().VersionOf(id), 2u);
}

TEST_F(WritesTest, DeleteAndRestoreCheckWhatTheyAreBasedOn) {
  const FrameId id = Ids(*room_)[1];
  const CommitId before = room_->Head().commit();
  const BaseVersion stale{7}, right{1};
  EXPECT_EQ(room_->Delete({&id, 1}, kMe, {}, {&stale, 1}).error().code, ErrorCode::kConflict);
  ASSERT_TRUE(room_->Delete({&id, 1}, kMe, {}, {&right, 1}));
  EXPECT_EQ(room_->Restore(before, kMe, before).error().code, ErrorCode::kConflict);
  ASSERT_TRUE(room_->Restore(before, kMe, room_->Head().commit()));
  EXPECT_EQ(room_->Head().frames(), 4);
}

TEST_F(WritesTest, DeferredCommitsShareASyncAndShowWhenTheyAreWaitedFor) {
  const auto groups = store_->stats().groups;
  CommitContext context = kMe;
  context.pending = std::make_shared<PendingCommit>();
  for (int i = 0; i < 50; ++i) {
    auto made = room_->Append(Frames({1}, static_cast<float>(i)), context);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->frames, 5 + i);
  }
  EXPECT_EQ(room_->Head().frames(), 4);  // nobody has been told yet
  ASSERT_TRUE(context.pending->Wait());
  EXPECT_EQ(room_->Head().frames(), 54);
  EXPECT_EQ(store_->stats().groups, groups + 1);
  EXPECT_TRUE(context.pending->Wait());  // nothing is left
}

TEST_F(WritesTest, ALockedRoomChangesOnlyItsModel) {
  RoomModel model;
  model.locked = true;
  ASSERT_TRUE(room_->SetModel(model, kMe));
  EXPECT_EQ(room_->Append(Frames({1}), kMe).error().code, ErrorCode::kReadOnly);
  const FrameId id = Ids(*room_)[0];
  EXPECT_EQ(room_->Delete({&id, 1}, kMe).error().code, ErrorCode::kReadOnly);
  EXPECT_TRUE(store_->ForkRoom("a", {}, "fork", kMe));
  store_.reset();
  StoreOptions options;
  store_ = *Store::Open(directory_.path() + "/store", options);
  room_ = *store_->OpenRoom("a");
  EXPECT_EQ(room_->Append(Frames({1}), kMe).error().code, ErrorCode::kReadOnly);
  ASSERT_TRUE(room_->UpdateModel([](const RoomModel& old) {
    EXPECT_TRUE(old.locked);
    RoomModel open = old;
    open.locked = false;
    return Result<RoomModel>(open);
  }, kMe));
  EXPECT_TRUE(room_->Append(Frames({1}), kMe));
}

TEST_F(WritesTest, ConcurrentModelUpdatesLoseNothing) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i)
        ASSERT_TRUE(room_->UpdateModel([](const RoomModel& old) {
          RoomModel longer = old;
          longer.description += 'x';
          return Result<RoomModel>(longer);
        }, kMe));
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(room_->info().model.description.size(), 100u);
}

}  // namespace
}  // namespace zn
