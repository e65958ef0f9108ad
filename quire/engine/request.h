// What a client asked for, complete and immutable: the engine never looks at JSON and the server never looks
// at a sequence.
#ifndef QUIRE_ENGINE_REQUEST_H_
#define QUIRE_ENGINE_REQUEST_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/token.h"

namespace quire {

// Names and meaning as in OpenAI's API and vLLM's SamplingParams. Order of application: logit_bias,
// penalties, temperature, then top_k, typical_p, top_p, min_p on the distribution.
struct SamplingParams {
  double temperature = 1.0;  // 0: greedy
  int top_k = 0;             // 0 or -1: off
  double top_p = 1.0;
  double min_p = 0.0;
  double typical_p = 1.0;           // locally typical sampling (Meister et al. 2022, section 3)
  double repetition_penalty = 1.0;  // over prompt and output (Keskar et al. 2019, section 4.1)
  double presence_penalty = 0.0;    // over the output
  double frequency_penalty = 0.0;   // over the output
  std::map<Token, float> logit_bias;
  std::optional<uint64_t> seed;  // absent: a fresh one per request
  int n = 1;                     // independent samples of the same prompt
  std::vector<std::string> stop;
  std::vector<Token> stop_token_ids;  // in addition to the model's own
  bool include_stop_in_output = false;
  bool ignore_eos = false;
  int64_t min_tokens = 0;              // no stop of any kind before
  std::optional<int64_t> max_tokens;   // absent: what the context allows
  std::optional<int> logprobs;         // 0..20 alternatives beside the sampled token
  std::optional<int> prompt_logprobs;  // the same for every prompt token
  bool skip_special_tokens = true;
};

// The session that a request belongs to: requests that follow each other, of a conversation or an agent.
struct SessionUse {
  std::string id;         // empty: none
  std::string next_tool;  // that the client runs on the answer, where it knows; else it is found out:
  std::vector<std::string> tools;  // that the answer may call
};

// A beginning of the prompt that is to stay cached. An owner has one pin of a prefix, however often it is
// asked for.
struct KeptPrefix {
  int64_t tokens = 0;
  double ttl_s = 0;
};

struct Request {
  std::string id;             // for logs, e.g. "cmpl-3f2a..."
  std::vector<Token> prompt;  // never empty
  SamplingParams sampling;
  int priority = 0;    // lower runs earlier where the policy looks at it
  std::string tenant;  // whose request it is, for policies that share fairly
  // Cached prefixes are shared among requests of equal salt only: others can neither use nor time them.
  std::string cache_salt;
  std::string kv_type = {};  // of its KV pages, one of Engine::kv_types(); empty: the first
  SessionUse session = {};
  std::string owner = {};             // whose the pins are that it makes
  std::vector<KeptPrefix> kept = {};  // from when its prompt is computed
};

}  // namespace quire

#endif  // QUIRE_ENGINE_REQUEST_H_
