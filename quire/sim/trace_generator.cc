#include "quire/sim/trace_generator.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "quire/sim/random_numbers.h"

namespace quire {
namespace {

// Equally spaced quantiles, from the least to the greatest, of the 19,366 requests of the Azure LLM inference
// trace 2023, conversations (CC-BY 4.0, https://github.com/Azure/AzurePublicDataset). Lengths of prompt and
// output are hardly related there (rank correlation 0.07).
constexpr double kPromptQuantiles[] = {2,    165,  194,  206,  235,  374,  383,  391,  396,  401,  405,
                                       412,  428,  818,  966,  1001, 1020, 1037, 1052, 1067, 1083, 1100,
                                       1120, 1147, 1189, 1312, 1335, 1766, 2309, 3018, 4079, 4089, 14050};
constexpr double kOutputQuantiles[] = {7,   33,  45,  53,  60,  68,  75,  81,  85,  89,  92,
                                       95,  99,  104, 110, 118, 129, 141, 157, 171, 195, 223,
                                       377, 389, 395, 397, 402, 411, 416, 427, 440, 502, 1000};

// `fixed`, where it is given; else drawn from the distribution, evenly between two quantiles.
int64_t Length(int64_t fixed, std::span<const double> quantiles, RandomNumbers& numbers) {
  if (fixed > 0) return fixed;
  const double at = numbers.Uniform() * static_cast<double>(quantiles.size() - 1);
  const auto below = static_cast<size_t>(at);
  const double share = at - static_cast<double>(below);
  return std::llround(quantiles[below] + share * (quantiles[below + 1] - quantiles[below]));
}

}  // namespace

std::vector<TraceRequest> GenerateTrace(const TraceOptions& options) {
  RandomNumbers numbers(options.seed);
  std::vector<TraceRequest> trace;
  double arrival = 0;
  for (int64_t i = 0; i < options.requests; ++i) {
    TraceRequest& request = trace.emplace_back();
    request.arrival_s = arrival;
    request.prompt_tokens = options.shared_tokens + Length(options.prompt_tokens, kPromptQuantiles, numbers);
    request.output_tokens = Length(options.output_tokens, kOutputQuantiles, numbers);
    for (int64_t id = 0; id < options.shared_tokens / kHashTokens; ++id) request.hash_ids.push_back(id);
    if (numbers.Uniform() < options.failure_share) request.output_tokens = 0;
    while (numbers.Uniform() < 1 - 1 / options.turns) {
      request.turns.push_back({.pause_s = options.think_s * numbers.Gamma(1),
                               .tool = "",
                               .prompt_tokens = Length(options.prompt_tokens, kPromptQuantiles, numbers),
                               .output_tokens = Length(options.output_tokens, kOutputQuantiles, numbers)});
    }
    arrival += numbers.Gamma(options.burst_cv) / options.rate;
  }
  return trace;
}

std::string TraceLines(std::span<const TraceRequest> trace) {
  using nlohmann::ordered_json;
  std::string lines;
  for (const TraceRequest& request : trace) {
    ordered_json line = {{"timestamp", 1000 * request.arrival_s},
                         {"input_length", request.prompt_tokens},
                         {"output_length", request.output_tokens}};
    if (!request.hash_ids.empty()) line["hash_ids"] = request.hash_ids;
    for (const TraceTurn& turn : request.turns) {
      line["turns"].push_back({{"input_length", turn.prompt_tokens},
                               {"output_length", turn.output_tokens},
                               {"pause", 1000 * turn.pause_s}});
    }
    lines += line.dump() + "\n";
  }
  return lines;
}

double DistributionDistance(std::vector<double> a, std::vector<double> b) {
  std::ranges::sort(a);
  std::ranges::sort(b);
  double largest = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const double value = std::min(a[i], b[j]);
    while (i < a.size() && a[i] <= value) ++i;
    while (j < b.size() && b[j] <= value) ++j;
    largest = std::max(largest, std::abs(static_cast<double>(i) / static_cast<double>(a.size()) -
                                         static_cast<double>(j) / static_cast<double>(b.size())));
  }
  return largest;
}

}  // namespace quire
