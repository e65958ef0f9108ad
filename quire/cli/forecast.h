// What the roofline says about a model on a machine, as people and programs read it; and what a measurement
// says to that.
#ifndef QUIRE_CLI_FORECAST_H_
#define QUIRE_CLI_FORECAST_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "quire/cli/forward_bench.h"
#include "quire/sim/deployment.h"
#include "quire/sim/roofline.h"

namespace quire {

struct Forecast {
  BenchCase what;
  StepCost cost;                // of all its steps
  double without_moving_s = 0;  // if reading took no time
  double measured = 0;          // tokens per second; 0: not measured

  double tokens_per_second() const { return static_cast<double>(what.tokens()) / cost.total(); }
  double ratio() const { return tokens_per_second() / measured; }
};

// A prompt, and decoding alone, together, from flushed caches and behind other tokens, as far as the context
// goes.
std::vector<BenchCase> ForecastCases(int64_t context);
Forecast Predict(const Roofline& roofline, const BenchCase& what, int64_t step_tokens);
// Fills in `measured` by running the model. `done` is told the share. Errors: those of ForwardBench.
Status Measure(LanguageModel& model, int64_t step_tokens, std::vector<Forecast>& forecasts,
               const std::function<void(double)>& done);

std::string ForecastTable(std::span<const Forecast> forecasts);
nlohmann::ordered_json ForecastJson(std::span<const Forecast> forecasts);

std::string CostsTable(std::span<const DeploymentCosts> costs);
nlohmann::ordered_json CostsJson(std::span<const DeploymentCosts> costs);

}  // namespace quire

#endif  // QUIRE_CLI_FORECAST_H_
