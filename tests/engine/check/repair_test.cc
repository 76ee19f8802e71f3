// What can be healed is healed byte for byte, what cannot says so and hides nothing else, and a
// second run has nothing to do.

#include "zn/engine/repair.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "engine/check/corrupt_store.h"
#include "log/group.h"
#include "pack/pack_format.h"
#include "room/superblock.h"

namespace zn {
namespace {

using check_test::Files;
using check_test::Model;
namespace fs = std::filesystem;

struct Repaired {
  RepairSummary summary;
  std::vector<Finding> findings;
  std::vector<RepairAction> actions;
  std::string text;
};

Repaired Repair(const std::string& path, BackupRepository* backup = nullptr, bool dry_run = false) {
  RepairOptions options;
  options.check.threads = 1;
  options.dry_run = dry_run;
  options.backup = backup;
  options.clock = [] { return int64_t{1'700'000'000'000'000'000}; };
  Repaired repaired;
  auto summary = RepairStore(
      path, options,
      [&](const Finding& finding) {
        repaired.findings.push_back(finding);
        repaired.text += std::string(FindingName(finding.kind)) + " " + finding.object + ": " +
                         finding.message + "\n";
      },
      [&](const RepairAction& action) {
        repaired.actions.push_back(action);
        repaired.text += std::string(RepairActionName(action.kind)) + " " + action.object + ": " +
                         action.message + "\n";
      });
  EXPECT_TRUE(summary) << (summary ? "" : summary.error().message);
  if (summary) repaired.summary = *summary;
  return repaired;
}

class RepairTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::mt19937_64 random(3);
    {
      auto store = check_test::OpenStore(path_, true);
      ASSERT_TRUE(store);
      auto room = store->CreateRoom("md", {}, {});
      ASSERT_TRUE(room);
      auto appender = (*room)->StartBulkAppend({});
      ASSERT_TRUE(appender);
      ASSERT_TRUE((*appender)->Append(check_test::RandomBatch(120, 700, random)));
      ASSERT_TRUE((*appender)->Finish({"ann", "import"}));
      for (FrameId id : {3, 50, 51})
        ASSERT_TRUE(
            (*room)->Edit(id, check_test::RandomBatch(1, 700, random), {}, {"bob", "edit"}));
    }
    model_ = check_test::ReadModel(path_);
    files_ = check_test::ReadFiles(path_);
    fs::remove_all(path_ + "/cache");
    fs::create_directory(path_ + "/cache");
  }
  std::string Pack() const { return path_ + "/packs/000001.pack"; }
  std::vector<PackEntry> Records() const {
    const auto superblock = DecodeSuperblock(files_.at("superblock"));
    return ScanPack(files_.at("packs/000001.pack"), superblock->record_salt, true).entries;
  }
  static void Flip(const std::string& path, uint64_t offset) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const char old = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(old ^ 0x10));
    ASSERT_TRUE(file.good());
  }
  std::unique_ptr<BackupRepository> BackUp() {
    auto repository = BackupRepository::Create(dir_.path() + "/backup", {});
    EXPECT_TRUE(repository) << repository.error().message;
    EXPECT_TRUE((*repository)->Backup(path_, {}, {}));
    return std::move(*repository);
  }
  void ExpectAsBefore(const Repaired& repaired) {
    Files now = check_test::ReadFiles(path_);
    Files before = files_;
    now.erase("head");
    before.erase("head");
    for (const auto& [name, bytes] : before)
      EXPECT_TRUE(now[name] == bytes) << name << "\n" << repaired.text;
    EXPECT_EQ(now.size(), before.size());
    EXPECT_EQ(check_test::ReadModel(path_), model_);
  }
  void ExpectNothingToDo() {
    const Repaired again = Repair(path_);
    EXPECT_EQ(again.summary.actions(), 0) << again.text;
    EXPECT_TRUE(again.summary.check.clean()) << again.text;
  }

  TempDir dir_;
  const std::string path_ = dir_.path() + "/s";
  Model model_;
  Files files_;
};

TEST_F(RepairTest, ASoundStoreIsLeftAsItIs) {
  const Repaired repaired = Repair(path_);
  EXPECT_EQ(repaired.summary.actions(), 0) << repaired.text;
  ExpectAsBefore(repaired);
}

TEST_F(RepairTest, AnotherRecordOfTheNameHeals) {
  // The same chunk once more, in a pack that the damaged one knows nothing of.
  const PackEntry record = Records().front();
  fs::copy_file(Pack(), path_ + "/packs/000002.pack");
  Flip(Pack(), record.offset + 777);
  const Repaired repaired = Repair(path_);
  EXPECT_EQ(repaired.summary.healed, 1) << repaired.text;
  EXPECT_TRUE(repaired.summary.all_mended()) << repaired.text;
  EXPECT_NE(repaired.text.find("from a record of the same name in packs/000002.pack"),
            std::string::npos)
      << repaired.text;
  fs::remove(path_ + "/packs/000002.pack");
  ExpectAsBefore(repaired);
  ExpectNothingToDo();
  // What stood there is kept, with the reason.
  const std::string kept = path_ + "/quarantine/000001.pack.at-";
  bool found = false;
  for (const auto& entry : fs::directory_iterator(path_ + "/quarantine"))
    found |= entry.path().string().starts_with(kept) && entry.path().extension() == ".reason";
  EXPECT_TRUE(found);
}

