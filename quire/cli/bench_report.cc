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

std::string BenchHeading(const std::string& model, const ThreadPool& pool) {
  return fmt::format("{}, {} kernels, {} threads", model, BestKernels().name, pool.threads());
}

}  // namespace quire
