#include "quire/server/json_body.h"

#include <gtest/gtest.h>

#include "quire/server/json_fields.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

TEST(JsonBody, ParsesObjectsOnly) {
  EXPECT_EQ((*ParseJsonBody(R"({"a": [1, "x:{"]})"))["a"][1], "x:{");
  for (const char* body :
       {"", "[]", "5", "{", "{\"a\":}", "{\"a\":1}x", "\"x", "{\"a\":\"\\", "{\"\xff\":1}"}) {
    const auto result = ParseJsonBody(body);
    ASSERT_FALSE(result) << body;
    EXPECT_EQ(result.error().status, 400);
  }
}

TEST(JsonBody, DepthIsLimited) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParseJsonText(nested(64), "it"));
  EXPECT_FALSE(ParseJsonText(nested(65), "it"));
  EXPECT_FALSE(ParseJsonText(std::string(10 << 20, '{'), "it"));
  // Brackets inside strings do not count.
  EXPECT_TRUE(ParseJsonText("\"" + std::string(1000, '[') + "\\\"[\"", "it"));
}

TEST(JsonBody, ManyKeysAreFineManyMoreAreNot) {
  const auto object = [](int keys) {
    std::string text = "{";
    for (int i = 0; i < keys; ++i) text += fmt::format("{}\"k{}\":0", i ? "," : "", i);
    return text + "}";
  };
  EXPECT_TRUE(ParseJsonText(object(5000), "it"));
  EXPECT_FALSE(ParseJsonText(object(50'000), "it"));
}

TEST(JsonBody, ComplaintsAreShort) {
  const auto result = ParseJsonText("{\"a\": \"" + std::string(100'000, 'x'), "the body");
  ASSERT_FALSE(result);
  EXPECT_LT(result.error().message.size(), 300);
}

TEST(JsonBody, Utf8) {
  for (const char* good : {"", "a", "\u00e4", "\u20ac", "\U0001F600", "\xF4\x8F\xBF\xBF"})
    EXPECT_TRUE(IsUtf8(good)) << good;
  for (const char* bad :
       {"\xff", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xe2\x82"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

TEST(JsonBody, StringsAreEscapedAsTheLibraryDoes) {
  std::string all;
  for (int c = 0; c < 128; ++c) all += static_cast<char>(c);
  all += "\u00e4\U0001F600";
  std::string written;
  AppendJsonString(written, all);
  EXPECT_EQ(ordered_json::parse(written), all);
  written.clear();
  AppendJsonString(written, "a\xff");
  EXPECT_EQ(written, "\"a\uFFFD\"");
}

TEST(JsonFields, FirstErrorStays) {
  const ordered_json body = {{"a", "x"}, {"b", 7}, {"c", nullptr}, {"d", 2.0}, {"e", 1e300}};
  JsonFields fields(body);
  EXPECT_EQ(fields.Integer("d", 0, 5), 2);
  EXPECT_FALSE(fields.Has("c"));
  EXPECT_EQ(fields.Number("missing", 0, 1), std::nullopt);
  EXPECT_FALSE(fields.error());
  fields.Integer("b", 0, 5);
  fields.Bool("a", false);
  ASSERT_TRUE(fields.error());
  EXPECT_EQ(fields.error()->param, "b");
  EXPECT_EQ(fields.error()->message, "b is 7; it must be a whole number from 0 to 5");
  JsonFields other(body);
  EXPECT_FALSE(other.Integer("e", 0, 5));
  EXPECT_EQ(other.error()->param, "e");
}

}  // namespace
}  // namespace quire
