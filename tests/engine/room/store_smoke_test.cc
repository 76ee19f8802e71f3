// A user's first minutes with a store: if these fail, nothing else matters.

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "support/temp_dir.h"
#include "zn/engine/store.h"

namespace zn {
namespace {

/// Frames with the given atom counts: positions count upwards, energies are the frame's number.
FrameBatch MakeBatch(const std::vector<int32_t>& n_atoms, double first_energy = 0) {
  FrameBatch batch;
  batch.n_atoms = n_atoms;
  std::vector<double> positions, energies;
  double next = 0;
  for (size_t i = 0; i < n_atoms.size(); ++i) {
    for (int k = 0; k < 3 * n_atoms[i]; ++k) positions.push_back(next++);
    energies.push_back(first_energy + static_cast<double>(i));
  }
  Column p;
  p.name = "arrays.positions";
  p.kind = FieldKind::kAtom;
  p.inner = Shape{3};
  p.data = Buffer::Own(positions);
  Column e;
  e.name = "calc.energy";
  e.data = Buffer::Own(energies);
  batch.columns = {p, e};
  return batch;
}

template <class T>
std::vector<T> Values(const Buffer& buffer) {
  std::vector<T> values(buffer.size() / sizeof(T));
  std::memcpy(values.data(), buffer.data(), buffer.size());
  return values;
}

std::unique_ptr<Store> OpenStore(const std::string& directory, bool create = true) {
  StoreOptions options;
  options.create = create;
  auto store = Store::Open(directory, options);
  EXPECT_TRUE(store.has_value()) << (store ? "" : store.error().message);
  return store ? std::move(*store) : nullptr;
}

TEST(StoreSmoke, WhatWasAppendedIsReadBackAfterReopening) {
  TempDir dir;
  {
    auto store = OpenStore(dir.path() + "/s");
    auto room = store->CreateRoom("water", {}, {});
    ASSERT_TRUE(room) << room.error().message;
    auto made = (*room)->Append(MakeBatch({3, 0, 5}), {"ann", "first"});
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->ids, (std::vector<FrameId>{0, 1, 2}));
  }
  auto store = OpenStore(dir.path() + "/s", false);
  ASSERT_TRUE(store);
  auto room = store->OpenRoom("water");
  ASSERT_TRUE(room);
  const Snapshot head = (*room)->Head();
  ASSERT_EQ(head.frames(), 3);
  const auto field = head.FindField("arrays.positions");
  ASSERT_TRUE(field);
  auto row = head.ReadRow(*field, 2);
  ASSERT_TRUE(row && *row) << (row ? "" : row.error().message);
  EXPECT_EQ((*row)->shape, (Shape{5, 3}));
  EXPECT_EQ(Values<double>((*row)->bytes)[0], 9.0);
  auto batch = head.Read(std::vector<FrameId>{2, 0, 1}, std::vector<FieldIndex>{0, 1});
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_EQ(batch->n_atoms, (std::vector<int32_t>{5, 3, 0}));
  EXPECT_EQ(Values<double>(batch->columns[1].data), (std::vector<double>{2, 0, 1}));
}

// Whoever plays a trajectory from the beginning should wait for one chunk, not for each.
TEST(StoreSmoke, ChunksAheadOfASequentialReaderAreDecoded) {
  TempDir dir;
  constexpr int64_t kFrames = 2000, kAtoms = 500;
  {
    auto store = OpenStore(dir.path() + "/s");
    auto appender = store->CreateRoomByImport("r", {}, "", {});
    ASSERT_TRUE(appender) << appender.error().message;
    FrameBatch batch;
    batch.n_atoms.assign(kFrames, kAtoms);
    std::vector<float> values(kFrames * kAtoms * 3);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 9973) * 0.37f;
    Column column;
    column.name = "arrays.positions";
    column.kind = FieldKind::kAtom;
    column.dtype = DType::kFloat32;
    column.inner = {3};
    column.data = Buffer::Own(std::move(values));
    batch.columns.push_back(std::move(column));
    ASSERT_TRUE((*appender)->Append(batch));
    ASSERT_TRUE((*appender)->Finish({}));
  }
  auto store = OpenStore(dir.path() + "/s", false);
  const Snapshot head = (*store->OpenRoom("r"))->Head();
  const auto field = *head.FindField("arrays.positions");
  const auto rows = head.fields()[field].geometries.front().frames_per_chunk;
  ASSERT_GE(kFrames / rows, 5);
  const auto is_resident = [&](FrameId id) { return head.ReadResidentRow(field, id).has_value(); };
  ASSERT_TRUE(head.ReadRow(field, 0));
  EXPECT_FALSE(is_resident(2 * rows)) << "one chunk is no order";
  ASSERT_TRUE(head.ReadRow(field, rows));
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!(is_resident(2 * rows) && is_resident(3 * rows)) && std::chrono::steady_clock::now() < patience)
    std::this_thread::yield();
  EXPECT_TRUE(is_resident(2 * rows));
  EXPECT_TRUE(is_resident(3 * rows));
  auto row = head.ReadRow(field, 2 * rows + 1);
  ASSERT_TRUE(row && *row);
  EXPECT_EQ(Values<float>((*row)->bytes)[7], static_cast<float>(((2 * rows + 1) * kAtoms * 3 + 7) % 9973) * 0.37f);
}

