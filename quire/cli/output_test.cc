#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quire/cli/bar_chart.h"
#include "quire/cli/forward_bench.h"
#include "quire/cli/http_client.h"
#include "quire/cli/progress.h"
#include "quire/cli/text_table.h"

namespace quire {
namespace {

using testing::HasSubstr;

TEST(TextTableTest, AlignsWordsAndNumbers) {
  TextTable table({"name", "n"});
  table.Add({"a", "1"});
  table.Add({"long", "100"});
  EXPECT_EQ(table.Render(), "  name     n\n  a        1\n  long   100\n");
}

TEST(BarChartTest, DrawsToScale) {
  const std::string svg = RenderBars("a & <b>", "t/s", {{"x<", 200, 0, 0}, {"y", 100, 50, 150}});
  EXPECT_THAT(svg, HasSubstr("a &amp; &lt;b&gt;"));
  EXPECT_THAT(svg, HasSubstr("width=\"390.0\""));  // the longest takes all the space
  EXPECT_THAT(svg, HasSubstr("width=\"195.0\""));
  EXPECT_THAT(svg, HasSubstr("<line x1=\"297.5\" y1=\"78\" x2=\"492.5\""));
  EXPECT_THAT(svg, HasSubstr(">200 t/s</text>"));
  EXPECT_THAT(RenderBars("", "s", {{"zero", 0, 0, 0}}), HasSubstr("width=\"0.0\""));
  EXPECT_EQ(WriteBars("/no/such/folder/x.svg", "", "", {}).error().code, ErrorCode::kIo);
}

TEST(ProgressTest, RendersWithinTheWidth) {
  EXPECT_EQ(RenderProgress("x", 0.5, "y", 80), "[############............]  50 % x  y");
  EXPECT_EQ(RenderProgress("label", 1, "detail", 10).size(), 9u);
  EXPECT_EQ(RenderProgress("x", 7, "", 80), "[########################] 100 % x");
  EXPECT_EQ(RenderProgress("x", 0.0 / 0.0, "", 80).substr(0, 34), "[........................]   0 % x");
}

TEST(BenchCaseTest, NamesAndSpread) {
  EXPECT_EQ((BenchCase{.prompt_tokens = 512}.Name()), "prefill 512");
  EXPECT_EQ((BenchCase{.batch = 4, .output_tokens = 8, .depth = 16}.Name()), "decode 8 x 4 at 16");
  const Spread spread = SpreadOf({3, 1, 2, 10});
  EXPECT_EQ(spread.median, 2.5);
  EXPECT_EQ(spread.min, 1);
  EXPECT_EQ(spread.max, 10);
  EXPECT_EQ(SpreadOf({5}).median, 5);
}

TEST(ProxyTest, FollowsTheEnvironmentsRules) {
  HttpClientOptions options;
  options.proxy_for_tls = "http://p:3128";
  options.proxy = "q:80";
  options.no_proxy = "localhost, .inner.org,10.0.0.1";
  const HttpClient client(options);
  const auto proxy_of = [&](const char* url) {
    const auto proxy = client.ProxyFor(ParseUrl(url).value());
    return proxy ? proxy->Authority() : "none";
  };
  EXPECT_EQ(proxy_of("https://host/"), "p:3128");
  EXPECT_EQ(proxy_of("http://host/"), "q");
  for (const char* direct :
       {"http://localhost/", "https://a.inner.org/", "https://inner.org/", "http://10.0.0.1:5/"}) {
    EXPECT_EQ(proxy_of(direct), "none") << direct;
  }
  EXPECT_EQ(proxy_of("https://outer-inner.org/"), "p:3128");
}

}  // namespace
}  // namespace quire
