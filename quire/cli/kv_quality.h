// What a model remembers with its KV pages as they are: the likelihood of a text, and pass keys found again.
#ifndef QUIRE_CLI_KV_QUALITY_H_
#define QUIRE_CLI_KV_QUALITY_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/base/token.h"
#include "quire/kv/page_cache.h"
#include "quire/model/language_model.h"
#include "quire/text/tokenizer.h"

namespace quire {

// Runs one sequence at a time, on pages of its own.
class KvQuality {
 public:
  // Errors: kInvalidArgument for sequences beyond the model's context, kResourceExhausted where memory lacks.
  static Result<KvQuality> Create(LanguageModel& model, int64_t longest_tokens, int64_t step_tokens);

  // The negative log-likelihood of every token but the first, after those before it.
  std::vector<double> NegativeLogLikelihoods(std::span<const Token> text);
  // The likeliest `count` tokens after `prompt`, one after the other.
  std::vector<Token> Continue(std::span<const Token> prompt, int64_t count);

 private:
  KvQuality(LanguageModel& model, PageCache cache, int64_t step_tokens)
      : model_(model), cache_(std::move(cache)), step_tokens_(step_tokens) {}

  // Appends `tokens` in steps, and gives every row of wanted logits to `see`.
  void Feed(PageTable& table, std::span<const Token> tokens, LogitsWanted wanted, const LogitsSink& see);

  LanguageModel& model_;
  PageCache cache_;
  int64_t step_tokens_;
};

// A text of `tokens` tokens that hides five digits and ends by asking for them.
struct PassKey {
  std::vector<Token> prompt;
  std::string digits;
};
// `filler` is what they are hidden in, long enough; `index` chooses the digits, the place and the passage.
PassKey MakePassKey(const Tokenizer& tokenizer, std::span<const Token> filler, int64_t tokens, int index);

// Whether a continuation begins with the digits.
bool Found(const Tokenizer& tokenizer, const PassKey& key, std::span<const Token> continuation);

}  // namespace quire

#endif  // QUIRE_CLI_KV_QUALITY_H_
