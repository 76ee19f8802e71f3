// The bytes of records, groups and head: what docs/format.md says, and what their decoders refuse.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <thread>

#include "engine/log/log_support.h"
#include "log/group.h"
#include "log/head.h"
#include "log/memory_log.h"
#include "log/record.h"
#include "source_dir.h"

namespace zn::test {
namespace {

std::vector<std::byte> Hello() {
  auto text = std::as_bytes(std::span("hello", 5));
  return {text.begin(), text.end()};
}

/// Every line "offset  hex |text|" of docs/format.md from `heading` up to the next heading of its
/// level or above.
std::map<size_t, std::vector<std::byte>> HexLines(const std::string& heading) {
  std::ifstream file(std::string(ZN_SOURCE_DIR) + "/docs/format.md");
  EXPECT_TRUE(file.good());
  std::map<size_t, std::vector<std::byte>> lines;
  bool inside = false;
  const std::regex hex("([0-9a-f]{8})  (([0-9a-f]{2} )+) *\\|.*");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) inside = line == "## " + heading;
    std::smatch match;
    if (!inside || !std::regex_match(line, match, hex)) continue;
    std::vector<std::byte> bytes;
    std::istringstream values(match[2]);
    for (std::string value; values >> value;) {
      bytes.push_back(static_cast<std::byte>(std::stoi(value, nullptr, 16)));
    }
    lines[std::stoul(match[1], nullptr, 16)] = bytes;
  }
  return lines;
}

void ExpectLines(const std::map<size_t, std::vector<std::byte>>& lines,
                 const std::vector<std::byte>& file) {
  EXPECT_GE(lines.size(), 4u);
  std::vector<std::byte> documented(file.size());
  for (const auto& [at, bytes] : lines) {
    ASSERT_LE(at + bytes.size(), file.size());
    std::copy(bytes.begin(), bytes.end(), documented.begin() + static_cast<long>(at));
  }
  EXPECT_EQ(documented, file);
}

// Stores written today have to be read by what is written tomorrow.
TEST(LogFormat, IsWhatTheDocumentationShows) {
  auto disk = std::make_shared<MemoryFileSystem>();
  LogOptions options;
  options.salt = 1;
  auto log = OpenMemoryLog(disk, options);
  ASSERT_TRUE(log);
  CommitOne(**log, Hello());
  ExpectLines(HexLines("Log"), *disk->Contents("log/000001.log"));
  ExpectLines(HexLines("head"), *disk->Contents("head"));
}

std::vector<std::byte> EncodedRecord() {
  std::vector<std::byte> bytes(kRecordHeaderSize);
  EncodeRecordHeader({RecordType::kCommit, 5, HashSha256(Hello()), Crc32c(Hello(), 7)}, 7,
                     bytes.data());
  return bytes;
}

TEST(RecordHeader, DecodesWhatWasEncoded) {
  auto header = DecodeRecordHeader(EncodedRecord(), 7);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->type, RecordType::kCommit);
  EXPECT_EQ(header->length, 5u);
  EXPECT_EQ(header->name, HashSha256(Hello()));
  EXPECT_EQ(header->payload_crc, Crc32c(Hello(), 7));
}

TEST(RecordHeader, RefusesEveryFlippedBitTruncationAndOtherSalt) {
  auto bytes = EncodedRecord();
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    auto header = DecodeRecordHeader(bytes, 7);
    ASSERT_FALSE(header) << "bit " << bit;
    EXPECT_EQ(header.error().code, ErrorCode::kCorrupt);
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeRecordHeader(std::span(bytes).first(size), 7));
  }
  EXPECT_FALSE(DecodeRecordHeader(bytes, 8));
  bytes = EncodedRecord();
  EncodeRecordHeader({static_cast<RecordType>(99), 0, {}, 0}, 7, bytes.data());
  EXPECT_FALSE(DecodeRecordHeader(bytes, 7));
}

GroupHeader SomeGroup() {
  GroupHeader group;
  group.flags = kHasCheckpoint;
  group.sequence = 77;
  group.length = 5000;
  group.records = 3;
  group.position = {4, uint64_t{5} << 32};  // beyond 4 GiB
  group.durable_to = {4, uint64_t{5} << 32};
  return group;
}

std::vector<std::byte> Encoded(const GroupHeader& group) {
  std::vector<std::byte> bytes(kGroupHeaderSize);
  EncodeGroupHeader(group, 7, bytes.data());
  return bytes;
}

TEST(GroupHeader, DecodesWhatWasEncoded) {
  GroupHeader group = SomeGroup();
  auto header = DecodeGroupHeader(Encoded(group), group.position, 7);
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(header->flags, group.flags);
  EXPECT_EQ(header->sequence, group.sequence);
  EXPECT_EQ(header->length, group.length);
  EXPECT_EQ(header->records, group.records);
  EXPECT_EQ(header->position, group.position);
  EXPECT_EQ(header->durable_to, group.durable_to);
  EXPECT_EQ(header->padded_length(), 8192u);
}