TEST_F(RepairTest, TheCacheHeals) {
  {
    // Random numbers are stored as they are, and then nothing is decoded: these are rounded.
    auto store = check_test::OpenStore(path_);
    auto room = store->CreateRoom("rounded", {}, {});
    std::mt19937_64 random(5);
    FrameBatch batch;
    std::vector<double> positions;
    for (int i = 0; i < 400; ++i) {
      batch.n_atoms.push_back(1000);
      for (int k = 0; k < 3000; ++k)
        positions.push_back(static_cast<double>(random() % 1000000) / 1000);
    }
    Column p;
    p.name = "arrays.positions";
    p.kind = FieldKind::kAtom;
    p.inner = Shape{3};
    p.data = Buffer::Own(positions);
    batch.columns = {p};
    auto appender = (*room)->StartBulkAppend({});
    ASSERT_TRUE((*appender)->Append(batch));
    ASSERT_TRUE((*appender)->Finish({"ann", "import"}));
  }
  model_ = check_test::ReadModel(path_);
  files_ = check_test::ReadFiles(path_);
  {
    // Reading here and there again and again puts chunks into the cache.
    auto store = check_test::OpenStore(path_);
    auto room = store->OpenRoom("rounded");
    std::mt19937_64 random(4);
    for (int i = 0; i < 1000; ++i)
      ASSERT_TRUE((*room)->Head().ReadRow(*(*room)->Head().FindField("arrays.positions"),
                                          static_cast<FrameId>(random() % 400)));
  }
  std::set<std::string> cached;
  for (const auto& entry : fs::recursive_directory_iterator(path_ + "/cache"))
    if (entry.path().extension() == ".npy") cached.insert(entry.path().stem().string());
  ASSERT_FALSE(cached.empty());
  int healed = 0;
  const std::string pack = path_ + "/packs/000002.pack";
  const auto superblock = DecodeSuperblock(files_.at("superblock"));
  for (const PackEntry& record :
       ScanPack(files_.at("packs/000002.pack"), superblock->record_salt, true).entries) {
    Flip(pack, record.offset + record.length / 2);
    const Repaired planned = Repair(path_, nullptr, /*dry_run=*/true);
    if (planned.text.find("from the cache, encoded again") == std::string::npos) {
      Flip(pack, record.offset + record.length / 2);  // this one is not in it
      continue;
    }
    const Repaired repaired = Repair(path_);
    EXPECT_TRUE(repaired.summary.all_mended()) << repaired.text;
    ++healed;
  }
  EXPECT_GT(healed, 0);
  EXPECT_EQ(*ReadWholeFile(pack, 1 << 30), files_.at("packs/000002.pack"));
  ExpectNothingToDo();
}

TEST_F(RepairTest, ABackupHealsWhateverFileIsGone) {
  const auto backup = BackUp();
  for (const auto& [name, bytes] : files_) {
    if (name == "head" || name == "lock") continue;
    for (const bool half : {false, true}) {
      if (half)
        fs::resize_file(path_ + "/" + name, bytes.size() / 2);
      else
        fs::remove(path_ + "/" + name);
      const Repaired repaired = Repair(path_, backup.get());
      EXPECT_TRUE(repaired.summary.all_mended()) << name << "\n" << repaired.text;
      if (name.ends_with(".idx") && !half)  // a pack may be without
        ASSERT_TRUE(WriteFileAtomically(path_ + "/" + name, bytes));
      else
        EXPECT_GT(repaired.summary.actions(), 0) << name;
      ExpectAsBefore(repaired);
      ExpectNothingToDo();
    }
  }
}

TEST_F(RepairTest, WhatIsLostSaysSoAndHidesNothingElse) {
  const PackEntry record = Records().front();
  Flip(Pack(), record.offset + 777);
  const Repaired repaired = Repair(path_);
  EXPECT_EQ(repaired.summary.marked, 1) << repaired.text;
  EXPECT_FALSE(repaired.summary.all_mended());
  ExpectNothingToDo();
  int lost = 0;
  const Model now = check_test::ReadModel(path_);
  ASSERT_EQ(now.size(), model_.size());
  for (const auto& [what, value] : model_) {
    const std::string& read = now.at(what);
    if (read == value) continue;
    EXPECT_NE(read.find("lost: the record was damaged"), std::string::npos) << what << ": " << read;
    EXPECT_NE(read.find("field arrays.positions"), std::string::npos) << read;
    ++lost;
  }
  EXPECT_GT(lost, 0);
  EXPECT_LT(lost, 120);
  // Should a backup turn up, it is healed after all.
  const std::string damaged = path_;
  {
    const std::string whole = dir_.path() + "/whole";
    check_test::WriteFiles(whole, files_);
    auto repository = BackupRepository::Create(dir_.path() + "/later", {});
    ASSERT_TRUE((*repository)->Backup(whole, {}, {}));
    const Repaired healed = Repair(path_, repository->get());
    EXPECT_EQ(healed.summary.healed, 1) << healed.text;
    ExpectAsBefore(healed);
  }
}

