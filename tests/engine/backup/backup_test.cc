// What a user would lose if a backup were not a true one: stores that are restored are those that
// were backed up, bit for bit, with every room, version and record.
#include "zn/engine/backup.h"

#include <gtest/gtest.h>

#include "backup_support.h"
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

}  // namespace
}  // namespace zn
