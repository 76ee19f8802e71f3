// A repository that is damaged says what is damaged, and never hands out wrong bytes; passwords and
// names leak nothing.
#include "backup/repository.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "backup/keep_rules.h"
#include "backup/object_writer.h"
#include "backup/repository_lock.h"
#include "backup_support.h"
#include "base/file.h"
#include "support/temp_dir.h"

namespace zn::backup {
namespace {

namespace fs = std::filesystem;

std::vector<std::byte> Content(uint64_t seed, size_t size) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void Spill(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class RepositoryTest : public ::testing::TestWithParam<bool> {
 protected:
  std::optional<std::string> password() const {
    return GetParam() ? std::optional<std::string>("secret") : std::nullopt;
  }
  std::string path() const { return dir_.path() + "/repository"; }
  std::unique_ptr<Repository> Make() {
    ScryptCost cost;
    cost.log_n = 10;
    return std::move(*Repository::Create(path(), password(), cost));
  }
  std::unique_ptr<Repository> Open() {
    auto repository = std::move(*Repository::Open(path(), password()));
    EXPECT_TRUE(repository->LoadIndex());
    return repository;
  }
  /// Objects of 1 to 3,000 bytes, in bundles of about 64 KiB.
  std::vector<std::vector<std::byte>> Fill(Repository& repository, int objects,
                                           bool finish = true) {
    ObjectWriter writer(repository, 64 << 10);
    std::vector<std::vector<std::byte>> contents;
    for (int i = 0; i < objects; ++i) {
      contents.push_back(Content(static_cast<uint64_t>(i), 1 + static_cast<size_t>(i) * 37 % 3000));
      EXPECT_TRUE(writer.Put(HashSha256(contents.back()), contents.back()));
    }
    if (finish) {
      EXPECT_TRUE(writer.Finish());
    }
    return contents;
  }
  TempDir dir_;
};
INSTANTIATE_TEST_SUITE_P(PlainAndEncrypted, RepositoryTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Encrypted" : "Plain"; });

TEST_P(RepositoryTest, GivesBackWhatWasPut) {
  const auto contents = Fill(*Make(), 200);
  const auto repository = Open();
  for (const auto& content : contents) EXPECT_EQ(*repository->Read(HashSha256(content)), content);
  EXPECT_EQ(repository->Read(HashSha256(Content(999, 10))).error().code, ErrorCode::kNotFound);
}

TEST_P(RepositoryTest, PutsNothingTwice) {
  auto repository = Make();
  Fill(*repository, 100);
  repository = Open();
  ObjectWriter writer(*repository);
  const auto content = Content(5, 1 + 5 * 37);
  ASSERT_TRUE(writer.Put(HashSha256(content), content));
  EXPECT_EQ(writer.stats().objects, 0u);
  const auto fresh = Content(500, 100);
  ASSERT_TRUE(writer.Put(HashSha256(fresh), fresh));
  ASSERT_TRUE(writer.Put(HashSha256(fresh), fresh));
  EXPECT_EQ(writer.stats().objects, 1u);
}

TEST_P(RepositoryTest, FindsTheBundlesOfACreateThatWasKilled) {
  const auto contents = Fill(*Make(), 200, /*finish=*/false);
  const auto repository = Open();
  EXPECT_GT(repository->unindexed().size(), 1u);
  EXPECT_TRUE(repository->Read(HashSha256(contents[0])));
}

TEST_P(RepositoryTest, ALostOrCutIndexLosesNothing) {
  const auto contents = Fill(*Make(), 200);
  for (const std::string& index : FilesIn(path() + "/index")) {
    const std::string whole = Slurp(index);
    for (const size_t size :
         {size_t{0}, size_t{63}, size_t{64}, whole.size() / 2, whole.size() - 1}) {
      Spill(index, whole.substr(0, size));
      auto repository = std::move(*Repository::Open(path(), password()));
      std::vector<std::string> problems;
      ASSERT_TRUE(
          repository->LoadIndex([&](const Error& error) { problems.push_back(error.message); }));
      ASSERT_EQ(problems.size(), 1u);
      EXPECT_NE(problems[0].find("cut short"), std::string::npos) << problems[0];
      for (const auto& content : contents)
        EXPECT_EQ(*repository->Read(HashSha256(content)), content);
    }
  }
}

TEST_P(RepositoryTest, EveryFlippedBitOfABundleIsFound) {
  const auto contents = Fill(*Make(), 60);
  std::mt19937_64 random(1);
  for (const std::string& bundle : FilesIn(path() + "/data")) {
    const std::string whole = Slurp(bundle);
    for (int i = 0; i < 100; ++i) {
      std::string bad = whole;
      bad[random() % bad.size()] ^= static_cast<char>(1 << random() % 8);
      Spill(bundle, bad);
      auto repository = backup_test::OpenRepository(path(), password());
      ASSERT_TRUE(repository);
      BackupVerifyOptions options;
      options.read_data = true;
      auto summary = (*repository)->Verify(options, {});
      ASSERT_TRUE(summary);
      EXPECT_GT(summary->problems, 0u);
      // Whatever is read is right, or an error.
      const auto opened = Open();
      for (const auto& content : contents)
        if (auto read = opened->Read(HashSha256(content))) {
          EXPECT_EQ(*read, content);
        }
    }
    Spill(bundle, whole);
  }
}

TEST_P(RepositoryTest, ADamagedConfigIsRefused) {
  Make();
  const std::string whole = Slurp(path() + "/config");
  std::mt19937_64 random(2);
  for (int i = 0; i < 200; ++i) {
    std::string bad = whole;
    bad[random() % bad.size()] ^= static_cast<char>(1 << random() % 8);
    Spill(path() + "/config", bad);
    EXPECT_EQ(Repository::Open(path(), password()).error().code, ErrorCode::kCorrupt);
  }
  Spill(path() + "/config", whole.substr(0, 100));
  EXPECT_EQ(Repository::Open(path(), password()).error().code, ErrorCode::kCorrupt);
}

TEST(EncryptedRepository, NeedsItsPassword) {
  TempDir dir;
  ScryptCost cost;
  cost.log_n = 10;
  ASSERT_TRUE(Repository::Create(dir.path() + "/r", "secret", cost));
  auto wrong = Repository::Open(dir.path() + "/r", "Secret");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("wrong password"), std::string::npos);
  EXPECT_EQ(wrong.error().message.find("Secret"), std::string::npos);
  auto none = Repository::Open(dir.path() + "/r", std::nullopt);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("password is needed"), std::string::npos);
}

TEST(EncryptedRepository, ShowsNeitherContentsNorTheirHashes) {
  TempDir dir;
  ScryptCost cost;
  cost.log_n = 10;
  auto repository = std::move(*Repository::Create(dir.path() + "/r", "secret", cost));
  const std::string text = "a text that somebody may look for";
  const auto content = std::as_bytes(std::span(text.data(), text.size()));
  const Sha256 hash = HashSha256(content);
  ObjectWriter writer(*repository);
  ASSERT_TRUE(writer.Put(hash, content));
  ASSERT_TRUE(writer.Finish());
  SnapshotDocument snapshot;
  snapshot.id = RandomId::New();
  snapshot.source = text;
  snapshot.superblock.resize(4096);
  ASSERT_TRUE(repository->WriteSnapshot(snapshot));
  const std::string raw_hash(reinterpret_cast<const char*>(hash.bytes.data()), hash.bytes.size());
  int files = 0;
  for (const std::string& file : FilesIn(dir.path() + "/r")) {
    const std::string bytes = Slurp(file);
    ++files;
    EXPECT_EQ(bytes.find("somebody"), std::string::npos) << file;
    EXPECT_EQ(bytes.find(raw_hash), std::string::npos) << file;
    EXPECT_EQ(file.find(hash.Hex().substr(0, 8)), std::string::npos);
  }
  EXPECT_GE(files, 4);
}

TEST(EncryptedRepository, OneObjectIsNotTakenForAnother) {
  const Key master{};
  const BundleCipher cipher(master, RandomId());
  const auto content = Content(1, 100);
  const ObjectId a{HashSha256(Content(1, 1))}, b{HashSha256(Content(2, 1))};
  const auto stored = cipher.Seal(a, 64, content);
  std::vector<std::byte> out(100);
  EXPECT_TRUE(cipher.Unseal({a, 64, 100}, stored, out.data()));
  EXPECT_EQ(out, content);
  EXPECT_FALSE(cipher.Unseal({b, 64, 100}, stored, out.data()));
  EXPECT_FALSE(cipher.Unseal({a, 65, 100}, stored, out.data()));
  RandomId other;
  other.bytes[0] = std::byte{1};
  EXPECT_FALSE(BundleCipher(master, other).Unseal({a, 64, 100}, stored, out.data()));
}

TEST(RepositoryLock, PruneIsAloneAndStaleLocksAreToldAndRemoved) {
  TempDir dir;
  using Kind = RepositoryLock::Kind;
  const auto take = [&](Kind kind, std::string* told = nullptr) {
    return RepositoryLock::Take(dir.path(), kind, "a test", std::chrono::milliseconds(0),
                                [&](const std::string& text) {
                                  if (told != nullptr) *told += text;
                                });
  };
  {
    auto one = take(Kind::kShared);
    auto two = take(Kind::kShared);
    ASSERT_TRUE(one);
    ASSERT_TRUE(two);
    auto alone = take(Kind::kExclusive);
    ASSERT_FALSE(alone);
    EXPECT_EQ(alone.error().code, ErrorCode::kBusy);
    EXPECT_NE(alone.error().message.find("a test by process"), std::string::npos)
        << alone.error().message;
  }
  {
    auto alone = take(Kind::kExclusive);
    ASSERT_TRUE(alone);
    EXPECT_FALSE(take(Kind::kShared));
  }
  // As a process that was killed leaves it.
  Spill(dir.path() + "/locks/0123.lock", "exclusive prune by process 1 on host since then");
  std::string told;
  EXPECT_TRUE(take(Kind::kShared, &told));
  EXPECT_NE(told.find("stale"), std::string::npos);
  EXPECT_NE(told.find("process 1 on host"), std::string::npos);
  EXPECT_TRUE(FilesIn(dir.path() + "/locks").empty());
}

SnapshotDocument At(int64_t day, int64_t hour, uint8_t store = 1) {
  SnapshotDocument snapshot;
  snapshot.time_ns = (day * 24 + hour) * 3'600'000'000'000;
  snapshot.store[0] = std::byte{store};
  return snapshot;
}

std::vector<size_t> Kept(const std::vector<SnapshotDocument>& snapshots, const KeepRules& rules) {
  std::vector<size_t> kept;
  const auto chosen = ChooseKept(snapshots, rules);
  for (size_t i = 0; i < chosen.size(); ++i)
    if (chosen[i]) kept.push_back(i);
  return kept;
}

TEST(KeepRules, KeepTheNewestOfEachPeriod) {
  // Day 0 is Thursday, 1970-01-01; day 4 the next Monday; day 31 is in February.
  const std::vector<SnapshotDocument> snapshots = {At(0, 1), At(0, 9),  At(2, 1),  At(3, 1),
                                                   At(4, 1), At(30, 1), At(31, 1), At(31, 2)};
  KeepRules rules;
  EXPECT_EQ(Kept(snapshots, rules).size(), snapshots.size());
  rules.last = 2;
  EXPECT_EQ(Kept(snapshots, rules), (std::vector<size_t>{6, 7}));
  rules = {};
  rules.daily = 3;
  EXPECT_EQ(Kept(snapshots, rules), (std::vector<size_t>{4, 5, 7}));
  rules = {};
  rules.daily = 100;
  EXPECT_EQ(Kept(snapshots, rules), (std::vector<size_t>{1, 2, 3, 4, 5, 7}));
  rules = {};
  rules.weekly = 100;  // Sunday, day 3, ends the first week
  EXPECT_EQ(Kept(snapshots, rules), (std::vector<size_t>{3, 4, 7}));
  rules = {};
  rules.monthly = 100;
  EXPECT_EQ(Kept(snapshots, rules), (std::vector<size_t>{5, 7}));
  rules.last = 3;
  EXPECT_EQ(Kept(snapshots, rules), (std::vector<size_t>{5, 6, 7}));
  rules = {};
  rules.yearly = 1;
  EXPECT_EQ(Kept(snapshots, rules), (std::vector<size_t>{7}));
}

TEST(KeepRules, JudgeEachSourceForItself) {
  std::vector<SnapshotDocument> snapshots = {At(0, 1, 1), At(1, 1, 2), At(2, 1, 2)};
  KeepRules rules;
  rules.last = 1;
  EXPECT_EQ(Kept(snapshots, rules), (std::vector<size_t>{0, 2}));
  snapshots[1].tags = {"paper"};
  rules.tags = {"paper"};
  EXPECT_EQ(Kept(snapshots, rules), (std::vector<size_t>{0, 1, 2}));
}

}  // namespace
}  // namespace zn::backup
