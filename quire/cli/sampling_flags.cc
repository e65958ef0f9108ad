#include "quire/cli/sampling_flags.h"

namespace quire {

SamplingFlags::SamplingFlags() {
  params.temperature = 0.7;
  params.top_p = 0.95;
  params.max_tokens = 512;
}

void SamplingFlags::Add(Flags& flags) {
  const FlagLimits share{.min = 0, .max = 1};
  const FlagLimits penalty{.min = -2, .max = 2};
  flags.Add({"-n,--max-tokens", &params.max_tokens, "N", "stop after so many tokens", {.min = 1}});
  flags.Add({"-t,--temperature",
             &params.temperature,
             "X",
             "0: always the likeliest token",
             {.min = 0, .max = 100}});
  flags.Add({"--top-k", &params.top_k, "N", "choose among the N likeliest; 0: off", {.min = -1}});
  flags.Add({"--top-p", &params.top_p, "P", "choose among the likeliest that share P", share});
  flags.Add({"--min-p", &params.min_p, "P", "leave out those below P of the likeliest", share});
  flags.Add({"--typical-p", &params.typical_p, "P", "locally typical sampling; 1: off", share});
  flags.Add({"--repetition-penalty",
             &params.repetition_penalty,
             "X",
             "over prompt and output; 1: off",
             {.min = 0.01, .max = 100}});
  flags.Add(
      {"--presence-penalty", &params.presence_penalty, "X", "for what the output has; 0: off", penalty});
  flags.Add({"--frequency-penalty", &params.frequency_penalty, "X", "for each time the output has it; 0: off",
             penalty});
  flags.Add({"--seed", &params.seed, "N", "the same seed gives the same answer; default: a new one"});
  flags.Add({"--stop", &params.stop, "TEXT", "end before this text; can be repeated"});
}

}  // namespace quire
