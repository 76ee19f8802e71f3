// Damaged and hostile files. libhdf5 itself may die of some of them: those are read in a child, as
// zn-import's user would.
#include <sys/resource.h>
#include <unistd.h>

#include <random>

#include "formats/h5md/read_support.h"

namespace zn::formats {
namespace {

struct Bad {
  const char* file;
  ErrorCode code;
  const char* part;
};

TEST(H5mdBad, IsRefusedWithPlaceAndRemedy) {
  if (!HasSharedData()) GTEST_SKIP() << "no sample data at " << SharedData();
  for (const Bad& bad :
       {Bad{"empty.h5", ErrorCode::kCorrupt, "empty"},
        Bad{"truncated.h5", ErrorCode::kCorrupt, "truncated"},
        Bad{"h5md_external_link.h5", ErrorCode::kUnsupported,
            "particles/all/position/value: is an external link"},
        Bad{"h5md_giant_sparse.h5", ErrorCode::kTooLarge,
            "particles/all/position/value: claims 1200000000000000"},
        Bad{"zarrtraj_missing_h5md_group.h5md", ErrorCode::kUnsupported, "--force"}}) {
    auto file = ReadWhole(SharedData() + "/bad/" + bad.file);
    ASSERT_FALSE(file) << bad.file;
    EXPECT_EQ(file.error().code, bad.code) << file.error().message;
    EXPECT_NE(file.error().message.find(bad.part), std::string::npos) << file.error().message;
    EXPECT_NE(file.error().message.find(bad.file), std::string::npos) << file.error().message;
  }
}

TEST(H5mdBad, IsReadAsFarAsItCanBeWithAWarning) {
  if (!HasSharedData()) GTEST_SKIP() << "no sample data at " << SharedData();
  auto decreasing = ReadWhole(SharedData() + "/bad/h5md_decreasing_step.h5");
  ASSERT_TRUE(decreasing) << decreasing.error().message;
  EXPECT_EQ(decreasing->frames.size(), 5u);
  EXPECT_TRUE(decreasing->Warned("position/step", "goes back from 20 to 15 at frame 3"));

  auto mismatch = ReadWhole(SharedData() + "/bad/h5md_length_mismatch.h5");
  ASSERT_TRUE(mismatch) << mismatch.error().message;
  EXPECT_EQ(mismatch->frames.size(), 8u);
  EXPECT_TRUE(mismatch->Warned("particles/all/position", "10 rows and 8 steps"));
  EXPECT_TRUE(mismatch->Frame(6).contains("cell"));
  EXPECT_FALSE(mismatch->Frame(7).contains("cell"))
      << "7 boxes are the boxes of the first 7 frames";

  auto cycle = ReadWhole(SharedData() + "/bad/h5md_link_cycle.h5");
  ASSERT_TRUE(cycle) << cycle.error().message;
  EXPECT_EQ(cycle->frames.size(), 2u);

  ReadOptions options;
  options.force = true;
  auto forced = ReadWhole(SharedData() + "/bad/zarrtraj_missing_h5md_group.h5md", options);
  ASSERT_TRUE(forced) << forced.error().message;
  EXPECT_EQ(forced->frames.size(), 5u);
  EXPECT_TRUE(forced->Warned("h5md", "missing"));
}

// What became of reading a file in a child with 2 GiB of address space and 5 s.
enum class Outcome { kRead, kRefused, kDied };

Outcome ReadInChild(const std::string& path) {
  pid_t child = fork();
  if (child == 0) {
    rlimit space{rlim_t{2} << 30, rlim_t{2} << 30}, time{5, 5}, core{0, 0};
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    setrlimit(RLIMIT_AS, &space);
#endif
    setrlimit(RLIMIT_CPU, &time);
    setrlimit(RLIMIT_CORE, &core);
    ReadOptions options;
    options.force = true;
    options.threads = 1;
    auto file = ReadWhole(path, options);
    // ReadWhole checks every batch: a batch that contradicts itself is kInternal or its
    // validation's error.
    bool inconsistent =
        !file && (file.error().code == ErrorCode::kInternal || file.error().message.empty());
    _exit(inconsistent ? 3 : file ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) == 3) return Outcome::kDied;
  return WEXITSTATUS(status) == 0 ? Outcome::kRead : Outcome::kRefused;
}

std::string Contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary);
  out << bytes;
}

constexpr const char* kSweepFiles[] = {"h5md/id_permuted_subgroups.h5", "h5md/znh5md_edge_cases.h5",
                                       "h5md/zarrtraj_varied_steps.h5md",
                                       "hdf5/asebytes_ragged_eth_meth_200.h5"};

TEST(H5mdHostile, TruncatedFilesAreRefused) {
  if (!HasSharedData()) GTEST_SKIP() << "no sample data at " << SharedData();
  TempDir folder;
  for (const char* name : kSweepFiles) {
    std::string bytes = Contents(SharedData() + "/" + name), path = folder.path() + "/cut.h5";
    for (size_t part = 0; part < 24; ++part) {
      Write(path, bytes.substr(0, bytes.size() * part / 24));
      EXPECT_EQ(ReadInChild(path), Outcome::kRefused) << name << " cut at " << part << "/24";
    }
  }
}

// libhdf5 1.10 crashes, or never ends, in damaged global heaps (variable-length strings) and
// caches; a child's death is allowed for, but it must stay rare.
TEST(H5mdHostile, FlippedBitsAreReadOrRefused) {
  if (!HasSharedData()) GTEST_SKIP() << "no sample data at " << SharedData();
  TempDir folder;
  std::mt19937 random(20261120);
  int tried = 0, died = 0;
  for (const char* name : kSweepFiles) {
    const std::string bytes = Contents(SharedData() + "/" + name);
    for (int i = 0; i < 60; ++i) {
      std::string damaged = bytes;
      int flips = 1 + i % 4;
      for (int k = 0; k < flips; ++k)
        damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
      std::string path = folder.path() + "/flipped.h5";
      Write(path, damaged);
      ++tried;
      if (ReadInChild(path) == Outcome::kDied) {
        ++died;
        std::filesystem::copy_file(path, folder.path() + "/died" + std::to_string(died) + ".h5");
        if (const char* keep = std::getenv("ZN_KEEP_CRASHES")) {
          std::filesystem::copy_file(path, std::string(keep) + "/" + std::to_string(tried) + ".h5",
                                     std::filesystem::copy_options::overwrite_existing);
        }
      }
    }
  }
  RecordProperty("died", died);
  EXPECT_LE(died * 20, tried) << died << " of " << tried << " children died";
}

}  // namespace
}  // namespace zn::formats
