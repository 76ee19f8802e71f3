#include "extxyz/comment.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "gtest/gtest.h"

// Wants GoogleTest before it.
#include <rapidcheck/gtest.h>

namespace zn::formats {
namespace {

using Type = Value::Type;

std::map<std::string, Value> Parse(const std::string& comment) {
  auto pairs = ParseComment(comment);
  EXPECT_TRUE(pairs) << comment << ": " << pairs.error().message;
  std::map<std::string, Value> values;
  if (pairs)
    for (KeyValue& pair : *pairs) values[pair.key] = std::move(pair.value);
  return values;
}

std::string JsonOf(const std::string& comment) { return ValueToJson(Parse(comment).at("a")); }

TEST(ParseComment, ReadsScalars) {
  EXPECT_EQ(JsonOf("a=3"), "3");
  EXPECT_EQ(JsonOf("a=-12"), "-12");
  EXPECT_EQ(JsonOf("a=+.5"), "0.5");
  EXPECT_EQ(JsonOf("a=-1.25d1"), "-12.5");
  EXPECT_EQ(JsonOf("a=1."), "1.0");
  EXPECT_EQ(JsonOf("a=T"), "true");
  EXPECT_EQ(JsonOf("a=false"), "false");
  EXPECT_EQ(JsonOf("a"), "true");
  EXPECT_EQ(JsonOf("a=bare"), "\"bare\"");
  EXPECT_EQ(JsonOf("a = 9"), "9");
  EXPECT_EQ(JsonOf("a=nan"), "\"NaN\"");
  EXPECT_EQ(JsonOf("a=mp-1080834-0-1"), "\"mp-1080834-0-1\"");
  EXPECT_EQ(JsonOf("a=99999999999999999999"), "1e+20");
}

TEST(ParseComment, ReadsStrings) {
  EXPECT_EQ(JsonOf("a=\"two words\""), "\"two words\"");
  EXPECT_EQ(JsonOf("a='two words'"), "\"two words\"");
  EXPECT_EQ(Parse(R"(a="quote \" and back \\ slash")").at("a").text, "quote \" and back \\ slash");
  EXPECT_EQ(Parse(R"(a="one\ntwo")").at("a").text, "one\ntwo");
  EXPECT_EQ(JsonOf("a=\"comma,equals=brackets[]\""), "\"comma,equals=brackets[]\"");
  EXPECT_EQ(JsonOf("a=\"\""), "\"\"");
  EXPECT_EQ(JsonOf("a=\"650 eV\""), "\"650 eV\"");
}

TEST(ParseComment, ReadsArraysOldAndNew) {
  EXPECT_EQ(JsonOf("a=\"1 2 3\""), "[1,2,3]");
  EXPECT_EQ(JsonOf("a=\"1 2.5 3\""), "[1.0,2.5,3.0]");
  EXPECT_EQ(JsonOf("a={1 2 3}"), "[1,2,3]");
  EXPECT_EQ(JsonOf("a=[1, 2, 3]"), "[1,2,3]");
  EXPECT_EQ(JsonOf("a=[T, F]"), "[true,false]");
  EXPECT_EQ(JsonOf("a=\"T F T\""), "[true,false,true]");
  EXPECT_EQ(JsonOf("a=[[1, 2], [3, 4]]"), "[[1,2],[3,4]]");
  EXPECT_EQ(JsonOf("a=[[1, 2.5], [3, 4]]"), "[[1.0,2.5],[3.0,4.0]]");
  EXPECT_EQ(JsonOf("a=[x, \"b c\", d]"), "[\"x\",\"b c\",\"d\"]");
  EXPECT_EQ(JsonOf("a=[[1,2],[3]]"), "[[1,2],[3]]");
  EXPECT_EQ(Parse("a=[[1,2],[3]]").at("a").type, Type::kJson);
  EXPECT_EQ(Parse("a=[1, T]").at("a").type, Type::kJson);
  EXPECT_EQ(Parse("a=[[1, 2], [3, 4]]").at("a").shape, (Shape{2, 2}));
  EXPECT_EQ(Parse("a=\"T 1\"").at("a").type, Type::kString);
  EXPECT_EQ(JsonOf("a=[]"), "[]");
}

// One number in quotes or braces is a scalar, as older programs write it; in brackets it is a list.
TEST(ParseComment, TellsOneElementFromAScalar) {
  EXPECT_EQ(JsonOf("a=\"7\""), "7");
  EXPECT_EQ(JsonOf("a={7}"), "7");
  EXPECT_EQ(JsonOf("a=[7]"), "[7]");
}

TEST(ParseComment, ReadsJson) {
  EXPECT_EQ(JsonOf(R"(a="_JSON [209.44, 80.54, 59.96]")"), "[209.44,80.54,59.96]");
  EXPECT_EQ(Parse(R"(a="_JSON [209.44, 80.54, 59.96]")").at("a").type, Type::kFloat);
  EXPECT_EQ(JsonOf(R"(a="_JSON {\"a\": [1, 2, {\"b\": null}]}")"), R"({"a":[1,2,{"b":null}]})");
  EXPECT_EQ(JsonOf(R"(a="_JSON \"5\"")"), "\"5\"");
  EXPECT_EQ(JsonOf(R"(a="_JSON [NaN, Infinity, -Infinity]")"), R"(["NaN","Infinity","-Infinity"])");
  EXPECT_EQ(Parse(R"(a="_JSON \"\\u00e9\\ud83d\\ude00\"")").at("a").text, "é\xF0\x9F\x98\x80");
  for (const char* bad : {"a=\"_JSON [1,\"", "a=\"_JSON {1:2}\"", "a=\"_JSON nul\"",
                          "a=\"_JSON [1] 2\"", "a=\"_JSON \""})
    EXPECT_FALSE(ParseComment(bad)) << bad;
}

TEST(ParseComment, TakesKeysInQuotesAndOddOnes) {
  auto values = Parse("\"quoted key\"=1 <R2>=35.3641 a.b-c=2 flag other=x=y");
  EXPECT_EQ(ValueToJson(values.at("quoted key")), "1");
  EXPECT_EQ(ValueToJson(values.at("<R2>")), "35.3641");
  EXPECT_EQ(ValueToJson(values.at("a.b-c")), "2");
  EXPECT_EQ(ValueToJson(values.at("flag")), "true");
  EXPECT_EQ(ValueToJson(values.at("other")), "\"x=y\"");
}

TEST(ParseComment, NamesTheKeyOfWhatIsNotClosed) {
  for (const char* comment : {"key=\"1 2", "key={1 2", "key=[[1, 2]", "key=\"a\\\"", "key=[\"a"}) {
    auto pairs = ParseComment(comment);
    ASSERT_FALSE(pairs) << comment;
    EXPECT_EQ(pairs.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(pairs.error().message.find("key"), std::string::npos) << pairs.error().message;
  }
  EXPECT_FALSE(ParseComment("=5"));
}

// Nesting is recursion: without a bound a hostile line would end the process.
TEST(ParseComment, BoundsNesting) {
  EXPECT_FALSE(ParseComment("a=" + std::string(100000, '[')));
  EXPECT_FALSE(ParseComment("a=" + std::string(100000, '{')));
  EXPECT_FALSE(ParseComment("a=\"_JSON " + std::string(100000, '[') + "\""));
  EXPECT_EQ(Parse("a=[[[[[1]]]]]").at("a").type, Type::kJson);  // five axes are no array
}

nlohmann::json RandomJson(int depth) {
  switch (*rc::gen::inRange(0, depth > 0 ? 7 : 5)) {
    case 0:
      return *rc::gen::arbitrary<int64_t>();
    case 1:
      return *rc::gen::suchThat(rc::gen::arbitrary<double>(),
                                [](double d) { return std::isfinite(d); });
    case 2:
      return *rc::gen::arbitrary<bool>();
    case 3:
      return nullptr;
    case 4:
      return *rc::gen::string<std::string>();
    case 5: {
      nlohmann::json list = nlohmann::json::array();
      int count = *rc::gen::inRange(0, 4);
      for (int i = 0; i < count; ++i) list.push_back(RandomJson(depth - 1));
      return list;
    }
    default: {
      nlohmann::json object = nlohmann::json::object();
      int count = *rc::gen::inRange(0, 4);
      for (int i = 0; i < count; ++i)
        object[*rc::gen::string<std::string>()] = RandomJson(depth - 1);
      return object;
    }
  }
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

// Whatever a program puts into _JSON comes back as the same JSON.
RC_GTEST_PROP(ParseComment, GivesBackAnyJson, ()) {
  nlohmann::json value = RandomJson(3);
  std::string json = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  auto pairs = ParseComment("first=1 a=" + Quoted("_JSON " + json) + " last=2");
  RC_ASSERT(pairs.has_value());
  RC_ASSERT(pairs->size() == 3U);
  RC_ASSERT(nlohmann::json::parse(ValueToJson((*pairs)[1].value)) == nlohmann::json::parse(json));
}

RC_GTEST_PROP(ParseComment, GivesBackDictionaries, ()) {
  auto names =
      *rc::gen::unique<std::vector<std::string>>(rc::gen::nonEmpty(rc::gen::container<std::string>(
          rc::gen::elementOf(std::string("abcXYZ019_-.<> =\"\\'{}[],")))));
  std::string comment;
  std::vector<std::string> wants;
  for (const std::string& name : names) {
    comment += Quoted(name) + "=";
    switch (*rc::gen::inRange(0, 4)) {
      case 0: {
        int64_t i = *rc::gen::arbitrary<int64_t>();
        comment += std::to_string(i);
        wants.push_back(std::to_string(i));
        break;
      }
      case 1: {
        auto list = *rc::gen::suchThat(rc::gen::arbitrary<std::vector<int>>(),
                                       [](const auto& v) { return v.size() > 1; });
        std::string inner, want;
        for (int i : list) {
          inner += std::to_string(i) + " ";
          want += (want.empty() ? "[" : ",") + std::to_string(i);
        }
        comment += "\"" + inner + "\"";
        wants.push_back(want + "]");
        break;
      }
      case 2: {
        bool flag = *rc::gen::arbitrary<bool>();
        comment += flag ? "T" : "F";
        wants.push_back(flag ? "true" : "false");
        break;
      }
      default: {
        std::string text = "s" + *rc::gen::container<std::string>(
                                     rc::gen::elementOf(std::string("abc 12=\"\\'{}[],\t")));
        comment += Quoted(text);
        wants.push_back(nlohmann::json(text).dump());
      }
    }
    comment += *rc::gen::element<std::string>(" ", "   ", "\t");
  }
  auto pairs = ParseComment(comment);
  RC_ASSERT(pairs.has_value());
  RC_ASSERT(pairs->size() == names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    RC_ASSERT((*pairs)[i].key == names[i]);
    RC_ASSERT(nlohmann::json::parse(ValueToJson((*pairs)[i].value)) ==
              nlohmann::json::parse(wants[i]));
  }
}

}  // namespace
}  // namespace zn::formats
