#include "pack/pack_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "base/hash.h"

namespace zn {
namespace {

constexpr uint32_t kSalt = 7;

std::vector<PackEntry> Entries(size_t count) {
  std::vector<PackEntry> entries(count);
  std::mt19937_64 random(count);
  for (size_t i = 0; i < count; ++i) {
    uint64_t value = random();
    entries[i].name = HashSha256(std::as_bytes(std::span(&value, 1)));
    entries[i].offset = 128 + 64 * i;
    entries[i].length = static_cast<uint32_t>(i);
  }
  return entries;
}

TEST(PackIndex, FindsEveryNameAndNoOther) {
  for (size_t count : {0, 1, 2, 300, 5000}) {
    auto entries = Entries(count);
    auto bytes = EncodePackIndex(entries, 1 << 20, kSalt);
    auto index = PackIndex::Open(bytes, kSalt);
    ASSERT_TRUE(index) << index.error().message;
    EXPECT_TRUE(index->CheckBody());
    EXPECT_EQ(index->count(), count);
    EXPECT_EQ(index->pack_size(), 1u << 20);
    for (const PackEntry& entry : entries) {
      auto found = index->Find(entry.name);
      ASSERT_TRUE(found);
      EXPECT_EQ(found->offset, entry.offset);
      EXPECT_EQ(found->length, entry.length);
      Sha256 other = entry.name;
      other.bytes[31] ^= std::byte{1};
      EXPECT_FALSE(index->Find(other));
    }
    Sha256 lowest, highest;
    highest.bytes.fill(std::byte{0xff});
    EXPECT_FALSE(index->Find(lowest));
    EXPECT_FALSE(index->Find(highest));
  }
}

TEST(PackIndex, RefusesTruncationAndFlippedBits) {
  auto bytes = EncodePackIndex(Entries(20), 1 << 20, kSalt);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(PackIndex::Open(std::span(bytes).first(size), kSalt));
  }
  EXPECT_FALSE(PackIndex::Open(bytes, kSalt + 1));
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    auto index = PackIndex::Open(bytes, kSalt);
    EXPECT_FALSE(index && index->CheckBody()) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
}

TEST(Moves, DecodeWhatWasEncodedSorted) {
  auto bytes = EncodeMoves({{640, 128, 9, 5}, {128, 4224, 2, 100}}, kSalt);
  auto moves = DecodeMoves(bytes, kSalt);
  ASSERT_TRUE(moves);
  ASSERT_EQ(moves->size(), 2u);
  EXPECT_EQ((*moves)[0].old_offset, 128u);
  EXPECT_EQ((*moves)[0].offset, 4224u);
  EXPECT_EQ((*moves)[0].file, 2u);
  EXPECT_EQ((*moves)[0].length, 100u);
  EXPECT_EQ((*moves)[1].old_offset, 640u);
  EXPECT_TRUE(DecodeMoves(EncodeMoves({}, kSalt), kSalt)->empty());
}

TEST(Moves, RefusesTruncationAndFlippedBits) {
  auto bytes = EncodeMoves({{640, 128, 9, 5}, {128, 4224, 2, 100}}, kSalt);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeMoves(std::span(bytes).first(size), kSalt));
  }
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_FALSE(DecodeMoves(bytes, kSalt)) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
  // Two places for one record.
  EXPECT_FALSE(DecodeMoves(EncodeMoves({{128, 64, 1, 5}, {128, 128, 1, 5}}, kSalt), kSalt));
}

std::vector<std::byte> PackOf(const std::vector<std::vector<std::byte>>& payloads) {
  std::vector<std::byte> pack(kPackHeaderSize);
  EncodePackHeader(kSalt, pack.data());
  for (const auto& payload : payloads) {
    const auto head =
        EncodePackRecordHead(RecordType::kChunk, HashSha256(payload), payload, kSalt);
    const size_t end = pack.size() + PackRecordSize(payload.size());
    pack.insert(pack.end(), head.begin(), head.end());
    pack.insert(pack.end(), payload.begin(), payload.end());
    pack.resize(end);
  }
  return pack;
}

