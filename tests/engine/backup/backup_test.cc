// What a user would lose if a backup were not a true one: stores that are restored are those that
// were backed up, bit for bit, with every room, version and record.
#include "zn/engine/backup.h"

#include <gtest/gtest.h>

#include "backup_support.h"
#include "base/file.h"
#include "support/temp_dir.h"

namespace zn {
namespace {

using namespace backup_test;

/// Two rooms, one forked from the other, with edits, an undo and deleted frames; chunks in packs
/// and in the log; records.
void FillStore(Store& store) {
  auto room = store.CreateRoom("md", {}, {});
  ASSERT_TRUE(room);
  {
    auto appender = (*room)->StartBulkAppend({});
    ASSERT_TRUE(appender);
    ASSERT_TRUE((*appender)->Append(MakeBatch(120, 700, 1)));
    ASSERT_TRUE((*appender)->Finish({"ann", "import"}));
  }
  for (const FrameId id : {3, 50, 51, 119})
    ASSERT_TRUE(
        (*room)->Edit(id, MakeBatch(1, 700, 100 + static_cast<uint64_t>(id)), {}, {"bob", "edit"}));
  ASSERT_TRUE((*room)->Undo(50, {"bob", "undo"}));
  ASSERT_TRUE((*room)->Delete(std::vector<FrameId>{7, 8}, {"bob", "delete"}));
  ASSERT_TRUE(store.ForkRoom("md", {}, "branch", {}));
  ASSERT_TRUE(store.Update([](RecordTransaction& records) -> Result<> {
    ZN_RETURN_IF_ERROR(records.Put("fence", "12"));
    return records.AppendAudit("md", "a line");
  }));
}

class BackupTest : public ::testing::TestWithParam<bool> {
 protected:
  std::optional<std::string> password() const {
    return GetParam() ? std::optional<std::string>("secret") : std::nullopt;
  }
  std::string Path(const std::string& name) const { return dir_.path() + "/" + name; }
  TempDir dir_;
};
INSTANTIATE_TEST_SUITE_P(PlainAndEncrypted, BackupTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Encrypted" : "Plain"; });

TEST_P(BackupTest, RestoresWhatWasBackedUpWhileTheStoreIsOpen) {
  auto store = OpenStore(Path("store"));
  FillStore(*store);
  auto repository = MakeRepository(Path("repository"), password());
  auto snapshot = repository->Backup(Path("store"), {}, {});
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  EXPECT_EQ(snapshot->damaged, 0u);
  EXPECT_EQ(snapshot->store, store->uuid());
  const Contents then = ContentsOf(*store);

  auto restored = repository->Restore(snapshot->id, Path("restored"), {}, {});
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(Damage(Path("restored")), std::vector<std::string>{});
  EXPECT_EQ(ContentsAt(Path("restored")), then);
}

TEST_P(BackupTest, ARestoredStoreTakesNoFenceOfTheOneThatWasLost) {
  uint64_t epoch_then;
  std::string uuid;
  {
    auto store = OpenStore(Path("store"));
    FillStore(*store);
    uuid = store->uuid();
  }
  auto repository = MakeRepository(Path("repository"), password());
  auto snapshot = repository->Backup(Path("store"), {}, {});
  ASSERT_TRUE(snapshot);
  for (int i = 0; i < 3; ++i)
    epoch_then = OpenStore(Path("store"))->epoch();  // it goes on after the backup
  ASSERT_TRUE(repository->Restore(snapshot->id, Path("restored"), {}, {}));
  RestoreOptions same;
  same.keep_id = true;
  ASSERT_TRUE(repository->Restore(snapshot->id, Path("same"), same, {}));
  auto restored = OpenStore(Path("restored"));
  EXPECT_GT(restored->epoch(), epoch_then + 1000);
  EXPECT_NE(restored->uuid(), uuid);
  EXPECT_EQ(OpenStore(Path("same"))->uuid(), uuid);
}

TEST_P(BackupTest, StoresOnlyWhatIsNew) {
  auto store = OpenStore(Path("store"));
  FillStore(*store);
  auto repository = MakeRepository(Path("repository"), password());
  auto first = repository->Backup(Path("store"), {}, {});
  ASSERT_TRUE(first);
  repository = std::move(*OpenRepository(Path("repository"), password()));
  auto again = repository->Backup(Path("store"), {}, {});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->parent, first->id);
  EXPECT_EQ(again->new_objects, 0u);
  auto room = *store->OpenRoom("md");
  ASSERT_TRUE(room->Edit(9, MakeBatch(1, 700, 5), {}, {}));
  repository = std::move(*OpenRepository(Path("repository"), password()));
  auto third = repository->Backup(Path("store"), {}, {});
  ASSERT_TRUE(third);
  EXPECT_GT(third->new_objects, 0u);
  EXPECT_LT(third->new_bytes, first->new_bytes / 4);
  // Reading all of it again finds every object there already.
  BackupOptions all;
  all.read_all = true;
  repository = std::move(*OpenRepository(Path("repository"), password()));
  auto fourth = repository->Backup(Path("store"), all, {});
  ASSERT_TRUE(fourth);
  EXPECT_EQ(fourth->parent, "");
  EXPECT_EQ(fourth->new_objects, 0u);
  ASSERT_TRUE(repository->Restore(first->id, Path("r1"), {}, {}));
  ASSERT_TRUE(repository->Restore(third->id, Path("r3"), {}, {}));
  EXPECT_EQ(ContentsAt(Path("r3")), ContentsOf(*store));
  EXPECT_NE(ContentsAt(Path("r1")), ContentsOf(*store));
}

TEST_P(BackupTest, OpensASnapshotWithoutRestoringIt) {
  auto store = OpenStore(Path("store"));
  FillStore(*store);
  auto repository = MakeRepository(Path("repository"), password());
  auto snapshot = repository->Backup(Path("store"), {}, {});
  ASSERT_TRUE(snapshot);
  auto opened = repository->OpenSnapshot(snapshot->id, Path("scratch"));
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(ContentsOf(**opened), ContentsOf(*store));
}

TEST_P(BackupTest, PruneRemovesWhatNobodyNeedsAndNothingElse) {
  auto store = OpenStore(Path("store"));
  FillStore(*store);
  auto repository = MakeRepository(Path("repository"), password());
  std::vector<Contents> states;
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(store->CreateRoom("r" + std::to_string(i), {}, {}));
    ASSERT_TRUE((*store->OpenRoom("r" + std::to_string(i)))
                    ->Append(MakeBatch(30, 700, 50 + static_cast<uint64_t>(i)), {}));
    BackupOptions options;
    options.clock = [i] { return int64_t{86'400'000'000'000} * (20'000 + i); };
    auto snapshot = repository->Backup(Path("store"), options, {});
    ASSERT_TRUE(snapshot);
    states.push_back(ContentsOf(*store));
    ids.push_back(snapshot->id);
  }
  // And one of another store, of which everything goes.
  {
    auto other = OpenStore(Path("other"));
    ASSERT_TRUE(other->CreateRoom("other", {}, {}));
    ASSERT_TRUE((*other->OpenRoom("other"))->Append(MakeBatch(100, 700, 77), {}));
  }
  BackupOptions old;
  old.clock = [] { return int64_t{1}; };
  old.tags = {"old"};
  auto other = repository->Backup(Path("other"), old, {});
  ASSERT_TRUE(other);

  PruneOptions options;
  options.keep.last = 2;
  options.dry_run = true;
  auto would = repository->Prune(options, {});
  ASSERT_TRUE(would) << would.error().message;
  EXPECT_EQ(would->removed.size(), 2u);
  EXPECT_EQ(repository->List()->size(), 5u);
  options.dry_run = false;
  options.max_unused = 0;
  auto pruned = repository->Prune(options, {});
  ASSERT_TRUE(pruned) << pruned.error().message;
  ASSERT_EQ(pruned->removed.size(), 2u);
  EXPECT_EQ(pruned->removed[0].id, ids[0]);
  EXPECT_EQ(pruned->removed[1].id, ids[1]);
  BackupVerifyOptions verify;
  verify.read_data = true;
  auto verified = repository->Verify(verify, {});
  ASSERT_TRUE(verified);
  EXPECT_EQ(verified->problems, 0u);
  for (const size_t i : {size_t{2}, size_t{3}}) {
    const std::string target = Path("restored" + std::to_string(i));
    ASSERT_TRUE(repository->Restore(ids[i], target, {}, {}));
    EXPECT_EQ(ContentsAt(target), states[i]);
    EXPECT_EQ(Damage(target), std::vector<std::string>{});
  }
  EXPECT_EQ(repository->Restore(ids[0], Path("gone"), {}, {}).error().code, ErrorCode::kNotFound);
  // The other source is forgotten by a rule that keeps nothing of it: a tag that it does not have.
  PruneOptions tags;
  tags.keep.tags = {"new"};
  tags.max_unused = 0;
  auto emptied = repository->Prune(tags, {});
  ASSERT_TRUE(emptied);
  EXPECT_EQ(emptied->removed.size(), 3u);
  EXPECT_EQ(emptied->bytes, 0u);
}

TEST_P(BackupTest, ARestoreThatWasStoppedGoesOn) {
  auto store = OpenStore(Path("store"));
  FillStore(*store);
  auto repository = MakeRepository(Path("repository"), password());
  auto snapshot = repository->Backup(Path("store"), {}, {});
  ASSERT_TRUE(snapshot);
  for (int steps = 1; steps < 100; ++steps) {
    std::atomic<bool> stop{false};
    int step = 0;
    BackupControl control;
    control.cancel = &stop;
    control.progress = [&](const BackupProgress&) { stop = ++step >= steps; };
    auto restored = repository->Restore(snapshot->id, Path("restored"), {}, control);
    if (restored) break;
    ASSERT_EQ(restored.error().code, ErrorCode::kCancelled);
    ASSERT_FALSE(Store::Open(Path("restored"), {})) << "half a store has its name";
  }
  EXPECT_EQ(ContentsAt(Path("restored")), ContentsOf(*store));
  EXPECT_EQ(Damage(Path("restored")), std::vector<std::string>{});
  EXPECT_EQ(repository->Restore(snapshot->id, Path("restored"), {}, {}).error().code,
            ErrorCode::kAlreadyExists);
}

TEST_P(BackupTest, TwoStoresShareWhatIsTheSame) {
  auto repository = MakeRepository(Path("repository"), password());
  uint64_t bytes[2];
  for (const int i : {0, 1}) {
    const std::string path = Path("store" + std::to_string(i));
    auto store = OpenStore(path);
    auto room = *store->CreateRoom("md", {}, {});
    auto appender = *room->StartBulkAppend({});
    ASSERT_TRUE(appender->Append(MakeBatch(200, 700, 1)));
    ASSERT_TRUE(appender->Finish({}));
    auto snapshot = repository->Backup(path, {}, {});
    ASSERT_TRUE(snapshot);
    bytes[i] = snapshot->new_bytes;
  }
  EXPECT_LT(bytes[1], bytes[0] / 50);
}

TEST_P(BackupTest, TellsOfDamageAndKeepsItsBytes) {
  { FillStore(*OpenStore(Path("store"))); }
  const std::string pack = Path("store") + "/packs/000001.pack";
  const auto whole = *ReadWholeFile(pack, 1 << 30);
  auto bad = whole;
  bad[bad.size() / 2] ^= std::byte{1};
  ASSERT_TRUE(WriteFileAtomically(pack, bad));
  auto repository = MakeRepository(Path("repository"), password());
  std::vector<std::string> told;
  BackupControl control;
  control.warning = [&](const std::string& text) { told.push_back(text); };
  auto snapshot = repository->Backup(Path("store"), {}, control);
  ASSERT_TRUE(snapshot);
  EXPECT_EQ(snapshot->damaged, 1u);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_NE(told[0].find("packs/000001.pack at offset"), std::string::npos) << told[0];
  ASSERT_TRUE(repository->Restore(snapshot->id, Path("restored"), {}, {}));
  EXPECT_EQ(*ReadWholeFile(Path("restored") + "/packs/000001.pack", 1 << 30), bad);
  // Mended, it is read again, whatever its size says.
  ASSERT_TRUE(WriteFileAtomically(pack, whole));
  auto mended = repository->Backup(Path("store"), {}, {});
  ASSERT_TRUE(mended);
  EXPECT_EQ(mended->damaged, 0u);
  ASSERT_TRUE(repository->Restore(mended->id, Path("mended"), {}, {}));
  EXPECT_EQ(*ReadWholeFile(Path("mended") + "/packs/000001.pack", 1 << 30), whole);
}

TEST_P(BackupTest, ARestoredStoreThatGoesItsOwnWayIsNotTakenForTheOther) {
  { FillStore(*OpenStore(Path("a"))); }
  auto repository = MakeRepository(Path("repository"), password());
  auto snapshot = repository->Backup(Path("a"), {}, {});
  ASSERT_TRUE(snapshot);
  RestoreOptions same;
  same.keep_id = true;
  ASSERT_TRUE(repository->Restore(snapshot->id, Path("b"), same, {}));
  Contents contents[2];
  std::string ids[2];
  for (const int i : {0, 1}) {
    const std::string path = Path(i == 0 ? "a" : "b");
    auto store = OpenStore(path);
    auto room = *store->OpenRoom("md");
    auto appender = *room->StartBulkAppend({});
    ASSERT_TRUE(appender->Append(MakeBatch(60, 700, 900 + static_cast<uint64_t>(i))));
    ASSERT_TRUE(appender->Finish({}));
    auto made = repository->Backup(path, {}, {});
    ASSERT_TRUE(made);
    ids[i] = made->id;
    contents[i] = ContentsOf(*store);
  }
  for (const int i : {0, 1}) {
    const std::string target = Path("restored" + std::to_string(i));
    ASSERT_TRUE(repository->Restore(ids[i], target, {}, {}));
    EXPECT_EQ(ContentsAt(target), contents[i]);
    EXPECT_EQ(Damage(target), std::vector<std::string>{});
  }
}

TEST(BackupOfALog, HolesOfTheCollectionAreNoDamageAndStayHoles) {
  TempDir dir;
  {
    auto store = OpenStore(dir.path() + "/store");
    auto room = *store->CreateRoom("md", {}, {});
    for (uint64_t i = 0; i < 300; ++i) ASSERT_TRUE(room->Append(MakeBatch(1, 10000, i), {}));
  }
  ASSERT_TRUE(PathExists(dir.path() + "/store/log/000002.log"));
  const std::string log = dir.path() + "/store/log/000001.log";
  auto bytes = *ReadWholeFile(log, 1 << 30);
  std::fill_n(bytes.begin() + (20 << 20), 8 << 20, std::byte{0});
  std::fill_n(bytes.begin() + (40 << 20), 4096, std::byte{0});
  ASSERT_TRUE(WriteFileAtomically(log, bytes));
  auto repository = MakeRepository(dir.path() + "/repository");
  auto snapshot = repository->Backup(dir.path() + "/store", {}, {});
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  EXPECT_EQ(snapshot->damaged, 0u);
  ASSERT_TRUE(repository->Restore(snapshot->id, dir.path() + "/restored", {}, {}));
  EXPECT_EQ(*ReadWholeFile(dir.path() + "/restored/log/000001.log", 1 << 30), bytes);
  // A changed byte is.
  bytes[50 << 20] ^= std::byte{1};
  ASSERT_TRUE(WriteFileAtomically(log, bytes));
  BackupOptions all;
  all.read_all = true;
  auto damaged = repository->Backup(dir.path() + "/store", all, {});
  ASSERT_TRUE(damaged);
  EXPECT_EQ(damaged->damaged, 1u);
}

/// Random histories with backups at random moments, into one repository, with prunes between; every
/// snapshot that is left restores to the state at its moment.
TEST(BackupProperty, EverySnapshotIsTheStateAtItsMoment) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    TempDir dir;
    const auto password = seed % 2 == 0 ? std::optional<std::string>("p") : std::nullopt;
    auto repository = MakeRepository(dir.path() + "/repository", password);
    std::map<std::string, Contents> states;
    auto store = OpenStore(dir.path() + "/store");
    ASSERT_TRUE(store->CreateRoom("r0", {}, {}));
    int rooms = 1, taken = 0;
    for (int step = 0; step < 60; ++step) {
      const auto action = random() % 9;
      if (action == 6) {
        store.reset();  // packs are sealed, the log ends with a checkpoint
        store = OpenStore(dir.path() + "/store");
        continue;
      }
      const auto names = store->ListRooms();
      auto room = *store->OpenRoom(names[random() % names.size()].name);
      const Snapshot head = room->Head();
      switch (action) {
        case 0:
          ASSERT_TRUE(store->ForkRoom(room->info().name, {}, "r" + std::to_string(rooms++), {}));
          break;
        case 1: {
          auto appender = *room->StartBulkAppend({});
          ASSERT_TRUE(appender->Append(MakeBatch(1 + static_cast<int>(random() % 40),
                                                 1 + static_cast<int>(random() % 900), random())));
          ASSERT_TRUE(appender->Finish({}));
          break;
        }
        case 2:
          if (head.frames() > 0) {
            ASSERT_TRUE(room->Delete(std::vector<FrameId>{*head.IdAt(static_cast<int64_t>(
                                         random() % static_cast<uint64_t>(head.frames())))},
                                     {}));
          }
          break;
        case 3:
        case 4:
          if (head.frames() > 0) {
            const FrameId id =
                *head.IdAt(static_cast<int64_t>(random() % static_cast<uint64_t>(head.frames())));
            ASSERT_TRUE(room->Edit(id, MakeBatch(1, *head.AtomCount(id), random()), {}, {}));
          }
          break;
        case 5:
          ASSERT_TRUE(store->Update([&](RecordTransaction& records) {
            return records.Put("k" + std::to_string(random() % 5), std::to_string(random()));
          }));
          break;
        case 7: {
          BackupOptions options;
          options.clock = [&] { return int64_t{1'000'000'000} * ++taken; };
          options.read_all = random() % 4 == 0;
          auto snapshot = repository->Backup(dir.path() + "/store", options, {});
          ASSERT_TRUE(snapshot) << snapshot.error().message;
          states[snapshot->id] = ContentsOf(*store);
          break;
        }
        default:
          if (random() % 3 != 0) break;
          PruneOptions options;
          options.keep.last = 1 + static_cast<int>(random() % 3);
          options.max_unused = 0;
          auto pruned = repository->Prune(options, {});
          ASSERT_TRUE(pruned) << pruned.error().message;
          for (const BackupSnapshot& gone : pruned->removed) states.erase(gone.id);
          break;
      }
    }
    EXPECT_EQ(repository->List()->size(), states.size());
    int k = 0;
    for (const auto& [id, contents] : states) {
      const std::string target = dir.path() + "/restored" + std::to_string(k++);
      auto restored = repository->Restore(id, target, {}, {});
      ASSERT_TRUE(restored) << restored.error().message;
      EXPECT_EQ(Damage(target), std::vector<std::string>{});
      EXPECT_EQ(ContentsAt(target), contents);
    }
  }
}

}  // namespace
}  // namespace zn
