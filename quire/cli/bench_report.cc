#include "quire/cli/bench_report.h"

#include <fmt/format.h>

#include "quire/kernels/kernels.h"

namespace quire {

nlohmann::ordered_json BenchReport(std::string_view bench, const std::string& model, const ThreadPool& pool,
                                   nlohmann::ordered_json settings) {
  return {{"bench", bench},
          {"version", QUIRE_VERSION},
          {"model", model},
          {"kernels", BestKernels().name},
          {"threads", pool.threads()},
          {"settings", std::move(settings)},
          {"results", nlohmann::ordered_json::array()}};
}

nlohmann::ordered_json QuantilesJson(const Quantiles& q) {
  return {{"mean", q.mean}, {"p50", q.p50}, {"p90", q.p90}, {"p99", q.p99}, {"max", q.max}};
}

std::string BenchHeading(const std::string& model, const ThreadPool& pool) {
  return fmt::format("{}, {} kernels, {} threads", model, BestKernels().name, pool.threads());
}

}  // namespace quire
