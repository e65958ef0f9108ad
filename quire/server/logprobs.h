// Log-probabilities in the shapes of the two APIs.
#ifndef QUIRE_SERVER_LOGPROBS_H_
#define QUIRE_SERVER_LOGPROBS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "quire/engine/token_sink.h"
#include "quire/text/tokenizer.h"

namespace quire {

// The text of a token; "bytes:\xe2\x80" for a part of a character.
std::string TokenLabel(const Tokenizer& tokenizer, Token token);

// Chat: [{"token", "logprob", "bytes", "top_logprobs"}], with `top` alternatives each.
nlohmann::ordered_json ChatLogprobs(const Tokenizer& tokenizer, std::span<const PositionLogprobs> positions,
                                    int top);

// Completions: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}. Offsets count characters from
// `text_offset`, which moves on. A position without value, as the first of a prompt, gives null.
class CompletionLogprobs {
 public:
  CompletionLogprobs(const Tokenizer& tokenizer, int top, int64_t& text_offset);
  void AddPrompt(std::span<const Token> tokens, std::span<const std::optional<PositionLogprobs>> positions);
  void Add(const PositionLogprobs& position);
  nlohmann::ordered_json Take() { return std::move(json_); }

 private:
  void AddToken(Token token);

  const Tokenizer& tokenizer_;
  const int top_;
  int64_t& text_offset_;
  nlohmann::ordered_json json_;
};

// vLLM's "prompt_logprobs": [null, {"<id>": {"logprob", "rank", "decoded_token"}}].
nlohmann::ordered_json PromptLogprobs(const Tokenizer& tokenizer,
                                      std::span<const std::optional<PositionLogprobs>> positions);

}  // namespace quire

#endif  // QUIRE_SERVER_LOGPROBS_H_