TEST(StoreSmoke, ABulkAppendMakesItsRoomOnlyAtTheEnd) {
  TempDir dir;
  auto store = OpenStore(dir.path() + "/s");
  {
    auto appender = store->CreateRoomByImport("big", {}, "", {});
    ASSERT_TRUE(appender);
    for (int i = 0; i < 20; ++i)
      ASSERT_TRUE((*appender)->Append(MakeBatch(std::vector<int32_t>(500, 7 + i % 3), i * 500)));
    EXPECT_FALSE(store->OpenRoom("big"));
    auto made = (*appender)->Finish({"ann", ""});
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->frames, 10000);
  }
  auto room = store->OpenRoom("big");
  ASSERT_TRUE(room);
  const Snapshot head = (*room)->Head();
  for (const FrameId id : {0, 499, 500, 5000, 9999}) {
    auto row = head.ReadRow(*head.FindField("calc.energy"), id);
    ASSERT_TRUE(row && *row);
    EXPECT_EQ(Values<double>((*row)->bytes)[0], static_cast<double>(id));
    auto positions = head.ReadRow(*head.FindField("arrays.positions"), id);
    ASSERT_TRUE(positions && *positions);
    EXPECT_EQ((*positions)->shape[0], 7 + (id / 500) % 3);
  }
}

TEST(StoreSmoke, EditsMakeVersionsThatUndoAndRedoWalk) {
  TempDir dir;
  auto store = OpenStore(dir.path() + "/s");
  auto room = *store->CreateRoom("r", {}, {});
  ASSERT_TRUE(room->Append(MakeBatch({2, 2, 2}), {}));
  const auto energy_of = [&](FrameId id) {
    const Snapshot head = room->Head();
    auto row = head.ReadRow(*head.FindField("calc.energy"), id);
    return row && *row ? Values<double>((*row)->bytes)[0] : -1.0;
  };
  FrameBatch change;
  change.n_atoms = {2};
  Column e;
  e.name = "calc.energy";
  e.data = Buffer::Own(std::vector<double>{42.0});
  change.columns = {e};
  auto edited = room->Edit(1, change, {}, {"bob", ""}, {1});
  ASSERT_TRUE(edited) << edited.error().message;
  EXPECT_EQ(edited->versions, std::vector<uint32_t>{2});
  EXPECT_EQ(energy_of(1), 42.0);
  // The same again changes nothing, whatever it is based on; another value on an old base is a conflict.
  for (const BaseVersion base : {BaseVersion(), BaseVersion(1)}) {
    auto same = room->Edit(1, change, {}, {}, base);
    ASSERT_TRUE(same) << same.error().message;
    EXPECT_FALSE(same->changed);
  }
  FrameBatch other = change;
  other.columns[0].data = Buffer::Own(std::vector<double>{43.0});
  const auto stale = room->Edit(1, other, {}, {}, {1});
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().code, ErrorCode::kConflict);
  auto undone = room->Undo(1, {}, {});
  ASSERT_TRUE(undone) << undone.error().message;
  EXPECT_EQ(undone->versions, std::vector<uint32_t>{3});
  EXPECT_EQ(energy_of(1), 1.0);
  EXPECT_EQ(room->Undo(1, {}, {}).error().code, ErrorCode::kOutOfRange);
  ASSERT_TRUE(room->Redo(1, {}, {}));
  EXPECT_EQ(energy_of(1), 42.0);
  // Old versions stay readable.
  const Snapshot head = room->Head();
  auto old = head.ReadVersion(1, 1, std::vector<FieldIndex>{*head.FindField("calc.energy")});
  ASSERT_TRUE(old) << old.error().message;
  EXPECT_EQ(Values<double>(old->columns[0].data)[0], 1.0);
}

TEST(StoreSmoke, AForkIsIndependent) {
  TempDir dir;
  auto store = OpenStore(dir.path() + "/s");
  auto room = *store->CreateRoom("r", {}, {});
  ASSERT_TRUE(room->Append(MakeBatch({2, 2, 2}), {}));
  auto fork = store->ForkRoom("r", {}, "f", {});
  ASSERT_TRUE(fork) << fork.error().message;
  ASSERT_TRUE((*fork)->Delete(std::vector<FrameId>{1}, {}, {}));
  EXPECT_EQ((*fork)->Head().frames(), 2);
  EXPECT_EQ(room->Head().frames(), 3);
  EXPECT_EQ(*(*fork)->Head().IdAt(1), 2);
}

TEST(StoreSmoke, AnOpeningThatFailsHalfwayLosesNothing) {
  TempDir dir;
  const std::string packs = dir.path() + "/s/packs";
  {
    auto store = OpenStore(dir.path() + "/s");
    auto room = *store->CreateRoom("r", {}, {});
    ASSERT_TRUE(room->Append(MakeBatch({2, 2, 2}), {}));
  }
  // The log is open by the time that the packs cannot be.
  std::filesystem::rename(packs, packs + ".elsewhere");
  std::ofstream(packs) << "not a directory";
  ASSERT_FALSE(Store::Open(dir.path() + "/s", {}));
  std::filesystem::remove(packs);
  std::filesystem::rename(packs + ".elsewhere", packs);
  auto store = OpenStore(dir.path() + "/s", false);
  auto room = store->OpenRoom("r");
  ASSERT_TRUE(room) << room.error().message;
}

TEST(StoreSmoke, ASecondWriterIsToldWhoHasTheStore) {
  TempDir dir;
  auto store = OpenStore(dir.path() + "/s");
  auto second = Store::Open(dir.path() + "/s", {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
}

}  // namespace
}  // namespace zn
