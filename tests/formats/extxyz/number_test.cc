#include "extxyz/number.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"

// Wants GoogleTest before it.
#include <rapidcheck/gtest.h>

namespace zn::formats {
namespace {

bool SameBits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}

// What the parser's two entrances give; they must agree.
std::optional<double> Read(const std::string& word) {
  std::string text = word + " x\n";
  const char* at = text.data();
  double value = 0;
  bool good = ReadDouble(at, value);
  std::optional<double> parsed = ParseDouble(word);
  EXPECT_EQ(good, parsed.has_value()) << word;
  if (!good) {
    EXPECT_EQ(at, text.data()) << word;
    return std::nullopt;
  }
  EXPECT_TRUE(SameBits(value, *parsed)) << word << ": " << value << " and " << *parsed;
  EXPECT_EQ(at, text.data() + word.size()) << word;
  return value;
}

TEST(ReadDouble, TakesEverySpelling) {
  EXPECT_EQ(Read("1"), 1.0);
  EXPECT_EQ(Read("+.5"), 0.5);
  EXPECT_EQ(Read("1."), 1.0);
  EXPECT_EQ(Read("-2.5E-3"), -2.5e-3);
  EXPECT_EQ(Read("-1.25d1"), -12.5);
  EXPECT_EQ(Read("1D+2"), 100.0);
  EXPECT_EQ(Read("0001.50"), 1.5);
  EXPECT_EQ(Read("00000000000000000000000000001"), 1.0);
  EXPECT_EQ(Read("0.00000000000000000000000000000000001"), 1e-35);
  EXPECT_EQ(Read("123456789012345678901234567890"), 123456789012345678901234567890.0);
  EXPECT_EQ(Read("9007199254740993"), 9007199254740992.0);
  EXPECT_EQ(Read("1e22"), 1e22);
  EXPECT_EQ(Read("1e23"), 1e23);
  EXPECT_EQ(Read("2.2250738585072011e-308"), 2.2250738585072011e-308);
  EXPECT_EQ(Read("1e400"), HUGE_VAL);
  EXPECT_EQ(Read("-1e400"), -HUGE_VAL);
  EXPECT_EQ(Read("1e-400"), 0.0);
  EXPECT_EQ(Read("inf"), HUGE_VAL);
  EXPECT_EQ(Read("-Infinity"), -HUGE_VAL);
  EXPECT_TRUE(std::isnan(*Read("nan")));
  EXPECT_TRUE(std::isnan(*Read("NaN")));
  EXPECT_TRUE(std::signbit(*Read("-0.0")));
}

// A word that is no number must not become one: it would be somebody's coordinate.
TEST(ReadDouble, RefusesTheRest) {
  for (const char* word : {"-",    "+",       ".",    "e5",    "1e",    "1e+",  "1d",   "1.2.3",
                           "1,5",  "0x10",    "--1",  "+-1",   "1_000", "nan1", "infi", "*****",
                           "1e5x", "1.0-100", "\xFF", "1e5e5", "1d5d5", "T"})
    EXPECT_EQ(Read(word), std::nullopt) << word;
  EXPECT_EQ(ParseDouble(""), std::nullopt);
}

RC_GTEST_PROP(ReadDouble, GivesBackEveryDouble, (uint64_t bits, bool scientific)) {
  double value = std::bit_cast<double>(bits);
  RC_PRE(std::isfinite(value));
  char text[400];
  char* end =
      (scientific ? std::to_chars(text, text + sizeof text, value, std::chars_format::scientific)
                  : std::to_chars(text, text + sizeof text, value))
          .ptr;
  std::optional<double> read = Read(std::string(text, end));
  RC_ASSERT(read.has_value());
  RC_ASSERT(SameBits(*read, value));
}

// Fixed-point decimals, as programs write them: the fast path must round as the C library does.
RC_GTEST_PROP(ReadDouble, RoundsAsStrtod, ()) {
  std::string word = *rc::gen::element<std::string>("", "-", "+");
  auto digits = [](int most) {
    return *rc::gen::container<std::string>(*rc::gen::inRange(0, most),
                                            rc::gen::inRange('0', static_cast<char>('9' + 1)));
  };
  std::string whole = digits(20), fraction = digits(20);
  RC_PRE(!whole.empty() || !fraction.empty());
  word += whole;
  if (*rc::gen::arbitrary<bool>()) {
    word += "." + fraction;
  } else {
    RC_PRE(!whole.empty());
  }
  if (*rc::gen::arbitrary<bool>()) word += "e" + std::to_string(*rc::gen::inRange(-330, 310));
  std::optional<double> read = Read(word);
  RC_ASSERT(read.has_value());
  RC_ASSERT(SameBits(*read, std::strtod(word.c_str(), nullptr)));
}

TEST(ParseInt, StaysWithinInt64) {
  EXPECT_EQ(ParseInt("-12"), -12);
  EXPECT_EQ(ParseInt("+3"), 3);
  EXPECT_EQ(ParseInt("007"), 7);
  EXPECT_EQ(ParseInt("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(ParseInt("-9223372036854775808"), INT64_MIN);
  for (const char* word :
       {"", "+", "-", "+-3", "9223372036854775808", "3.0", "1e3", "0x1", "12a", " 1"})
    EXPECT_EQ(ParseInt(word), std::nullopt) << word;
}

TEST(ParseBool, TakesTheSpecificationsWords) {
  for (const char* word : {"T", "True", "true", "TRUE"}) EXPECT_EQ(ParseBool(word), true);
  for (const char* word : {"F", "False", "false", "FALSE"}) EXPECT_EQ(ParseBool(word), false);
  for (const char* word : {"t", "f", "tRUE", "1", "0", "yes", ""})
    EXPECT_EQ(ParseBool(word), std::nullopt) << word;
  for (const char* word : {"t", "tRUE"}) EXPECT_EQ(ParseBoolFolded(word), true);
  for (const char* word : {"f", "fAlSe"}) EXPECT_EQ(ParseBoolFolded(word), false);
  EXPECT_EQ(ParseBoolFolded("1"), std::nullopt);
}

}  // namespace
}  // namespace zn::formats
