#include "quire/files/json_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace quire {
namespace {

using ::testing::HasSubstr;

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(JsonText, ReadsJson) {
  const auto parsed = ParseJson(R"({"a": [1, -2, 3.5, "é", null, true], "b": {}})", "c.json");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ((*parsed)["a"].size(), 6u);
  EXPECT_EQ((*parsed)["a"][3], "é");
  EXPECT_EQ(ParseJson("7", "c.json").value(), 7);
}

TEST(JsonText, NamesTheFileAndTheByte) {
  EXPECT_EQ(ParseJson(R"({"a": })", "c.json").error().message,
            "c.json: not valid JSON at byte 7; the file is damaged, get it again");
  EXPECT_THAT(ParseJson("", "c.json").error().message, HasSubstr("c.json: not valid JSON"));
  EXPECT_THAT(ParseJson("1e999", "c.json").error().message, HasSubstr("c.json: not valid JSON"));
  EXPECT_THAT(ParseJson("\"\xff\"", "c.json").error().message, HasSubstr("not valid JSON at byte"));
  EXPECT_FALSE(ParseJson("{} {}", "c.json"));
  EXPECT_FALSE(ParseJson(std::string("{\"a\0\": 1}", 9), "c.json"));
}

TEST(JsonText, DepthIsBounded) {
  EXPECT_TRUE(ParseJson(Nested(64), "c.json"));
  EXPECT_EQ(ParseJson(Nested(65), "c.json").error().message,
            "c.json: it is nested deeper than 64 levels, expected less");
  EXPECT_FALSE(ParseJson(Nested(1'000'000), "c.json"));
  EXPECT_FALSE(ParseJson(std::string(1'000'000, '['), "c.json"));
  std::string objects;
  for (int i = 0; i < 100; ++i) objects += "{\"a\":";
  EXPECT_THAT(ParseJson(objects + "1" + std::string(100, '}'), "c.json").error().message,
              HasSubstr("nested deeper"));
}

TEST(JsonText, SizeIsBounded) {
  EXPECT_EQ(ParseJson("[1, 2, 3]", "c.json", {.most_bytes = 4}).error().message,
            "c.json: the JSON has 9 B, expected at most 4 B");
}

TEST(JsonText, OutermostKeysCanBeUnique) {
  const std::string twice = R"({"a": 1, "b": {"x": 1, "x": 2}, "a": 2})";
  EXPECT_TRUE(ParseJson(twice, "c.json"));
  EXPECT_EQ(ParseJson(twice, "c.json", {.unique_keys = true}).error().message,
            "c.json: the key 'a' is there twice, expected once");
  EXPECT_TRUE(ParseJson(R"({"a": {"x": 1}, "b": {"x": 1}})", "c.json", {.unique_keys = true}));
}

}  // namespace
}  // namespace quire
