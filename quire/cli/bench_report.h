// What every `quire bench` verb writes with --json: one object with
//
//   bench     the verb behind "bench", empty for plain `quire bench`
//   version, kernels, threads, model
//   settings  what was asked for, by flag
//   results   an array of rows: one per test, variant, task or turn
//
// and beside them figures of the whole run.
#ifndef QUIRE_CLI_BENCH_REPORT_H_
#define QUIRE_CLI_BENCH_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "quire/base/thread_pool.h"
#include "quire/sim/replay.h"

namespace quire {

nlohmann::ordered_json BenchReport(std::string_view bench, const std::string& model, const ThreadPool& pool,
                                   nlohmann::ordered_json settings);

nlohmann::ordered_json QuantilesJson(const Quantiles& q);

// What stands above the table: "MODEL, avx512 kernels, 2 threads".
std::string BenchHeading(const std::string& model, const ThreadPool& pool);

}  // namespace quire

#endif  // QUIRE_CLI_BENCH_REPORT_H_