TEST_F(RepairTest, ADryRunSaysWhatItWouldDoAndDoesNothing) {
  Flip(Pack(), Records().front().offset + 777);
  const Files before = check_test::ReadFiles(path_);
  const Repaired repaired = Repair(path_, nullptr, /*dry_run=*/true);
  EXPECT_EQ(repaired.summary.marked, 1) << repaired.text;
  EXPECT_EQ(check_test::ReadFiles(path_), before);
  EXPECT_TRUE(fs::is_empty(path_ + "/quarantine"));
}

TEST_F(RepairTest, WithoutABackupRoomsGoBackToTheNewestWholeCommit) {
  // The last groups of the log: the newest commits, and their refs.
  std::string newest;
  for (const auto& entry : fs::directory_iterator(path_ + "/log"))
    newest = std::max(newest, entry.path().string());
  const uint64_t size = fs::file_size(newest);
  ASSERT_GT(size, 3u * 4096);
  std::vector<std::byte> bytes = *ReadWholeFile(newest, 1 << 30);
  std::fill(bytes.end() - 3 * 4096, bytes.end(), std::byte{0});
  ASSERT_TRUE(WriteFileAtomically(newest, bytes));
  const Repaired repaired = Repair(path_);
  EXPECT_FALSE(repaired.summary.all_mended()) << repaired.text;
  ExpectNothingToDo();
  const Model now = check_test::ReadModel(path_);
  ASSERT_EQ(now.count("store"), 0u) << now.at("store");
  EXPECT_EQ(now.at("md"), "120");
  {
    auto store = check_test::OpenStore(path_);  // and it can be written to
    auto room = store->OpenRoom("md");
    std::mt19937_64 random(9);
    EXPECT_TRUE((*room)->Append(check_test::RandomBatch(1, 5, random), {"ann", "more"}));
  }
  ExpectNothingToDo();
}

// A process is killed at some moment of its repair; the next one completes it, byte for byte.
TEST_F(RepairTest, KilledAtAnyMomentARerunCompletes) {
  const auto backup = BackUp();
  Files damaged = files_;
  for (const PackEntry& record : Records())
    damaged["packs/000001.pack"][record.offset + record.length / 2] ^= std::byte{1};
  damaged["packs/000001.idx"][200] ^= std::byte{1};
  std::vector<std::byte>& log = damaged["log/000001.log"];
  for (size_t at = 30; at < log.size(); at += 9000) log[at] ^= std::byte{4};
  damaged["packs/000007.idx.tmp"] = {std::byte{1}};
  std::mt19937_64 random(17);
  int killed = 0, completed = 0;
  for (int run = 0; run < 16; ++run) {
    check_test::WriteFiles(path_, damaged);
    for (int attempt = 0; attempt < 3; ++attempt) {
      const pid_t child = ::fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        auto repository = BackupRepository::Open(dir_.path() + "/backup", {});
        RepairOptions options;
        options.check.threads = 1;
        options.dry_run = false;
        options.backup = repository ? repository->get() : nullptr;
        (void)RepairStore(
            path_, options, [](const Finding&) {}, [](const RepairAction&) {});
        ::_exit(0);
      }
      ::usleep(static_cast<useconds_t>(random() % 60'000));
      ::kill(child, SIGKILL);
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      ++(WIFSIGNALED(status) ? killed : completed);
    }
    const Repaired repaired = Repair(path_, backup.get());
    EXPECT_TRUE(repaired.summary.all_mended()) << repaired.text;
    ExpectAsBefore(repaired);
    ExpectNothingToDo();
  }
  EXPECT_GT(killed, 8);
  std::printf("%d killed, %d had completed\n", killed, completed);
}

TEST_F(RepairTest, LeftoversGoToQuarantine) {
  std::ofstream(path_ + "/packs/000001.idx.tmp") << "x";
  fs::create_directory(path_ + "/incoming/job-1");
  const Repaired repaired = Repair(path_);
  EXPECT_EQ(repaired.summary.moved, 2) << repaired.text;
  EXPECT_TRUE(fs::exists(path_ + "/quarantine/packs-000001.idx.tmp"));
  EXPECT_TRUE(fs::exists(path_ + "/quarantine/packs-000001.idx.tmp.reason"));
  EXPECT_TRUE(fs::exists(path_ + "/quarantine/incoming-job-1"));
  ExpectNothingToDo();
}

}  // namespace
}  // namespace zn
