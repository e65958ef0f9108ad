// `quire bench trace FILE`: writes a load for `quire bench replay` that nobody recorded.
#include <fmt/format.h>

#include <optional>

#include "quire/cli/generate.h"
#include "quire/cli/verb.h"
#include "quire/sim/trace_generator.h"

namespace quire {
namespace {

class BenchTraceVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("bench trace", "FILE [flags]",
                "Writes a load for bench replay: Azure's lengths of conversations or others, in bursts.");
    flags.Add({"FILE", &file_, "", "JSON lines; -: standard output", {}, true});
    flags.Add({"-n,--requests", &options_.requests, "N", "so many", {.min = 1, .max = 1e7}});
    flags.Add({"--rate", &options_.rate, "F", "requests a second, on average", {.min = 1e-6, .max = 1e6}});
    flags.Add({"--burst",
               &options_.burst_cv,
               "CV",
               "variation of the gaps between them; 1: Poisson",
               {.min = 0.05, .max = 20}});
    flags.Add(
        {"-p,--prompt-tokens", &options_.prompt_tokens, "N", "of every prompt; 0: as Azure's", {.max = 1e6}});
    flags.Add(
        {"--output-tokens", &options_.output_tokens, "N", "of every output; 0: as Azure's", {.max = 1e6}});
    flags.Add({"--shared-tokens",
               &options_.shared_tokens,
               "N",
               "that all first prompts begin with, besides; a multiple of 512",
               {.max = 1e6}});
    flags.Add({"--failures",
               &options_.failure_share,
               "P",
               "of them have no output: their clients leave",
               {.min = 0, .max = 1}});
    flags.Add({"--turns", &options_.turns, "F", "of a conversation, on average", {.min = 1, .max = 1000}});
    flags.Add(
        {"--think", &options_.think_s, "S", "before each further turn, on average", {.min = 0, .max = 1e6}});
    flags.Add({"--seed", &seed_, "N", "of everything that is drawn"});
    return flags;
  }

  Result<int> Run() override {
    if (options_.shared_tokens % kHashTokens != 0) {
      return Fail(ErrorCode::kInvalidArgument, "--shared-tokens is {}; it must be a multiple of {}",
                  options_.shared_tokens, kHashTokens);
    }
    options_.seed = *seed_;
    const std::string lines = TraceLines(GenerateTrace(options_));
    QUIRE_TRY(file_ == "-" ? WriteOut(lines) : WriteFile(file_, "trace", lines));
    return 0;
  }

 private:
  TraceOptions options_;
  std::string file_;
  std::optional<uint64_t> seed_ = 1;
};

}  // namespace

std::unique_ptr<Verb> MakeBenchTrace() { return std::make_unique<BenchTraceVerb>(); }

}  // namespace quire
