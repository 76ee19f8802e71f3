#include "cache/heap_blocks.h"

#include <gtest/gtest.h>

#include <cstring>

namespace zn::test {
namespace {

constexpr size_t kSize = 200'000;

TEST(HeapBlocks, TakesAgainWhatWasGivenBack) {
  HeapBlocks blocks(1 << 20);
  const std::byte* first;
  {
    const HeapBlocks::Block block = blocks.Take(kSize);
    first = block.bytes.data();
    EXPECT_EQ(block.bytes.size(), kSize);
    EXPECT_EQ(block.buffer.data(), first);
    EXPECT_EQ(block.buffer.size(), kSize);
  }
  EXPECT_EQ(blocks.Take(kSize + 1000).bytes.data(), first) << "sizes are rounded up";
  const HeapBlocks::Block small = blocks.Take(kSize / 4);
  EXPECT_NE(small.bytes.data(), first) << "too large a block for so little";
}

TEST(HeapBlocks, IsNotGivenBackWhileASliceOfItIsRead) {
  HeapBlocks blocks(1 << 20);
  HeapBlocks::Block block = blocks.Take(kSize);
  std::memset(block.bytes.data(), 7, kSize);
  const Buffer slice = block.buffer.Slice(100, 10);
  block = {};
  HeapBlocks::Block other = blocks.Take(kSize);
  std::memset(other.bytes.data(), 8, kSize);
  for (const std::byte b : slice.bytes()) EXPECT_EQ(b, std::byte{7});
}

TEST(HeapBlocks, KeepsNoMoreThanItsBoundAndBlocksOutliveIt) {
  Buffer last;
  {
    HeapBlocks blocks(kSize * 2);
    auto a = blocks.Take(kSize), b = blocks.Take(kSize), c = blocks.Take(kSize);
    std::memset(c.bytes.data(), 1, kSize);
    last = c.buffer;
    a = {};
    b = {};
  }
  EXPECT_EQ(last.data()[kSize - 1], std::byte{1});
}

}  // namespace
}  // namespace zn::test
