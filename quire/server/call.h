// One call of /v1/completions or /v1/chat/completions, parsed: what the engine has to do, and how the client
// wants the answer.
#ifndef QUIRE_SERVER_CALL_H_
#define QUIRE_SERVER_CALL_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "quire/engine/beam_search.h"
#include "quire/engine/request.h"

namespace quire {

struct Call {
  enum class Kind { kCompletion, kChat };

  Kind kind = Kind::kCompletion;
  std::string id;     // "cmpl-...", "chatcmpl-..."
  std::string model;  // the name the client used
  int64_t created = 0;
  // One request per prompt; each is sampled `samples` times, and the `n` best are answered.
  std::vector<Request> requests;
  int n = 1;
  int samples = 1;
  std::optional<BeamParams> beams;  // instead of sampling; then samples is n

  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  bool return_token_ids = false;
  // Completions only: the text of every prompt, to be put before each of its answers.
  bool echo = false;
  std::vector<std::string> prompt_texts;
  // Alternatives per token beside the sampled one, where log-probabilities are to be shown.
  std::optional<int> logprobs;
  // Called on the engine's thread with the prompt and the first answer, when that is complete.
  std::function<void(std::vector<Token>)> record;
  // Tokens of the prompt that the client marked to be kept; absent where it marked none.
  std::optional<int64_t> kept_tokens;
  // Shown under "prompt_logprobs", apart from what echo shows.
  bool show_prompt_logprobs = false;
};

}  // namespace quire

#endif  // QUIRE_SERVER_CALL_H_