// A row's read checks the blocks it lies in: each has to have a checksum of its own.
TEST(PackRecordHead, EveryBlockIsGuarded) {
  for (const size_t size : {0, 1, 4096, 4097, 8192, 70000}) {
    std::vector<std::byte> payload(size);
    for (size_t i = 0; i < size; ++i) payload[i] = static_cast<std::byte>(i * 7 + i / 256);
    auto head = EncodePackRecordHead(RecordType::kChunk, HashSha256(payload), payload, kSalt);
    ASSERT_EQ(head.size(), PackRecordHeadSize(size));
    EXPECT_EQ(PackRecordSize(size) % kRecordAlignment, 0u);
    auto opened = PackRecordHead::Open(head, size, kSalt);
    ASSERT_TRUE(opened) << opened.error().message;
    ASSERT_EQ(opened->blocks(), (size + kCheckBlock - 1) / kCheckBlock);
    for (size_t i = 0; i < opened->blocks(); ++i) {
      const size_t at = i * kCheckBlock;
      const auto block = std::span(payload).subspan(at, std::min(kCheckBlock, size - at));
      EXPECT_TRUE(opened->IsSound(i, block));
      block.back() ^= std::byte{1};
      EXPECT_FALSE(opened->IsSound(i, block)) << "block " << i << " of " << size;
      block.back() ^= std::byte{1};
    }
    EXPECT_FALSE(PackRecordHead::Open(head, size + 1, kSalt));
    EXPECT_FALSE(PackRecordHead::Open(head, size, kSalt + 1));
    const size_t guarded = size <= kCheckBlock ? 64 : 64 + 4 * opened->blocks();
    for (size_t bit = 0; bit < 8 * guarded; ++bit) {
      head[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      EXPECT_FALSE(PackRecordHead::Open(head, size, kSalt)) << "bit " << bit << " of " << size;
      head[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    }
    for (size_t cut = 0; cut < head.size(); cut += 7)
      EXPECT_FALSE(PackRecordHead::Open(std::span(head).first(cut), size, kSalt));
  }
}

TEST(ScanPack, FindsDamageInALongRecord) {
  std::vector<std::byte> payload(10000, std::byte{9});
  const auto pack = PackOf({payload, std::vector<std::byte>(10)});
  ASSERT_EQ(ScanPack(pack, kSalt, true).entries.size(), 2u);
  for (const size_t at : {0, 4095, 4096, 8192, 9999}) {
    auto damaged = pack;
    damaged[kPackHeaderSize + PackRecordHeadSize(payload.size()) + at] ^= std::byte{16};
    const auto scan = ScanPack(damaged, kSalt, true);
    EXPECT_TRUE(scan.bad) << at;
    EXPECT_EQ(scan.entries.size(), 0u) << at;
  }
}

TEST(ScanPack, StopsAtTheFirstDamage) {
  std::vector<std::vector<std::byte>> payloads = {std::vector<std::byte>(100, std::byte{1}),
                                                  std::vector<std::byte>(0),
                                                  std::vector<std::byte>(300, std::byte{2})};
  auto pack = PackOf(payloads);
  auto whole = ScanPack(pack, kSalt, true);
  EXPECT_FALSE(whole.bad);
  EXPECT_EQ(whole.end, pack.size());
  ASSERT_EQ(whole.entries.size(), 3u);
  EXPECT_EQ(whole.entries[0].offset, 128u);
  EXPECT_EQ(whole.entries[2].length, 300u);
  for (size_t size = 0; size < pack.size(); size += 3) {
    auto scan = ScanPack(std::span(pack).first(size), kSalt, true);
    size_t expected = size >= 64 + 64 + 128 + 64 + 64 + 300 ? 3
                      : size >= 64 + 64 + 128 + 64          ? 2
                      : size >= 64 + 64 + 100               ? 1
                                                            : 0;
    EXPECT_EQ(scan.entries.size(), expected) << size;
  }
  for (size_t bit = 0; bit < 8 * pack.size(); bit += 11) {
    pack[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    auto scan = ScanPack(pack, kSalt, true);
    for (size_t i = 0; i < scan.entries.size(); ++i) {
      EXPECT_EQ(scan.entries[i].name, HashSha256(payloads[i]));
    }
    pack[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
}

uint32_t WordAt(const std::vector<std::byte>& bytes, size_t at) {
  uint32_t word = 0;
  if (at + 4 <= bytes.size()) std::memcpy(&word, bytes.data() + at, 4);
  return word;
}

// The examples of docs/format.md: what is written today has to be read by what comes.
TEST(PackFormat, IsWhatTheDocumentationShows) {
  auto text = std::as_bytes(std::span("hello", 5));
  std::vector<std::byte> pack(kPackHeaderSize);
  EncodePackHeader(1, pack.data());
  EXPECT_EQ(WordAt(pack, 0), 0x31504e5au);
  EXPECT_EQ(WordAt(pack, 4), 2u);
  EXPECT_EQ(WordAt(pack, 60), 0x687fb071u);
  auto index = EncodePackIndex({{HashSha256(text), 128, 5}}, 192, 1);
  EXPECT_EQ(index.size(), 1136u);
  EXPECT_EQ(WordAt(index, 16), 192u);
  EXPECT_EQ(WordAt(index, 24), 0x216fd4c0u);
  EXPECT_EQ(WordAt(index, 60), 0x101c8caau);
  EXPECT_EQ(WordAt(index, 64 + 4 * 0x2b), 0u);
  EXPECT_EQ(WordAt(index, 64 + 4 * 0x2c), 1u);
  EXPECT_EQ(WordAt(index, 0x460), 128u);
  auto moves = EncodeMoves({{128, 4224, 2, 5}}, 1);
  EXPECT_EQ(moves.size(), 88u);
  EXPECT_EQ(WordAt(moves, 16), 0xe5f514b7u);
  EXPECT_EQ(WordAt(moves, 60), 0x2db63633u);
}

TEST(PackFileName, IsParsedBackAndNothingElseIs) {
  EXPECT_EQ(PackFileName(3, ".idx"), "000003.idx");
  for (uint32_t number : {1u, 999999u, 1000000u, 0x7fffffffu}) {
    EXPECT_EQ(ParsePackFileName(PackFileName(number, ".pack"), ".pack"), number);
  }
  for (const char* name : {"", ".pack", "000000.pack", "1.pack", "0000001.pack", "000001.idx",
                           "2147483648.pack", "000001.pack.tmp"}) {
    EXPECT_EQ(ParsePackFileName(name, ".pack"), 0u) << name;
  }
}

}  // namespace
}  // namespace zn