TEST(GroupHeader, RefusesEveryFlippedBitAndTruncation) {
  GroupHeader group = SomeGroup();
  auto bytes = Encoded(group);
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_FALSE(DecodeGroupHeader(bytes, group.position, 7)) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeGroupHeader(std::span(bytes).first(size), group.position, 7));
  }
}

// A group that lies where it was not written (a file copied over another) is not part of the log.
TEST(GroupHeader, RefusesAnotherPlaceAndNonsense) {
  GroupHeader group = SomeGroup();
  EXPECT_FALSE(DecodeGroupHeader(Encoded(group), {4, 4096}, 7));
  EXPECT_FALSE(DecodeGroupHeader(Encoded(group), {5, group.position.offset}, 7));
  auto refuses = [&](auto change) {
    GroupHeader changed = SomeGroup();
    change(changed);
    EXPECT_FALSE(DecodeGroupHeader(Encoded(changed), changed.position, 7));
  };
  refuses([](GroupHeader& g) { g.length = UINT64_MAX; });
  refuses([](GroupHeader& g) { g.length = 64; });
  refuses([](GroupHeader& g) { g.records = 0; });
  refuses([](GroupHeader& g) { g.records = UINT32_MAX; });
  refuses([](GroupHeader& g) { g.sequence = 0; });
  refuses([](GroupHeader& g) { g.flags |= kBeginsFile; });
  refuses([](GroupHeader& g) { g.durable_to.file = 5; });
  refuses([](GroupHeader& g) { g.position.offset = 0; });
}

TEST(GroupHeader, LaterVersionIsUnsupportedNotCorrupt) {
  GroupHeader group = SomeGroup();
  auto bytes = Encoded(group);
  bytes[4] = std::byte{2};
  uint32_t crc = Crc32c(std::span(bytes).first(60), 7);
  std::memcpy(bytes.data() + 60, &crc, 4);
  EXPECT_EQ(DecodeGroupHeader(bytes, group.position, 7).error().code, ErrorCode::kUnsupported);
}

TEST(Head, DecodesWhatWasEncodedAndNothingElse) {
  Head head;
  head.durable = {3, uint64_t{1} << 33};
  head.sequence = 99;
  head.checkpoint = {3, 8192};
  head.boot = 0x0123456789abcdef;
  HeadWords words = EncodeHead(head, 7);
  ASSERT_EQ(DecodeHead(words, 7), head);
  EXPECT_FALSE(DecodeHead(words, 8));
  for (size_t bit = 0; bit < 512; ++bit) {
    if (bit / 64 == 1) continue;  // the counter
    words[bit / 64] ^= uint64_t{1} << bit % 64;
    EXPECT_FALSE(DecodeHead(words, 7)) << "bit " << bit;
    words[bit / 64] ^= uint64_t{1} << bit % 64;
  }
  EXPECT_FALSE(DecodeHead({}, 7));
}

TEST(Head, ReaderSeesOneOfTheValuesStored) {
  MemoryFileSystem disk;
  auto writer = HeadPage::Open(disk, "head", 7, true);
  auto reader = HeadPage::Open(disk, "head", 7, false);
  ASSERT_TRUE(writer && reader);
  EXPECT_FALSE((*reader)->Load());
  constexpr uint64_t kLast = 20000;
  std::thread storing([&] {
    for (uint64_t i = 1; i <= kLast; ++i) {
      (*writer)->Store({{1, i * kGroupAlignment}, i, {1, (i - 1) * kGroupAlignment}});
    }
  });
  uint64_t seen = 0;
  while (seen < kLast) {
    auto head = (*reader)->Load();
    if (!head) continue;
    EXPECT_GE(head->sequence, seen);
    seen = head->sequence;
    EXPECT_EQ(head->durable.offset, seen * kGroupAlignment);
    EXPECT_EQ(head->checkpoint.offset, (seen - 1) * kGroupAlignment);
  }
  storing.join();
}

TEST(LogFileName, IsParsedBackAndNothingElseIs) {
  for (uint32_t number : {1u, 42u, 999999u, 1000000u, 0x7fffffffu}) {
    EXPECT_EQ(ParseLogFileName(LogFileName(number).substr(4)), number);
  }
  for (const char* name : {"", ".log", "000000.log", "1.log", "0000001.log", "000001.log2",
                           "00000a.log", "2147483648.log", "99999999999.log", "000001.logx"}) {
    EXPECT_EQ(ParseLogFileName(name), 0u) << name;
  }
}

}  // namespace
}  // namespace zn::test
