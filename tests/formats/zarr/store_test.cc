// Directories and archives as stores: what lies in them is found, what leads out of them is not.
#include "zarr/store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "formats/support.h"
#include "zarr/zip_index.h"

namespace zn::formats::zarr {
namespace {

using testing::TempFolder;

std::string Text(const std::optional<Buffer>& bytes) {
  return bytes ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size())
               : "(none)";
}

TEST(ZarrKey, HasNoWayOut) {
  for (const char* good : {"a", "a/b", "c/0/1", ".zarray", "..a", "a..", "0.1.2"})
    EXPECT_TRUE(IsValidKey(good)) << good;
  for (const char* bad : {"", "/a", "a/", "a//b", "..", "a/../b", ".", "./a", "a/."})
    EXPECT_FALSE(IsValidKey(bad)) << bad;
  EXPECT_FALSE(IsValidKey(std::string_view("a\0b", 3)));
  EXPECT_FALSE(IsValidKey(std::string(5000, 'a')));
}

TEST(ZarrDirectory, GivesValuesAndParts) {
  TempFolder folder;
  std::filesystem::create_directories(folder.path() + "/a/b");
  folder.Write("a/b/0", "0123456789");
  folder.Write("x", "");
  const auto store = OpenDirectory(folder.path()).value();
  EXPECT_EQ(Text(store->Get("a/b/0", 100).value()), "0123456789");
  EXPECT_EQ(Text(store->Get("x", 100).value()), "");
  EXPECT_EQ(Text(store->Get("a/b", 100).value()), "(none)");
  EXPECT_EQ(Text(store->Get("a/c", 100).value()), "(none)");
  EXPECT_EQ(Text(store->Get("a/b/0/c", 100).value()), "(none)");
  EXPECT_EQ(store->Get("a/b/0", 9).error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(Text(store->GetRange("a/b/0", 3, 4).value()), "3456");
  EXPECT_EQ(store->GetRange("a/b/0", 8, 3).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(store->Size("a/b/0").value(), 10u);
  const auto children = store->List("").value();
  ASSERT_EQ(children.size(), 2u);
  EXPECT_TRUE(children[0].is_folder);
  EXPECT_EQ(children[1].name, "x");
  EXPECT_TRUE(store->List("none").value().empty());
  EXPECT_FALSE(OpenDirectory(folder.path() + "/none"));
}

TEST(ZarrDirectory, FollowsNoLinksOutOfIt) {
  TempFolder folder;
  std::filesystem::create_directories(folder.path() + "/store/in");
  folder.Write("secret", "secret");
  folder.Write("store/in/value", "value");
  ASSERT_EQ(symlink("../secret", (folder.path() + "/store/link").c_str()), 0);
  ASSERT_EQ(symlink("..", (folder.path() + "/store/up").c_str()), 0);
  ASSERT_EQ(symlink("in", (folder.path() + "/store/within").c_str()), 0);
  ASSERT_EQ(mkfifo((folder.path() + "/store/pipe").c_str(), 0600), 0);
  const auto store = OpenDirectory(folder.path() + "/store").value();
  EXPECT_EQ(Text(store->Get("../secret", 100).value()), "(none)");
  for (const char* key : {"link", "up/secret", "within/value"})
    EXPECT_EQ(store->Get(key, 100).error().code, ErrorCode::kUnsupported) << key;
  EXPECT_EQ(store->Get("pipe", 100).error().code, ErrorCode::kUnsupported);
  const auto children = store->List("").value();
  EXPECT_FALSE(children.empty());
  for (const Store::Child& child : children)
    EXPECT_EQ(child.is_folder, child.name == "in") << child.name;
}

/// A zip archive of stored members, by hand.
class ZipMaker {
 public:
  void Add(const std::string& name, const std::string& content, uint32_t crc, uint16_t method = 0,
           uint16_t flags = 0) {
    const auto offset = static_cast<uint32_t>(bytes_.size());
    const auto common = [&](std::string& out) {
      Put<uint16_t>(out, 20), Put<uint16_t>(out, flags), Put<uint16_t>(out, method),
          Put<uint32_t>(out, 0);
      Put<uint32_t>(out, crc), Put(out, static_cast<uint32_t>(content.size())),
          Put(out, static_cast<uint32_t>(content.size()));
      Put(out, static_cast<uint16_t>(name.size())), Put<uint16_t>(out, 0);
    };
    Put<uint32_t>(bytes_, 0x04034b50);
    common(bytes_);
    bytes_ += name + content;
    Put<uint32_t>(directory_, 0x02014b50), Put<uint16_t>(directory_, 20);
    common(directory_);
    Put<uint16_t>(directory_, 0), Put<uint16_t>(directory_, 0), Put<uint16_t>(directory_, 0);
    Put<uint32_t>(directory_, 0), Put(directory_, offset);
    directory_ += name;
    ++count_;
  }
  std::string Finish(const std::string& comment = "") const {
    std::string out = bytes_ + directory_;
    Put<uint32_t>(out, 0x06054b50), Put<uint32_t>(out, 0), Put(out, count_), Put(out, count_);
    Put(out, static_cast<uint32_t>(directory_.size())),
        Put(out, static_cast<uint32_t>(bytes_.size()));
    Put(out, static_cast<uint16_t>(comment.size()));
    return out + comment;
  }

 private:
  template <class T>
  static void Put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  std::string bytes_, directory_;
  uint16_t count_ = 0;
};

constexpr uint32_t kCrcOfHello = 0x3610a686;

std::string SmallZip() {
  ZipMaker maker;
  maker.Add(".zgroup", "hello", kCrcOfHello);
  maker.Add("a/b/0.0", "hello", kCrcOfHello);
  maker.Add("a/", "", 0);
  maker.Add("../out", "hello", kCrcOfHello);
  maker.Add("a-b", "hello", kCrcOfHello);
  return maker.Finish("PK\x05\x06 a comment");
}

TEST(ZarrZip, GivesValuesAndPartsAndFolders) {
  TempFolder folder;
  const auto store = OpenZip(folder.Write("a.zip", SmallZip()));
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ(Text((*store)->Get("a/b/0.0", 100).value()), "hello");
  EXPECT_EQ(Text((*store)->GetRange("a/b/0.0", 1, 3).value()), "ell");
  EXPECT_EQ(Text((*store)->Get("../out", 100).value()), "(none)");
  EXPECT_EQ((*store)->Get("a-b", 4).error().code, ErrorCode::kTooLarge);
  const auto children = (*store)->List("").value();
  ASSERT_EQ(children.size(), 3u);
  EXPECT_EQ(children[0].name, ".zgroup");
  EXPECT_EQ(children[1].name, "a-b");
  EXPECT_EQ(children[2].name, "a");
  EXPECT_TRUE(children[2].is_folder);
  EXPECT_EQ((*store)->List("a/b").value().at(0).name, "0.0");
}

TEST(ZarrZip, RefusesWhatItCannotOpen) {
  TempFolder folder;
  ZipMaker maker;
  maker.Add("bz2", "hello", kCrcOfHello, 12);
  maker.Add("secret", "hello", kCrcOfHello, 0, 1);
  maker.Add("wrong", "hello", kCrcOfHello + 1);
  maker.Add("deflated", "hello", kCrcOfHello, 8);
  const auto store = OpenZip(folder.Write("a.zip", maker.Finish())).value();
  EXPECT_EQ(store->Get("bz2", 100).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(store->Get("secret", 100).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(store->Get("wrong", 100).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(store->Get("deflated", 100).error().code, ErrorCode::kCorrupt);
}

TEST(ZarrZip, DamageIsAnErrorOrChangesNoOtherMember) {
  TempFolder folder;
  const std::string whole = SmallZip();
  const std::string path = folder.path() + "/a.zip";
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    folder.Write("a.zip", whole.substr(0, cut));
    if (const auto store = OpenZip(path)) (void)(*store)->Get("a/b/0.0", 100);
  }
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] ^= static_cast<char>(1 << bit % 8);
    folder.Write("a.zip", damaged);
    const auto store = OpenZip(path);
    if (!store) continue;
    const auto value = (*store)->Get("a/b/0.0", 100);
    if (value && *value) EXPECT_EQ(Text(*value), "hello") << bit;
  }
}

}  // namespace
}  // namespace zn::formats::zarr
