// One text at a time, kept the way of a variant: it is read, asked about, and forgotten. Questions are asked
// on forks, so each finds what was read as it was.
#ifndef QUIRE_SIM_QUALITY_KV_SESSION_H_
#define QUIRE_SIM_QUALITY_KV_SESSION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "quire/base/result.h"
#include "quire/base/token.h"
#include "quire/kv/page_cache.h"
#include "quire/model/language_model.h"
#include "quire/sim/quality/kv_variant.h"
#include "quire/sim/quality/quality_task.h"

namespace quire {

class KvSession {
 public:
  // For texts of `longest_tokens`, with all that is said about them; `step_tokens` are computed at once.
  // REQUIRES: the model has the variant's type of pages, takes that many tokens in a step, and outlives the
  // session. Errors: kInvalidArgument for texts beyond the model's context, or for a variant whose pages
  // leave in a model with sliding windows; kResourceExhausted where memory lacks.
  static Result<KvSession> Create(LanguageModel& model, const KvVariant& variant, int64_t longest_tokens,
                                  int64_t step_tokens);

  // Goes on reading; then what the variant does not keep leaves. Where something was read before, what comes
  // now is said about it, and selects.
  void Read(std::span<const Token> tokens);
  // REQUIRES: question and answers together have less than kQuestionTokens tokens.
  AnswerScore Ask(const QualityQuestion& question);
  // The right answer's negative log-likelihood, without each of `ranges` of what is held.
  std::vector<double> AskWithout(const QualityQuestion& question, std::span<const PageRange> ranges);
  void Forget();

  int64_t full_pages() const { return table_.tokens / page_tokens(); }
  int64_t page_tokens() const { return cache_->layout().page_tokens(); }

  // The negative log-likelihood of every token but the first, after those before it: computed in steps, after
  // each of which what the variant does not keep leaves, and in which all tokens select. Nothing is
  // remembered of it.
  std::vector<double> NegativeLogLikelihoods(std::span<const Token> text);

  static constexpr int64_t kQuestionTokens = 256;

 private:
  KvSession(LanguageModel& model, KvVariant variant, std::unique_ptr<PageCache> cache, int64_t step_tokens);

  enum class Reads { kAll, kSelected };

  // Appends `tokens` in steps, and gives every row of wanted logits to `see`.
  void Feed(std::span<const Token> tokens, Reads reads, LogitsWanted wanted, const LogitsSink& see);
  void Leave();
  // Scores the first `answers` answers on each of `tables`, which it releases.
  std::vector<AnswerScore> Score(const QualityQuestion& question, size_t answers,
                                 std::vector<PageTable> tables);
  SequenceStep Append(PageTable& table, std::span<const Token> tokens, Reads reads, LogitsWanted wanted);

  LanguageModel& model_;
  KvVariant variant_;
  std::unique_ptr<PageCache> cache_;
  int64_t step_tokens_;
  PageTable table_;
};

}  // namespace quire

#endif  // QUIRE_SIM_QUALITY_KV_SESSION_H_
