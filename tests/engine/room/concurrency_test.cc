// Many threads at once: writers of one room and of several, an import, readers that hold snapshots, a follower.

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "engine/room/room_model.h"
#include "support/temp_dir.h"
#include "zn/engine/store.h"

namespace zn {
namespace {

/// Both fields of a frame always carry the same number: a reader who finds two has seen half a commit.
FrameBatch Frames(const std::vector<double>& values) {
  FrameBatch batch;
  std::vector<double> positions;
  for (const double value : values) {
    batch.n_atoms.push_back(2);
    positions.insert(positions.end(), 6, value);
  }
  Column p;
  p.name = "arrays.positions";
  p.kind = FieldKind::kAtom;
  p.inner = Shape{3};
  p.data = Buffer::Own(positions);
  Column e;
  e.name = "calc.energy";
  e.data = Buffer::Own(values);
  batch.columns = {p, e};
  return batch;
}

double First(const Row& row) {
  double value;
  std::memcpy(&value, row.bytes.data(), sizeof value);
  return value;
}

TEST(Concurrency, ReadersNeverSeeHalfACommit) {
  TempDir dir;
  StoreOptions options;
  options.create = true;
  auto store = *Store::Open(dir.path() + "/s", options);
  auto room = *store->CreateRoom("r", {}, {});
  constexpr int kWriters = 4, kReaders = 3, kEdits = 60;
  ASSERT_TRUE(room->Append(Frames(std::vector<double>(kWriters * 4, 0.0)), {}));

  std::atomic<bool> done{false};
  std::atomic<int64_t> acknowledged[kWriters] = {};
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      for (int i = 1; i <= kEdits; ++i) {
        const FrameId id = w * 4 + i % 4;
        const auto info = room->Edit(id, Frames({static_cast<double>(i)}), {}, {"w", ""}, {});
        EXPECT_TRUE(info) << info.error().message;
        acknowledged[w].store(i);
        if (i % 20 == 0) EXPECT_TRUE(room->Append(Frames({1.0, 2.0}), {}));
      }
    });
  }
  threads.emplace_back([&] {
    auto appender = store->CreateRoomByImport("import", {}, "", {});
    ASSERT_TRUE(appender);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE((*appender)->Append(Frames(std::vector<double>(100, i))));
    ASSERT_TRUE((*appender)->Finish({}));
  });
  threads.emplace_back([&] {
    while (!done) EXPECT_TRUE(room->Compact(10));
  });
  std::vector<std::thread> readers;
  for (int r = 0; r < kReaders; ++r) {
    readers.emplace_back([&, r] {
      uint64_t generation = 0;
      while (!done) {
        const int64_t before = acknowledged[r].load();
        const Snapshot head = room->Head();
        EXPECT_GE(head.commit().generation, generation);
        generation = head.commit().generation;
        const auto p = *head.FindField("arrays.positions");
        const auto e = *head.FindField("calc.energy");
        int64_t newest = 0;
        for (FrameId id = r * 4; id < r * 4 + 4; ++id) {
          auto positions = head.ReadRow(p, id);
          auto energy = head.ReadRow(e, id);
          ASSERT_TRUE(positions && *positions && energy && *energy);
          EXPECT_EQ(First(**positions), First(**energy));
          if (const auto resident = head.ReadResidentRow(p, id)) {
            EXPECT_EQ(First(*resident), First(**energy));
          }
          newest = std::max(newest, static_cast<int64_t>(First(**energy)));
        }
        EXPECT_GE(newest, before) << "what was acknowledged is seen by every later reader";
      }
    });
  }
  // A reader as another process would be one.
  std::thread follower([&] {
    StoreOptions follow;
    follow.read_only = true;
    auto reader = Store::Open(dir.path() + "/s", follow);
    ASSERT_TRUE(reader) << reader.error().message;
    while (!done) {
      const auto refreshed = (*reader)->Refresh();
      EXPECT_TRUE(refreshed) << refreshed.error().message;
      auto followed = (*reader)->OpenRoom("r");
      ASSERT_TRUE(followed);
      const auto head = (*followed)->HeadOrError();
      ASSERT_TRUE(head) << head.error().message;
      if (head->frames() == 0) continue;
      auto row = head->ReadRow(*head->FindField("calc.energy"), 0);
      EXPECT_TRUE(row) << row.error().message;
    }
    EXPECT_TRUE((*reader)->Refresh());
    auto followed = (*reader)->OpenRoom("r");
    EXPECT_EQ((*followed)->Head().commit(), room->Head().commit());
    EXPECT_EQ((*followed)->Append(Frames({1}), {}).error().code, ErrorCode::kReadOnly);
  });
  for (size_t i = 0; i + 1 < threads.size(); ++i) threads[i].join();
  done = true;
  threads.back().join();
  for (std::thread& reader : readers) reader.join();
  follower.join();

  for (int w = 0; w < kWriters; ++w) {
    const Snapshot head = room->Head();
    uint32_t versions = 0;
    for (FrameId id = w * 4; id < w * 4 + 4; ++id) versions += *head.VersionOf(id) - 1;
    EXPECT_EQ(versions, static_cast<uint32_t>(kEdits));
  }
  EXPECT_EQ(room->Head().frames(), kWriters * 4 + kWriters * (kEdits / 20) * 2);
  EXPECT_EQ((*store->OpenRoom("import"))->Head().frames(), 5000);
}

}  // namespace
}  // namespace zn
