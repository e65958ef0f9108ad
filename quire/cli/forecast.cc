#include "quire/cli/forecast.h"

#include <fmt/format.h>

#include <algorithm>

#include "quire/base/byte_size.h"
#include "quire/cli/text_table.h"

namespace quire {
namespace {

constexpr int64_t kPrompt = 512, kOutput = 16;
constexpr int kRepetitions = 3;

StepCost CostOf(const Roofline& roofline, const BenchCase& what, int64_t step_tokens) {
  StepCost cost;
  for (int64_t i = 0; i < what.batch && what.prompt_tokens > 0; ++i) {
    cost += roofline.Prefill(what.prompt_tokens, what.depth, step_tokens);
  }
  for (int64_t step = 0; step < what.output_tokens; ++step) {
    cost += roofline.Decode(what.batch, what.depth + what.prompt_tokens + step);
  }
  return cost;
}

// "reading weights 81 %"
std::string Binding(const StepCost& cost) {
  const Resource binding = cost.binding();
  return fmt::format("{} {:.0f} %", ResourceName(binding), 100 * cost[binding] / cost.total());
}

nlohmann::ordered_json CostJson(const StepCost& cost) {
  nlohmann::ordered_json json = {{"seconds", cost.total()}, {"waits_for", ResourceName(cost.binding())}};
  for (int i = 0; i < kResources; ++i) {
    json["parts"][std::string(ResourceName(static_cast<Resource>(i)))] = cost.seconds[static_cast<size_t>(i)];
  }
  return json;
}

// Without what interrupted it, as the machine was measured: the fastest prompt, or the median of the steps.
double MeasuredSpeed(const BenchResult& result) {
  if (result.step_seconds.empty()) return SpreadOf(result.tokens_per_second).max;
  return static_cast<double>(result.what.batch) / SpreadOf(result.step_seconds).median;
}

std::string SecondsText(double seconds) { return seconds > 0 ? fmt::format("{:.3f}", seconds) : ""; }

}  // namespace

std::vector<BenchCase> ForecastCases(int64_t context) {
  std::vector<BenchCase> cases = {{.prompt_tokens = kPrompt}, {.output_tokens = kOutput}};
  cases.push_back({.output_tokens = kOutput, .flushed = true});
  for (const int64_t batch : {4, 16, 32}) cases.push_back({.batch = batch, .output_tokens = kOutput});
  for (const int64_t depth : {1024, 4096, 7168}) {
    cases.push_back({.output_tokens = kOutput, .depth = depth});
  }
  cases.push_back({.prompt_tokens = kPrompt, .depth = 4096});
  std::erase_if(cases, [&](const BenchCase& what) { return what.longest() > context; });
  return cases;
}

Forecast Predict(const Roofline& roofline, const BenchCase& what, int64_t step_tokens) {
  return {.what = what,
          .cost = CostOf(what.flushed ? roofline.WithFlushedCaches() : roofline, what, step_tokens),
          .without_moving_s = CostOf(roofline.WithoutMovingData(), what, step_tokens).total()};
}

Status Measure(LanguageModel& model, int64_t step_tokens, std::vector<Forecast>& forecasts,
               const std::function<void(double)>& done) {
  std::vector<BenchCase> cases;
  for (const Forecast& forecast : forecasts) cases.push_back(forecast.what);
  QUIRE_ASSIGN(ForwardBench bench, ForwardBench::Create(model, cases, step_tokens));
  bench.Run({.prompt_tokens = 16}, 1, [] {});
  double runs = 0;
  for (Forecast& forecast : forecasts) {
    const BenchResult result = bench.Run(forecast.what, kRepetitions, [&] {
      done(++runs / static_cast<double>(kRepetitions * forecasts.size()));
    });
    forecast.measured = MeasuredSpeed(result);
  }
  return {};
}

std::string ForecastTable(std::span<const Forecast> forecasts) {
  const bool measured = std::ranges::any_of(forecasts, [](const Forecast& f) { return f.measured > 0; });
  std::vector<std::string> header = {"test", "tokens/s", "waits for", "without moving data"};
  if (measured) header.insert(header.end(), {"measured", "predicted/measured"});
  TextTable table(header);
  for (const Forecast& f : forecasts) {
    std::vector<std::string> cells = {
        f.what.Name(), fmt::format("{:.1f}", f.tokens_per_second()), Binding(f.cost),
        fmt::format("{:.1f}", static_cast<double>(f.what.tokens()) / f.without_moving_s)};
    if (measured) {
      cells.push_back(fmt::format("{:.1f}", f.measured));
      cells.push_back(fmt::format("{:.2f}", f.ratio()));
    }
    table.Add(std::move(cells));
  }
  return table.Render();
}

nlohmann::ordered_json ForecastJson(std::span<const Forecast> forecasts) {
  auto list = nlohmann::ordered_json::array();
  for (const Forecast& f : forecasts) {
    nlohmann::ordered_json json = {{"test", f.what.Name()},
                                   {"batch", f.what.batch},
                                   {"prompt_tokens", f.what.prompt_tokens},
                                   {"output_tokens", f.what.output_tokens},
                                   {"depth", f.what.depth},
                                   {"flushed", f.what.flushed},
                                   {"tokens_per_second", f.tokens_per_second()},
                                   {"cost", CostJson(f.cost)},
                                   {"seconds_without_moving_data", f.without_moving_s}};
    if (f.measured > 0) {
      json["measured_tokens_per_second"] = f.measured;
      json["predicted_over_measured"] = f.ratio();
    }
    list.push_back(std::move(json));
  }
  return list;
}

std::string CostsTable(std::span<const DeploymentCosts> costs) {
  TextTable table({"context", "KV each", "prefill s", "users", "s/token alone", "s/token together", "at once",
                   "copy s", "to disk s", "from disk s", "a token waits for"});
  for (const DeploymentCosts& c : costs) {
    table.Add({fmt::format("{}", c.context), FormatByteSize(static_cast<uint64_t>(c.sequence_bytes)),
               SecondsText(c.prefill.total()), fmt::format("{}", c.users),
               fmt::format("{:.4f}", c.alone.total()), fmt::format("{:.4f}", c.together.total()),
               fmt::format("{}", c.at_once), SecondsText(c.copy_s), SecondsText(c.disk_write_s),
               SecondsText(c.disk_read_s), Binding(c.alone)});
  }
  return table.Render();
}

nlohmann::ordered_json CostsJson(std::span<const DeploymentCosts> costs) {
  auto list = nlohmann::ordered_json::array();
  for (const DeploymentCosts& c : costs) {
    nlohmann::ordered_json json = {{"context", c.context},
                                   {"kv_bytes_each", c.sequence_bytes},
                                   {"users", c.users},
                                   {"prefill", CostJson(c.prefill)},
                                   {"token_alone", CostJson(c.alone)},
                                   {"at_once", c.at_once},
                                   {"token_together", CostJson(c.together)},
                                   {"copy_seconds", c.copy_s}};
    if (c.disk_write_s > 0) json["disk_write_seconds"] = c.disk_write_s;
    if (c.disk_read_s > 0) json["disk_read_seconds"] = c.disk_read_s;
    list.push_back(std::move(json));
  }
  return list;
}

}  // namespace quire
