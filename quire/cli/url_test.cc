#include "quire/cli/url.h"

#include <gtest/gtest.h>

namespace quire {
namespace {

TEST(UrlTest, Splits) {
  const Url url = ParseUrl("https://me:secret@host.org:8443/a/b.gguf?x=1#part").value();
  EXPECT_TRUE(url.tls);
  EXPECT_EQ(url.host, "host.org");
  EXPECT_EQ(url.port, "8443");
  EXPECT_EQ(url.target, "/a/b.gguf?x=1");
  EXPECT_EQ(url.user_info, "me:secret");
  EXPECT_EQ(url.Text(), "https://host.org:8443/a/b.gguf?x=1");
  EXPECT_EQ(url.FileName(), "b.gguf");
}

TEST(UrlTest, FillsInWhatIsLeftOut) {
  EXPECT_EQ(ParseUrl("http://host").value().Text(), "http://host/");
  EXPECT_EQ(ParseUrl("http://host").value().port, "80");
  EXPECT_EQ(ParseUrl("https://host?q").value().target, "/?q");
  EXPECT_EQ(ParseUrl("https://[::1]:5/x").value().host, "::1");
  EXPECT_EQ(ParseUrl("https://[::1]:5/x").value().Authority(), "[::1]:5");
}

TEST(UrlTest, RefusesOthers) {
  for (const char* text :
       {"", "host", "ftp://host/", "http://", "http:///x", "http://host:/x", "http://host:port/x",
        "http://host:123456/", "http://ho st/", "http://host/a b", "http://host/\r\nX: y", "http://[::1/x"}) {
    EXPECT_FALSE(ParseUrl(text)) << text;
  }
}

TEST(UrlTest, ResolvesLocations) {
  const Url base = ParseUrl("https://host:9/a/b?c").value();
  EXPECT_EQ(ResolveUrl(base, "http://other/x").value().Text(), "http://other/x");
  EXPECT_EQ(ResolveUrl(base, "//other/x").value().Text(), "https://other/x");
  EXPECT_EQ(ResolveUrl(base, "/x?y#z").value().Text(), "https://host:9/x?y");
  EXPECT_EQ(ResolveUrl(base, "x").value().Text(), "https://host:9/a/x");
  EXPECT_FALSE(ResolveUrl(base, "/x\r\nSet-Cookie: a"));
}

TEST(UrlTest, EncodesPaths) { EXPECT_EQ(EncodePath("a b/\xC3\xA4%+.gguf"), "a%20b/%C3%A4%25%2B.gguf"); }

}  // namespace
}  // namespace quire
