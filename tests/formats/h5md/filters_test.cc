#include "h5md/filters.h"

#include <gtest/gtest.h>
#include <libdeflate.h>

#include <cstring>
#include <random>

namespace zn::formats::h5 {
namespace {

using Bytes = std::vector<std::byte>;

Bytes Sample(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 / 5 % 31);
  return bytes;
}

Bytes Deflate(const Bytes& raw) {
  auto* compressor = libdeflate_alloc_compressor(6);
  Bytes out(libdeflate_zlib_compress_bound(compressor, raw.size()));
  out.resize(libdeflate_zlib_compress(compressor, raw.data(), raw.size(), out.data(), out.size()));
  libdeflate_free_compressor(compressor);
  return out;
}

Bytes Shuffle(const Bytes& raw, size_t element) {
  Bytes out = raw;
  size_t count = raw.size() / element;
  for (size_t i = 0; i < count; ++i)
    for (size_t b = 0; b < element; ++b) out[b * count + i] = raw[i * element + b];
  return out;
}

Bytes WithFletcher(Bytes bytes) {
  uint32_t sum = Fletcher32(bytes);
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::byte>(sum >> (8 * i)));
  return bytes;
}

// The one value that HDF5's documentation of the algorithm can be checked with by hand: words
// 0x0102, 0x0304.
TEST(H5mdFilters, FletcherSumsBigEndianWords) {
  Bytes bytes = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  EXPECT_EQ(Fletcher32(bytes), (uint32_t{0x0102 + 0x0406} << 16 | 0x0406u));
}

TEST(H5mdFilters, UndoEveryOrder) {
  const Bytes raw = Sample(1003);
  for (size_t element : {1, 2, 3, 4, 8}) {
    const std::vector<Filter> usual = {{kShuffle, element}, {kDeflate, 6}, {kFletcher32, 0}};
    Bytes out(raw.size());
    auto undone = Undo(usual, 0, WithFletcher(Deflate(Shuffle(raw, element))), out);
    ASSERT_TRUE(undone) << undone.error().message;
    EXPECT_EQ(out, raw);
    const std::vector<Filter> inside = {{kFletcher32, 0}, {kShuffle, element}, {kDeflate, 6}};
    undone = Undo(inside, 0, Deflate(Shuffle(WithFletcher(raw), element)), out);
    ASSERT_TRUE(undone) << undone.error().message;
    EXPECT_EQ(out, raw);
  }
}

// A chunk that did not get smaller is stored without that stage.
TEST(H5mdFilters, MaskedStagesAreLeftOut) {
  const Bytes raw = Sample(800);
  const std::vector<Filter> filters = {{kShuffle, 4}, {kDeflate, 6}};
  Bytes out(raw.size());
  ASSERT_TRUE(Undo(filters, 2, Shuffle(raw, 4), out));
  EXPECT_EQ(out, raw);
  ASSERT_TRUE(Undo(filters, 3, raw, out));
  EXPECT_EQ(out, raw);
}

TEST(H5mdFilters, LzfLiteralsAndOverlappingCopies) {
  // Two literals "ab", then 9 bytes from 2 back, then 300 from 1 back (length in an extra byte).
  Bytes packed = {std::byte{1}, std::byte{'a'},  std::byte{'b'}, std::byte{0xe0}, std::byte{0},
                  std::byte{1}, std::byte{0xe0}, std::byte{255}, std::byte{0}};
  std::string expected = "ab";
  for (int i = 0; i < 9; ++i) expected += expected[expected.size() - 2];
  expected += std::string(264, expected.back());
  Bytes out(expected.size());
  auto undone = Undo(std::vector<Filter>{{kLzf, 0}}, 0, packed, out);
  ASSERT_TRUE(undone) << undone.error().message;
  EXPECT_EQ(std::memcmp(out.data(), expected.data(), expected.size()), 0);
  for (size_t cut = 0; cut < packed.size(); ++cut) {
    EXPECT_FALSE(Undo(std::vector<Filter>{{kLzf, 0}}, 0, std::span(packed).first(cut), out)) << cut;
  }
  Bytes before_the_start = {std::byte{0}, std::byte{'a'}, std::byte{0x20}, std::byte{9}};
  EXPECT_FALSE(Undo(std::vector<Filter>{{kLzf, 0}}, 0, before_the_start, std::span(out).first(4)));
}

TEST(H5mdFilters, TruncatedAndFlippedBytesAreRefused) {
  const Bytes raw = Sample(4000);
  const std::vector<Filter> filters = {{kShuffle, 4}, {kDeflate, 6}, {kFletcher32, 0}};
  const Bytes stored = WithFletcher(Deflate(Shuffle(raw, 4)));
  Bytes out(raw.size());
  for (size_t size = 0; size < stored.size(); ++size) {
    EXPECT_FALSE(Undo(filters, 0, std::span(stored).first(size), out)) << size;
  }
  for (size_t bit = 0; bit < stored.size() * 8; ++bit) {
    Bytes damaged = stored;
    damaged[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_FALSE(Undo(filters, 0, damaged, out)) << bit;
  }
  // Whatever the size that is asked for, nothing is written outside of it.
  Bytes small(100);
  EXPECT_FALSE(Undo(filters, 0, stored, small));
}

TEST(H5mdFilters, OnlyKnownPipelinesAreUndone) {
  EXPECT_TRUE(CanUndo(std::vector<Filter>{{kShuffle, 4}, {kDeflate, 0}, {kFletcher32, 0}}));
  EXPECT_FALSE(CanUndo(std::vector<Filter>{{kShuffle, 0}}));
  EXPECT_FALSE(CanUndo(std::vector<Filter>{{kDeflate, 0}, {kDeflate, 0}}));
  EXPECT_FALSE(CanUndo(std::vector<Filter>{{32001, 0}}));
}

}  // namespace
}  // namespace zn::formats::h5
