// The commit protocol on a disk that fails: every write and every sync of a workload is, once each, the last thing that
// happens, or the one that fails; what was not synced is lost, torn or reordered. Whatever was acknowledged before must
// be there afterwards, whole; whatever was not must be there wholly or not at all.

#include <gtest/gtest.h>

#include <cstring>

#include "base/memory_file_system.h"
#include "engine/room/room_model.h"
#include "room/open_store.h"
#include "support/temp_dir.h"

namespace zn {
namespace {

using Crash = MemoryFileSystem::Crash;

/// A room as a reader sees it.
struct Picture {
  std::vector<FrameId> order;
  std::vector<model::Content> contents;
  std::vector<uint32_t> versions;
  friend bool operator==(const Picture&, const Picture&) = default;
};
/// A store: room name -> picture, and its control records.
struct Gallery {
  std::map<std::string, Picture> rooms;
  std::map<std::string, std::string> records;
  friend bool operator==(const Gallery&, const Gallery&) = default;
};

Picture Look(Room& room) {
  Picture picture;
  const Snapshot head = room.Head();
  EXPECT_TRUE(head);
  if (!head) return picture;
  auto ids = head.IdsAt(0, head.frames());
  EXPECT_TRUE(ids) << ids.error().message;
  picture.order = *ids;
  std::vector<FieldIndex> fields(head.fields().size());
  for (size_t i = 0; i < fields.size(); ++i) fields[i] = static_cast<FieldIndex>(i);
  auto batch = head.Read(picture.order, fields);
  EXPECT_TRUE(batch) << batch.error().message;
  if (!batch) return picture;
  for (size_t i = 0; i < picture.order.size(); ++i) {
    picture.contents.push_back(model::FromBatch(*batch, i));
    picture.versions.push_back(*head.VersionOf(picture.order[i]));
  }
  return picture;
}

Gallery Look(Store& store) {
  Gallery gallery;
  for (const RoomInfo& info : store.ListRooms()) gallery.rooms[info.name] = Look(**store.OpenRoom(info.name));
  const auto records = store.records().Scan("", "", SIZE_MAX);
  EXPECT_TRUE(records) << records.error().message;
  if (records)
    for (const Record& record : *records) gallery.records[record.key] = record.value;
  return gallery;
}

Result<std::unique_ptr<Store>> Open(const std::shared_ptr<MemoryFileSystem>& disk, const std::string& directory) {
  StoreOptions options;
  options.create = true;
  options.threads = 1;
  options.background_maintenance = false;
  options.clock = [] { return int64_t{7}; };
  return internal::OpenStoreOn(disk, directory, options, {.after = 4, .nodes_per_op = 1, .most_ops = 40});
}

/// One change after another, each acknowledged before the next. Calls `acknowledged` with what a reader sees after each,
/// and stops at the first error. `attempted` is set to what the change under way leads to, where it is known.
template <class Acknowledged>
void Work(Store& store, uint64_t seed, Acknowledged acknowledged) {
  model::Random random(seed);
  const auto frames = [&](int n) {
    std::vector<model::Content> contents;
    for (int i = 0; i < n; ++i) contents.push_back(model::RandomContent(random));
    return model::ToBatch(contents);
  };
  // With every change comes a record of it, large ones too; what is made of change and record must be whole.
  int change = 0;
  CommitContext with_record;
  with_record.also = [&](RecordTransaction& records, const CommitInfo& made) -> Result<> {
    ++change;
    ZN_RETURN_IF_ERROR(records.Put("newest", made.commit.ToString()));
    ZN_RETURN_IF_ERROR(records.Put("change" + std::to_string(change % 4), std::string(change % 3 == 0 ? 2000 : 20, 'c')));
    if (change % 5 == 0) ZN_RETURN_IF_ERROR(records.Erase("change1"));
    return records.AppendAudit("r", "change " + std::to_string(change));
  };
  auto room = store.CreateRoom("r", {}, with_record);
  if (!room) return;
  acknowledged(store);
  Room& r = **room;
  if (!r.Append(frames(4), with_record)) return;
  acknowledged(store);
  if (!store.Update([](RecordTransaction& t) { return t.Put("alone", "1"); })) return;
  acknowledged(store);
  {
    // Chunks that go to a pack, in a room that appears with them.
    auto appender = store.CreateRoomByImport("bulk", {}, "", {});
    if (!appender) return;
    for (int i = 0; i < 5; ++i)
      if (!(*appender)->Append(frames(20))) return;
    if (!(*appender)->Finish(with_record)) return;
  }
  acknowledged(store);
  for (int i = 0; i < 6; ++i) {
    const Snapshot head = r.Head();
    const FrameId id = *head.IdAt(model::Pick(random, head.frames()));
    Result<CommitInfo> info = CommitInfo();
    switch (i) {
      case 0: info = r.Replace(id, frames(1), with_record, {}); break;
      case 1: info = r.Insert(1, frames(2), with_record, {}); break;
      case 2: info = r.Delete(std::span(&id, 1), with_record, {}); break;
      case 3: info = r.Replace(id, frames(1), with_record, {}); break;
      case 4: info = r.Undo(id, with_record, {}); break;
      default: info = r.Move(0, 2, 1, with_record); break;
    }
    if (!info && info.error().code != ErrorCode::kOutOfRange) return;
    acknowledged(store);
  }
  if (!store.ForkRoom("r", {}, "fork", with_record)) return;
  acknowledged(store);
  if (!store.DeleteRoom("bulk", with_record)) return;
  acknowledged(store);
}

/// All states that a reader may find: those after each change of the undisturbed workload.
std::vector<Gallery> UndisturbedStates(const std::string& directory, uint64_t seed, int64_t& operations) {
  std::vector<Gallery> states(1);
  const auto disk = std::make_shared<MemoryFileSystem>();
  auto store = Open(disk, directory);
  EXPECT_TRUE(store) << store.error().message;
  Work(**store, seed, [&](Store& s) { states.push_back(Look(s)); });
  operations = disk->operations();
  return states;
}

void CheckAfter(const std::shared_ptr<MemoryFileSystem>& disk, const std::string& directory,
                const std::vector<Gallery>& states, size_t acknowledged, const std::string& what) {
  auto store = Open(disk, directory);
  ASSERT_TRUE(store) << what << ": " << store.error().message;
  const Gallery found = Look(**store);
  // The state last acknowledged, or the one that was on its way.
  const bool whole = found == states[acknowledged] ||
                     (acknowledged + 1 < states.size() && found == states[acknowledged + 1]);
  ASSERT_TRUE(whole) << what << ": what is found is no state after change " << acknowledged << " or the one after";
  // And the store goes on.
  auto room = (*store)->CreateRoom("after", {}, {});
  ASSERT_TRUE(room) << what << ": " << room.error().message;
  ASSERT_TRUE((*room)->Append(model::ToBatch({model::Content{1, {{"calc.energy", std::string(8, 'x')}}}}), {}));
}

TEST(CommitProtocol, EveryOperationMayBeTheLast) {
  TempDir dir;
  const std::string directory = dir.path() + "/s";
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    int64_t operations = 0;
    const std::vector<Gallery> states = UndisturbedStates(directory, seed, operations);
    ASSERT_GT(operations, 30);
    ASSERT_EQ(states.size(), 13u);
    for (int64_t nth = 0; nth < operations; ++nth) {
      const auto disk = std::make_shared<MemoryFileSystem>();
      disk->FailFrom(nth);
      size_t acknowledged = 0;
      if (auto store = Open(disk, directory)) Work(**store, seed, [&](Store&) { ++acknowledged; });
      for (const Crash crash : {Crash::kRestart, Crash::kLost, Crash::kTorn, Crash::kReordered}) {
        ASSERT_NO_FATAL_FAILURE(CheckAfter(disk->AfterCrash(crash, seed * 1000 + static_cast<uint64_t>(nth)), directory,
                                           states, acknowledged,
                                           "seed " + std::to_string(seed) + ", operation " + std::to_string(nth) +
                                               ", crash " + std::to_string(static_cast<int>(crash))));
      }
    }
  }
}

TEST(CommitProtocol, OneFailedWriteOrSyncLosesNothingAcknowledged) {
  TempDir dir;
  const std::string directory = dir.path() + "/s";
  int64_t operations = 0;
  const std::vector<Gallery> states = UndisturbedStates(directory, 9, operations);
  for (const auto kind : {MemoryFileSystem::Operation::kWrite, MemoryFileSystem::Operation::kSync}) {
    for (const ErrorCode code : {ErrorCode::kIo, ErrorCode::kNoSpace}) {
      for (int64_t nth = 0; nth < operations; ++nth) {
        const auto disk = std::make_shared<MemoryFileSystem>();
        disk->FailOnce(kind, nth, code);
        size_t acknowledged = 0;
        if (auto store = Open(disk, directory)) Work(**store, 9, [&](Store&) { ++acknowledged; });
        for (const Crash crash : {Crash::kRestart, Crash::kReordered}) {
          ASSERT_NO_FATAL_FAILURE(CheckAfter(disk->AfterCrash(crash, static_cast<uint64_t>(nth)), directory, states,
                                             acknowledged, "operation " + std::to_string(nth)));
        }
      }
    }
  }
}

TEST(CommitProtocol, AfterAFailedSyncNothingMoreIsAcknowledged) {
  TempDir dir;
  const auto disk = std::make_shared<MemoryFileSystem>();
  auto store = Open(disk, dir.path() + "/s");
  ASSERT_TRUE(store);
  auto room = (*store)->CreateRoom("r", {}, {});
  ASSERT_TRUE(room);
  const auto one = model::ToBatch({model::Content{1, {}}});
  ASSERT_TRUE((*room)->Append(one, {}));
  disk->FailOnce(MemoryFileSystem::Operation::kSync, 0);
  ASSERT_FALSE((*room)->Append(one, {}));
  const auto refused = (*room)->Append(one, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ((*room)->Head().frames(), 1) << "what was not acknowledged is not visible";
}

}  // namespace
}  // namespace zn
