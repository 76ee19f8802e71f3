#include "api/selection.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <optional>

namespace zn::server {
namespace {

std::vector<int64_t> Positions(const Selection& selection) {
  std::vector<int64_t> positions;
  for (const Run& run : selection.runs())
    for (int64_t k = 0; k < run.count; ++k) positions.push_back(run.at(k));
  return positions;
}

// CPython's PySlice_AdjustIndices, then the loop that a list subscript is.
std::vector<int64_t> PythonSlice(int64_t n, std::optional<int64_t> start,
                                 std::optional<int64_t> stop, int64_t step) {
  auto adjust = [&](int64_t value) {
    if (value < 0) {
      value += n;
      if (value < 0) value = step < 0 ? -1 : 0;
    } else if (value >= n) {
      value = step < 0 ? n - 1 : n;
    }
    return value;
  };
  int64_t begin = start ? adjust(*start) : step < 0 ? n - 1 : 0;
  int64_t end = stop ? adjust(*stop) : step < 0 ? -1 : n;
  std::vector<int64_t> positions;
  for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) positions.push_back(i);
  return positions;
}

// A user who knows Python's slices would read other frames than they asked for.
TEST(ParseSelection, SlicesLikePython) {
  EXPECT_TRUE(rc::check([] {
    const int64_t n = *rc::gen::inRange<int64_t>(0, 40);
    auto bound = rc::gen::oneOf(rc::gen::just(std::optional<int64_t>()),
                                rc::gen::map(rc::gen::inRange<int64_t>(-60, 60),
                                             [](int64_t v) { return std::optional<int64_t>(v); }));
    const auto start = *bound, stop = *bound;
    const int64_t step = *rc::gen::nonZero<int8_t>();
    std::string text = (start ? std::to_string(*start) : "") + ":" +
                       (stop ? std::to_string(*stop) : "") + ":" + std::to_string(step);
    auto selection = ParseSelection(text, n);
    RC_ASSERT(selection.has_value());
    RC_ASSERT(Positions(*selection) == PythonSlice(n, start, stop, step));
    RC_ASSERT(selection->size() == static_cast<int64_t>(Positions(*selection).size()));
  }));
}

TEST(ParseSelection, WindowsAndPositionsAgreeWithTheWhole) {
  EXPECT_TRUE(rc::check([] {
    const int64_t n = 50;
    Selection selection;
    for (int i = *rc::gen::inRange(0, 8); i > 0; --i) {
      int64_t a = *rc::gen::inRange<int64_t>(0, n), b = *rc::gen::inRange<int64_t>(0, n);
      auto part =
          ParseSelection(std::to_string(a) + ":" + std::to_string(b) + (a <= b ? ":3" : ":-2"), n);
      for (const zn::server::Run& run : part->runs()) selection.Add(run);
    }
    std::vector<int64_t> all = Positions(selection);
    const int64_t width = *rc::gen::inRange<int64_t>(1, 20);
    std::vector<int64_t> joined;
    for (int64_t first = 0; first < selection.size(); first += width)
      for (const zn::server::Run& run : selection.Window(first, width))
        for (int64_t k = 0; k < run.count; ++k) joined.push_back(run.at(k));
    RC_ASSERT(joined == all);
    for (size_t k = 0; k < all.size(); ++k)
      RC_ASSERT(selection.at(static_cast<int64_t>(k)) == all[k]);
  }));
}

TEST(ParseSelection, KeepsOrderAndDuplicates) {
  auto selection = ParseSelection("7,-1,0:3,7,7", 10);
  ASSERT_TRUE(selection);
  EXPECT_EQ(Positions(*selection), (std::vector<int64_t>{7, 9, 0, 1, 2, 7, 7}));
}

TEST(ParseSelection, EmptyIsNothing) {
  auto selection = ParseSelection("", 10);
  ASSERT_TRUE(selection);
  EXPECT_EQ(selection->size(), 0);
}

TEST(ParseSelection, RunsOfNeighboursAreOneRun) {
  std::string list;
  for (int i = 0; i < 1000; ++i) list += (i ? "," : "") + std::to_string(i);
  auto selection = ParseSelection(list, 1000);
  ASSERT_TRUE(selection);
  EXPECT_EQ(selection->runs().size(), 1u);
  EXPECT_EQ(selection->size(), 1000);
}

TEST(ParseSelection, SaysWhichPartIsWrong) {
  for (const char* text :
       {"a", "1:2:3:4", "0x1", "1e3", ",", "1,,2", "--1", "+1", "1 2", "1.5", "::x",
        "1111111111111111111111", "0:1111111111111111111111", "-", "5:1:0"}) {
    auto selection = ParseSelection(text, 10);
    ASSERT_FALSE(selection) << text;
    EXPECT_EQ(selection.error().status, 400) << text;
    EXPECT_NE(selection.error().detail.find("indices"), std::string::npos);
  }
  for (const char* text : {"10", "-11", "0,10", "99999999999"}) {
    auto selection = ParseSelection(text, 10);
    ASSERT_FALSE(selection) << text;
    EXPECT_EQ(selection.error().status, 404) << text;
  }
  EXPECT_EQ(ParseSelection("0", 0).error().status, 404);
}

TEST(ParseAtoms, SlicesEachFramesOwnAtoms) {
  auto last = ParseAtoms("-2:");
  ASSERT_TRUE(last);
  EXPECT_FALSE(last->absolute());
  EXPECT_EQ(last->In(5).begin, 3);
  EXPECT_EQ(last->In(5).end, 5);
  EXPECT_EQ(last->In(1).begin, 0);
  auto first = ParseAtoms("0:100:2");
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->absolute());
  EXPECT_EQ(first->In(3).end, 3);
  EXPECT_TRUE(ParseAtoms(":")->all());
  for (const char* text : {"", "5", "a:b", "0:3:0", "0:3:-1", "1:2:3:4", "1:99999999999999999999"})
    EXPECT_FALSE(ParseAtoms(text)) << text;
}

}  // namespace
}  // namespace zn::server
