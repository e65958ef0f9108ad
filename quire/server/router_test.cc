#include "quire/server/router.h"

#include <gtest/gtest.h>

#include "quire/server/api_error.h"

namespace quire {
namespace {

TEST(Router, APartOfAPathMayBeAnything) {
  Router router;
  const auto nothing = [](const HttpRequest&, std::shared_ptr<HttpExchange>) {};
  router.Add("GET", "/s/{}", nothing);
  router.Add("POST", "/s/{}/pin", nothing);
  EXPECT_EQ(router.PatternOf("/s/a"), "/s/{}");
  EXPECT_EQ(router.PatternOf("/s/a b/pin"), "/s/{}/pin");
  EXPECT_NE(router.Find("POST", "/s/{}/pin"), nullptr);
  EXPECT_EQ(router.Find("GET", "/s/a/pin"), nullptr);
  for (const char* path : {"/s/", "/s", "/s//pin", "/s/a/", "/s/a/b/pin", "/s/a/pin/", "/x/s/a"}) {
    EXPECT_EQ(router.PatternOf(path), "other") << path;
  }
}

TEST(Router, FindsByMethodAndPath) {
  Router router;
  router.Add("GET", "/v1/models", {});
  router.Add("GET", "/v1/models/*", {});
  router.Add("POST", "/v1/completions", {});
  EXPECT_EQ(router.Find("GET", "/v1/models")->path, "/v1/models");
  EXPECT_EQ(router.Find("HEAD", "/v1/models")->path, "/v1/models");
  EXPECT_EQ(router.Find("GET", "/v1/models/a/b")->path, "/v1/models/*");
  EXPECT_EQ(router.Find("GET", "/v1/models/"), nullptr);
  EXPECT_EQ(router.Find("POST", "/v1/models"), nullptr);
  EXPECT_EQ(router.Find("GET", "/v1/completions"), nullptr);
  EXPECT_EQ(router.Allowed("/v1/completions"), "POST, OPTIONS");
  EXPECT_EQ(router.Allowed("/v1/models/x"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(router.Allowed("/v1"), "");
  EXPECT_EQ(router.PatternOf("/v1/models/x"), "/v1/models/*");
  EXPECT_EQ(router.PatternOf("/nothing"), "other");
}

TEST(Http, PercentDecode) {
  EXPECT_EQ(PercentDecode("/a%20b%2Fc"), "/a b/c");
  EXPECT_EQ(PercentDecode("/plain+x"), "/plain+x");
  for (const char* bad : {"%", "%1", "%zz", "/%4", "%+1", "%-1"}) EXPECT_FALSE(PercentDecode(bad)) << bad;
}

TEST(Http, HeadersCannotBeSplit) {
  const std::string head =
      RenderHead({.body = {}, .headers = {{"X", "a\r\nY: b"}}}, "Content-Length: 0", true);
  EXPECT_NE(head.find("X: aY: b\r\n"), head.npos);
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
}

TEST(ApiError, NamesTheFieldThatALowerLayerRefused) {
  const ApiError error = FromError({ErrorCode::kInvalidArgument, "top_k is -3; it must be positive"});
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.param, "top_k");
  EXPECT_FALSE(FromError({ErrorCode::kInvalidArgument, "the prompt has 9 tokens"}).param);
  EXPECT_EQ(FromError({ErrorCode::kResourceExhausted, "x"}).status, 429);
  EXPECT_EQ(FromError({ErrorCode::kUnavailable, "x"}).status, 503);
  EXPECT_EQ(FromError({ErrorCode::kInternal, "x"}).status, 500);
  EXPECT_EQ(ErrorBody(BadField("n", "n is \"x\"")),
            R"({"error":{"message":"n is \"x\"","type":"invalid_request_error","param":"n","code":null}})");
}

}  // namespace
}  // namespace quire
