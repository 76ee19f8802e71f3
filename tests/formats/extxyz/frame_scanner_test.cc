#include "extxyz/frame_scanner.h"

#include "gtest/gtest.h"

// Wants GoogleTest before it.
#include <rapidcheck/gtest.h>

namespace zn::formats {
namespace {

constexpr size_t kAll = 1000;

std::string ErrorOf(std::string_view text, int64_t bound = 0) {
  FrameScanner scanner;
  std::vector<FrameSpan> frames;
  Result<> result = scanner.Scan(text, true, bound, kAll, frames);
  return result ? "" : result.error().message;
}

TEST(FrameScanner, FindsFrames) {
  const std::string text = "2\nfirst\nH 0 0 0\nO 1 0 0\n0\nempty\n1\n\nHe 0 0 0\n\n\n";
  FrameScanner scanner;
  std::vector<FrameSpan> frames;
  ASSERT_TRUE(scanner.Scan(text, true, 0, kAll, frames));
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_EQ(frames[0].n_atoms, 2);
  EXPECT_EQ(text.substr(frames[0].comment, 5), "first");
  EXPECT_EQ(text.substr(frames[0].atoms, 1), "H");
  EXPECT_EQ(frames[1].n_atoms, 0);
  EXPECT_EQ(frames[1].atoms, frames[1].end);
  EXPECT_EQ(frames[2].line, 7);
  EXPECT_EQ(frames[2].index, 2);
  EXPECT_EQ(text.substr(frames[2].atoms, 2), "He");
  EXPECT_EQ(scanner.blank_lines_between(), 0);
}

TEST(FrameScanner, TakesAFileWithoutFinalNewlineAndWithAByteOrderMark) {
  EXPECT_EQ(ErrorOf("\xEF\xBB\xBF"
                    "1\nc\nH 0 0 0"),
            "");
  EXPECT_EQ(ErrorOf("1\r\nc\r\nH 0 0 0\r\n"), "");
  EXPECT_EQ(ErrorOf("0"), "");
  EXPECT_EQ(ErrorOf("0\n"), "");
  EXPECT_EQ(ErrorOf(""), "");
}

TEST(FrameScanner, CountsBlankLinesBetweenFrames) {
  FrameScanner scanner;
  std::vector<FrameSpan> frames;
  ASSERT_TRUE(scanner.Scan("0\nc\n\n\n0\nc\n\n", true, 0, kAll, frames));
  EXPECT_EQ(frames.size(), 2U);
  EXPECT_EQ(scanner.blank_lines_between(), 2);
}

// Who reads the message must find the place without counting lines.
TEST(FrameScanner, NamesFrameAndLine) {
  EXPECT_NE(ErrorOf("1\nc\nH 0 0 0\ntwo\n").find("frame 1, line 4"), std::string::npos);
  EXPECT_NE(ErrorOf("3\nc\nH 0 0 0\nH 1 1 1\n").find("2 atom lines of 3"), std::string::npos);
  EXPECT_NE(ErrorOf("1\n").find("comment"), std::string::npos);
  EXPECT_NE(ErrorOf("-3\nc\n").find("negative"), std::string::npos);
  EXPECT_NE(ErrorOf("2.0\nc\nH 0 0 0\n").find("number of atoms"), std::string::npos);
  EXPECT_NE(ErrorOf("1\nc\nH 0 0 0\nH 1 1 1\n").find("more or fewer atom lines"),
            std::string::npos);
  EXPECT_NE(ErrorOf("99999999999999999999999\nc\n").find("absurd"), std::string::npos);
}

// An atom count is the size of what a reader would allocate.
TEST(FrameScanner, RefusesAbsurdCountsAtOnce) {
  FrameScanner scanner;
  std::vector<FrameSpan> frames;
  Result<> result = scanner.Scan("1000000\nc\nH 0 0 0\n", false, 100, kAll, frames);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("room"), std::string::npos) << result.error().message;
  FrameScanner unbounded;
  EXPECT_TRUE(unbounded.Scan("1000000\nc\nH 0 0 0\n", false, INT64_MAX, kAll, frames));
  FrameScanner beyond;
  EXPECT_FALSE(beyond.Scan("2147483648\nc\n", false, INT64_MAX, kAll, frames));
  FrameScanner endless;
  EXPECT_FALSE(endless.Scan(std::string(10000, '7'), false, INT64_MAX, kAll, frames));
}

TEST(FrameScanner, StopsAtTheWantedNumber) {
  FrameScanner scanner;
  std::vector<FrameSpan> frames;
  const std::string text = "0\na\n0\nb\n0\nc\n";
  ASSERT_TRUE(scanner.Scan(text, true, 0, 2, frames));
  EXPECT_EQ(frames.size(), 2U);
  EXPECT_EQ(scanner.consumed(), 8U);
  scanner.Drop(8);
  frames.clear();
  ASSERT_TRUE(scanner.Scan(std::string_view(text).substr(8), true, 0, 2, frames));
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].index, 2);
  EXPECT_EQ(frames[0].line, 5);
  EXPECT_EQ(frames[0].comment, 2U);
}

// However a file arrives in pieces, the frames are the same.
RC_GTEST_PROP(FrameScanner, DoesNotDependOnThePieces, ()) {
  std::string text;
  auto sizes = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 5));
  for (int n : sizes) {
    text += std::to_string(n) + "\n" +
            std::string(static_cast<size_t>(*rc::gen::inRange(0, 8)), 'c') + "\n";
    for (int i = 0; i < n; ++i)
      text += "H " + std::string(static_cast<size_t>(*rc::gen::inRange(1, 9)), '1') + "\n";
  }
  FrameScanner whole;
  std::vector<FrameSpan> want;
  RC_ASSERT(whole.Scan(text, true, 0, kAll, want).has_value());
  RC_ASSERT(want.size() == sizes.size());

  FrameScanner scanner;
  size_t dropped = 0;
  size_t fed = 0;
  size_t found = 0;
  while (true) {
    fed = std::min(text.size(), fed + static_cast<size_t>(*rc::gen::inRange(1, 12)));
    std::vector<FrameSpan> frames;
    bool last = fed == text.size();
    RC_ASSERT(scanner
                  .Scan(std::string_view(text).substr(dropped, fed - dropped), last,
                        static_cast<int64_t>(text.size() - fed), kAll, frames)
                  .has_value());
    for (const FrameSpan& frame : frames) {
      const FrameSpan& w = want[found++];
      RC_ASSERT(frame.n_atoms == w.n_atoms);
      RC_ASSERT(frame.line == w.line);
      RC_ASSERT(frame.index == w.index);
      RC_ASSERT(frame.comment + dropped == w.comment);
      RC_ASSERT(frame.atoms + dropped == w.atoms);
      RC_ASSERT(frame.end + dropped == w.end);
    }
    size_t consumed = scanner.consumed();
    scanner.Drop(consumed);
    dropped += consumed;
    if (last) break;
  }
  RC_ASSERT(found == want.size());
}

}  // namespace
}  // namespace zn::formats
