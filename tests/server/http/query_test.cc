#include "http/query.h"

#include <gtest/gtest.h>

namespace zn::server {
namespace {

TEST(PercentDecode, UndoesWhatClientsEncode) {
  EXPECT_EQ(PercentDecode("a%20b+c%2C%c3%85", true), "a b c,Å");
  EXPECT_EQ(PercentDecode("a+b", false), "a+b");
  for (const char* bad : {"%", "%2", "%zz", "a%2g"}) EXPECT_FALSE(PercentDecode(bad, true)) << bad;
}

TEST(PercentEncode, ComesBackTheSame) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  EXPECT_EQ(PercentDecode(PercentEncode(all), true), all);
}

TEST(ParseQuery, KeepsValuesAsTheyWereSent) {
  auto parameters = ParseQuery("data=a%2Cb,c&indices=&format&x%41=1&&");
  ASSERT_TRUE(parameters);
  ASSERT_EQ(parameters->size(), 4u);
  EXPECT_EQ((*parameters)[0].raw, "a%2Cb,c");
  EXPECT_EQ((*parameters)[1].raw, "");
  EXPECT_EQ((*parameters)[3].name, "xA");
  EXPECT_FALSE(ParseQuery("%zz=1"));
}

}  // namespace
}  // namespace zn::server
