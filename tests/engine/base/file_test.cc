#include "base/file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cerrno>
#include <string>
#include <vector>

namespace zn {
namespace {

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "zn_file_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(directory_)); }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  std::string directory_;
};

std::vector<std::byte> Bytes(size_t count, int seed) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::byte>(i * 7 + static_cast<size_t>(seed));
  }
  return bytes;
}

// A user could not tell a full disk from a broken one, and the server would answer 500 instead of
// 507.
TEST(ErrnoError, SortsErrorsByWhatTheUserCanDo) {
  EXPECT_EQ(ErrnoError(ENOSPC, "write", "x").code, ErrorCode::kNoSpace);
  EXPECT_EQ(ErrnoError(EDQUOT, "write", "x").code, ErrorCode::kNoSpace);
  EXPECT_EQ(ErrnoError(ENOENT, "open", "x").code, ErrorCode::kNotFound);
  EXPECT_EQ(ErrnoError(EROFS, "open", "x").code, ErrorCode::kReadOnly);
  Error error = ErrnoError(EIO, "write", "packs/000001.pack");
  EXPECT_EQ(error.code, ErrorCode::kIo);
  EXPECT_EQ(error.message, "write packs/000001.pack: Input/output error");
}

// More pieces than one pwritev takes, and empty ones between them: records would be cut or shifted.
TEST_F(FileTest, WritesManyPiecesInOrder) {
  auto file = File::Open(Path("f"), File::kCreateNew);
  ASSERT_TRUE(file);
  std::vector<std::vector<std::byte>> parts;
  std::vector<std::byte> expected = Bytes(5, 1);
  ASSERT_TRUE(file->WriteAt(0, expected));
  for (int i = 0; i < 333; ++i) parts.push_back(Bytes(static_cast<size_t>(i % 5 == 0 ? 0 : i), i));
  std::vector<std::span<const std::byte>> pieces;
  for (const auto& part : parts) {
    pieces.emplace_back(part);
    expected.insert(expected.end(), part.begin(), part.end());
  }
  ASSERT_TRUE(file->WriteAt(5, pieces));
  EXPECT_EQ(*file->Size(), static_cast<int64_t>(expected.size()));
  auto back = ReadWholeFile(Path("f"), 1 << 20);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, expected);
}

// All pieces of one call's window empty, then a full one behind it.
TEST_F(FileTest, WritesBehindManyEmptyPieces) {
  auto file = File::Open(Path("f"), File::kCreateNew);
  ASSERT_TRUE(file);
  std::vector<std::span<const std::byte>> pieces(200);
  auto bytes = Bytes(10, 0);
  pieces.emplace_back(bytes);
  ASSERT_TRUE(file->WriteAt(0, pieces));
  EXPECT_EQ(*ReadWholeFile(Path("f"), 100), bytes);
}

TEST_F(FileTest, ReadBeyondTheEndIsCorrupt) {
  auto file = File::Open(Path("f"), File::kCreateNew);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->WriteAt(0, Bytes(100, 0)));
  std::vector<std::byte> out(20);
  EXPECT_TRUE(file->ReadAt(80, out));
  auto beyond = file->ReadAt(81, out);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, ErrorCode::kCorrupt);
}

TEST_F(FileTest, CreateNewRefusesAnExistingFile) {
  ASSERT_TRUE(File::Open(Path("f"), File::kCreateNew));
  EXPECT_FALSE(File::Open(Path("f"), File::kCreateNew));
  auto missing = File::Open(Path("g"), File::kRead);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

// Two writers on one store would overwrite each other's commits.
TEST_F(FileTest, ExclusiveLockKeepsOthersOut) {
  auto first = File::Open(Path("lock"), File::kCreateNew);
  auto second = File::Open(Path("lock"), File::kReadWrite);
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(first->TryLock(true));
  auto refused = second->TryLock(false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  first->Close();
  EXPECT_TRUE(second->TryLock(true));
}

TEST_F(FileTest, MappingOutlivesItsFile) {
  auto bytes = Bytes(10000, 3);
  std::shared_ptr<const Mapping> map;
  {
    auto file = File::Open(Path("f"), File::kCreateNew);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->WriteAt(0, bytes));
    auto mapped = Mapping::Map(*file, 10000);
    ASSERT_TRUE(mapped);
    map = *mapped;
  }
  ASSERT_TRUE(RemoveFile(Path("f")));
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), map->data()));
}

TEST_F(FileTest, EmptyMappingHasNoBytes) {
  auto file = File::Open(Path("f"), File::kCreateNew);
  ASSERT_TRUE(file);
  auto map = Mapping::Map(*file, 0);
  ASSERT_TRUE(map);
  EXPECT_EQ((*map)->size(), 0u);
}

TEST_F(FileTest, WriteAtomicallyReplacesAndLeavesNothingBehind) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), Bytes(100, 1)));
  ASSERT_TRUE(WriteFileAtomically(Path("f"), Bytes(50, 2)));
  EXPECT_EQ(*ReadWholeFile(Path("f"), 1000), Bytes(50, 2));
  EXPECT_EQ(*ListDirectory(directory_), std::vector<std::string>{"f"});
}

TEST_F(FileTest, ReadWholeFileKeepsItsLimit) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), Bytes(101, 1)));
  auto refused = ReadWholeFile(Path("f"), 100);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
}

TEST_F(FileTest, DirectoriesAreListedSortedAndRemoved) {
  ASSERT_TRUE(MakeDirectory(Path("d")));
  ASSERT_TRUE(MakeDirectory(Path("d")));
  for (const char* name : {"c", "a", "b"}) {
    ASSERT_TRUE(WriteFileAtomically(Path("d/") + name, {}));
  }
  EXPECT_EQ(*ListDirectory(Path("d")), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(SyncDirectory(Path("d")));
  // A file in the way is not a directory.
  EXPECT_FALSE(MakeDirectory(Path("d/a")));
  EXPECT_TRUE(RemoveFile(Path("d/zzz")));
  ASSERT_TRUE(RemoveTree(Path("d")));
  EXPECT_FALSE(PathExists(Path("d")));
}

TEST_F(FileTest, AllocateExtendsAndTruncateCuts) {
  auto file = File::Open(Path("f"), File::kCreateNew);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Allocate(0, 1 << 20));
  EXPECT_EQ(*file->Size(), 1 << 20);
  ASSERT_TRUE(file->Truncate(10));
  EXPECT_EQ(*file->Size(), 10);
}

}  // namespace
}  // namespace zn
