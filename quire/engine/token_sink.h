// Where a request's results go. The engine thread calls it, so it must return at once: a server's sink puts
// the event into the connection's queue and wakes it.
#ifndef QUIRE_ENGINE_TOKEN_SINK_H_
#define QUIRE_ENGINE_TOKEN_SINK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quire/base/result.h"
#include "quire/base/token.h"

namespace quire {

// A token with its log-probability under the model (before temperature and truncation).
struct TokenLogprob {
  Token token = 0;
  float logprob = 0;
  int rank = 0;  // 1: the most likely
};

struct PositionLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // most likely first
};

enum class FinishReason { kStop, kLength, kCancelled, kError };

// The results one sample of a request got in one step.
struct OutputEvent {
  int index = 0;              // which of the n samples
  std::vector<Token> tokens;  // newly sampled, usually one; a stop token is included here but not in text
  std::string text;           // newly visible text
  std::vector<PositionLogprobs> logprobs;  // one per token where asked
  std::optional<FinishReason> finish;
  std::optional<std::string> stop_string;  // the stop string that ended it
  std::optional<Token> stop_token;         // the stop token that ended it
  int64_t prompt_tokens = 0;               // of the request, for usage
  int64_t cached_tokens = 0;               // of the prompt: were not computed, but found in the prefix cache
  int64_t output_tokens = 0;               // of this sample, so far
  std::optional<Error> error;              // with FinishReason::kError
};

class TokenSink {
 public:
  virtual ~TokenSink() = default;
  // Before the first output when prompt log-probabilities were asked; entry 0 has none.
  virtual void OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>> logprobs) = 0;
  // Every sample's last event has `finish` set.
  virtual void OnOutput(OutputEvent event) = 0;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_TOKEN_SINK_H_
