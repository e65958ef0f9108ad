#include "quire/base/metrics.h"

#include <gtest/gtest.h>

#include <array>

namespace quire {
namespace {

TEST(Metrics, RendersPrometheusText) {
  MetricsRegistry registry(MetricLabels{{"model_name", "a\"b"}});
  registry.AddCounter("quire:tokens", "Tokens.").Add(3);
  registry.AddGauge("quire:load", "Load.", {{"part", "x"}}).Set(0.5);
  const std::array<double, 2> bounds = {1, 2};
  Histogram& histogram = registry.AddHistogram("quire:wait", "Wait.", bounds);
  for (double v : {0.5, 1.0, 1.5, 9.0}) histogram.Observe(v);

  const std::string text = registry.Render();
  for (const char* line :
       {"# TYPE quire:tokens_total counter\n", "quire:tokens_total{model_name=\"a\\\"b\"} 3\n",
        "quire:load{model_name=\"a\\\"b\",part=\"x\"} 0.5\n",
        "quire:wait_bucket{model_name=\"a\\\"b\",le=\"1\"} 2\n",
        "quire:wait_bucket{model_name=\"a\\\"b\",le=\"2\"} 3\n",
        "quire:wait_bucket{model_name=\"a\\\"b\",le=\"+Inf\"} 4\n",
        "quire:wait_sum{model_name=\"a\\\"b\"} 12\n", "quire:wait_count{model_name=\"a\\\"b\"} 4\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

}  // namespace
}  // namespace quire
