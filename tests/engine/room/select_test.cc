// Exports of some frames and fields read through Snapshot::Select: a wrong frame there is a wrong
// frame in every file.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstring>

#include "support/temp_dir.h"
#include "zn/engine/store.h"

namespace zn {
namespace {

// `count` frames whose energies are their ids, of 1, 2 or 3 atoms; in chunks of a few, moved about.
struct MovedRoom {
  TempDir dir;
  std::unique_ptr<Store> store;
  Snapshot head;

  MovedRoom() {
    StoreOptions options;
    options.create = true;
    store = std::move(*Store::Open(dir.path() + "/s", options));
    auto room = *store->CreateRoom("r", {}, {});
    for (int part = 0; part < 5; ++part) {
      FrameBatch batch;
      std::vector<double> energies;
      std::vector<int32_t> tags;
      for (int f = 0; f < 8; ++f) {
        const int id = part * 8 + f;
        batch.n_atoms.push_back(id % 3 + 1);
        energies.push_back(id);
        for (int a = 0; a <= id % 3; ++a) tags.push_back(id * 10 + a);
      }
      Column energy, tag;
      energy.name = "calc.energy";
      energy.data = Buffer::Own(energies);
      tag.name = "arrays.tags";
      tag.kind = FieldKind::kAtom;
      tag.dtype = DType::kInt32;
      tag.data = Buffer::Own(tags);
      batch.columns = {energy, tag};
      EXPECT_TRUE(room->Append(batch, {}));
    }
    EXPECT_TRUE(room->Move(30, 5, 2, {}));
    const std::vector<FrameId> gone = {7, 12};
    EXPECT_TRUE(room->Delete(gone, {}));
    head = room->Head();
  }
};

std::vector<FrameId> Ids(const Snapshot& snapshot) {
  auto ids = snapshot.IdsAt(0, snapshot.frames());
  EXPECT_TRUE(ids);
  return ids ? *ids : std::vector<FrameId>();
}

TEST(SnapshotSelect, HasTheFramesInTheOrderAsked) {
  MovedRoom room;
  const std::vector<FrameId> all = Ids(room.head);
  const std::vector<FieldIndex> fields = {0, 1};
  EXPECT_TRUE(rc::check([&] {
    std::vector<PositionRun> runs;
    std::vector<FrameId> want;
    for (int i = *rc::gen::inRange(0, 5); i > 0; --i) {
      PositionRun run;
      run.begin = *rc::gen::inRange<int64_t>(0, 38);
      run.step = *rc::gen::inRange<int64_t>(-3, 4);
      const int64_t room_left = run.step > 0   ? (37 - run.begin) / run.step + 1
                                : run.step < 0 ? run.begin / -run.step + 1
                                               : 4;
      run.count = *rc::gen::inRange<int64_t>(0, room_left + 1);
      for (int64_t k = 0; k < run.count; ++k) want.push_back(all[static_cast<size_t>(run.at(k))]);
      runs.push_back(run);
    }
    auto selected = room.head.Select(runs, fields);
    RC_ASSERT(selected.has_value());
    RC_ASSERT(selected->frames() == static_cast<int64_t>(want.size()));
    RC_ASSERT(Ids(*selected) == want);
    auto batch = selected->Read(Ids(*selected), fields);
    RC_ASSERT(batch.has_value());
    for (size_t f = 0; f < want.size(); ++f) {
      double energy;
      std::memcpy(&energy, batch->columns[0].data.data() + f * sizeof energy, sizeof energy);
      RC_ASSERT(energy == static_cast<double>(want[f]));
      RC_ASSERT(batch->n_atoms[f] == want[f] % 3 + 1);
    }
  }));
}

TEST(SnapshotSelect, HasOnlyTheFieldsAsked) {
  MovedRoom room;
  const FieldIndex tags = *room.head.FindField("arrays.tags");
  const PositionRun all{0, room.head.frames(), 1};
  auto selected = room.head.Select(std::span(&all, 1), std::span(&tags, 1));
  ASSERT_TRUE(selected) << selected.error().message;
  ASSERT_EQ(selected->fields().size(), 1u);
  EXPECT_EQ(selected->fields()[0].name, "arrays.tags");
  EXPECT_FALSE(selected->FindField("calc.energy"));
  auto row = selected->ReadRow(0, Ids(*selected)[1]);
  ASSERT_TRUE(row && *row);
  EXPECT_EQ(*selected->CountPresent(0), room.head.frames());
}

TEST(SnapshotSelect, RefusesPositionsBeyondTheRoom) {
  MovedRoom room;
  for (const PositionRun run : {PositionRun{37, 2, 1}, PositionRun{-1, 1, 1}, PositionRun{3, 5, -1},
                                PositionRun{38, 1, 7}}) {
    auto selected = room.head.Select(std::span(&run, 1), {});
    ASSERT_FALSE(selected);
    EXPECT_EQ(selected.error().code, ErrorCode::kOutOfRange);
  }
}

}  // namespace
}  // namespace zn
