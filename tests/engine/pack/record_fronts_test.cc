#include "pack/record_fronts.h"

#include <gtest/gtest.h>

namespace zn::test {
namespace {

std::shared_ptr<const RecordFront> Front(std::byte first, size_t head = 100) {
  auto front = std::make_shared<RecordFront>();
  front->head.resize(head);
  front->payload.assign(RecordFronts::kPayloadBytes, first);
  return front;
}

TEST(RecordFronts, FindsWhatWasAdded) {
  RecordFronts fronts(1 << 20);
  EXPECT_EQ(fronts.Find(1, 128), nullptr);
  fronts.Add(1, 128, Front(std::byte{1}));
  fronts.Add(2, 128, Front(std::byte{2}));
  fronts.Add(1, 192, Front(std::byte{3}));
  EXPECT_EQ(fronts.Find(1, 128)->payload[0], std::byte{1});
  EXPECT_EQ(fronts.Find(2, 128)->payload[0], std::byte{2});
  EXPECT_EQ(fronts.Find(1, 192)->payload[0], std::byte{3});
  fronts.Add(1, 128, Front(std::byte{4}));
  EXPECT_EQ(fronts.Find(1, 128)->payload[0], std::byte{4});
}

TEST(RecordFronts, ForgetsTheOldestOfASet) {
  RecordFronts fronts(1);  // one set of four
  for (int i = 1; i <= 5; ++i) fronts.Add(1, static_cast<uint64_t>(i) * 64, Front(std::byte(i)));
  EXPECT_EQ(fronts.Find(1, 64), nullptr);
  for (int i = 2; i <= 5; ++i) EXPECT_NE(fronts.Find(1, static_cast<uint64_t>(i) * 64), nullptr);
}

TEST(RecordFronts, KeepsNoLongHeadAndNoPlaceBeyondItsKeys) {
  RecordFronts fronts(1 << 20);
  fronts.Add(1, 128, Front(std::byte{1}, RecordFronts::kMostHeadBytes + 1));
  EXPECT_EQ(fronts.Find(1, 128), nullptr);
  fronts.Add(1u << 24, 128, Front(std::byte{1}));
  EXPECT_EQ(fronts.Find(1u << 24, 128), nullptr);
  fronts.Add(1, uint64_t{1} << 46, Front(std::byte{1}));
  EXPECT_EQ(fronts.Find(1, uint64_t{1} << 46), nullptr);
}

}  // namespace
}  // namespace zn::test
