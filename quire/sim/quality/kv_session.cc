// Invariant: between calls only `table_` holds pages. Nothing is trimmed while pages may be left out, since a
// window then reaches further back.
#include "quire/sim/quality/kv_session.h"

#include <algorithm>

#include "quire/base/byte_size.h"
#include "quire/base/check.h"
#include "quire/engine/memory_budget.h"
#include "quire/kernels/kernels.h"

namespace quire {
namespace {

constexpr int64_t kForks = 64;  // alive at once: tables times answers, and the tables themselves

// Adds a token's negative log-likelihood to the score of answer `a`.
void Judge(const QualityQuestion& question, size_t a, size_t at, std::span<const float> logits,
           AnswerScore& score) {
  const Token token = question.answers[a][at];
  const float sum = BestKernels().log_sum_exp(logits.data(), std::ssize(logits), nullptr);
  score.nlls[a] += static_cast<double>(sum) - logits[token];
  if (a > 0) return;
  for (const std::span<const Token> alike : question.alphabets) {
    if (std::ranges::find(alike, token) == alike.end()) continue;
    for (const Token other : alike) score.generated &= logits[other] <= logits[token];
  }
}

}  // namespace

Result<KvSession> KvSession::Create(LanguageModel& model, const KvVariant& variant, int64_t longest_tokens,
                                    int64_t step_tokens) {
  const KvLayout& layout = model.kv_layout();
  QUIRE_CHECK(layout.types() == variant.types.Of(layout.layers()));
  if (longest_tokens > model.info().context_length) {
    return Fail(ErrorCode::kInvalidArgument,
                "texts of {} tokens are longer than the context of {}, {}; measure shorter ones",
                longest_tokens, model.info().name, model.info().context_length);
  }
  if (variant.leaves != nullptr && std::ranges::any_of(layout.groups(), &LayerGroup::window)) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} has sliding windows, which pages cannot leave out of turn; choose others than '{}'",
                model.info().name, variant.name);
  }
  const int64_t own = layout.PageCount(longest_tokens), fork = layout.PageCount(kQuestionTokens) + 1;
  const int64_t pages = std::ssize(layout.groups()) * (own + kForks * fork);
  const uint64_t bytes = static_cast<uint64_t>(pages) * layout.page_bytes();
  if (bytes > AvailableMemoryBytes()) {
    return Fail(ErrorCode::kResourceExhausted, "the pages need {} and {} are free; measure shorter texts",
                FormatByteSize(bytes), FormatByteSize(AvailableMemoryBytes()));
  }
  QUIRE_ASSIGN(PagePool pool, PagePool::Create(bytes, layout.page_bytes()));
  return KvSession(model, variant, std::make_unique<PageCache>(layout, std::move(pool)), step_tokens);
}

KvSession::KvSession(LanguageModel& model, KvVariant variant, std::unique_ptr<PageCache> cache,
                     int64_t step_tokens)
    : model_(model), variant_(std::move(variant)), cache_(std::move(cache)), step_tokens_(step_tokens) {}

SequenceStep KvSession::Append(PageTable& table, std::span<const Token> tokens, Reads reads,
                               LogitsWanted wanted) {
  const int64_t position = table.tokens;
  QUIRE_CHECK(cache_->Reserve(table, std::ssize(tokens)) == Verdict::kGranted);
  return {.tokens = tokens,
          .position = position,
          .pages = &table,
          .logits = wanted,
          .selects_from = reads == Reads::kSelected ? position : INT64_MAX};
}

void KvSession::Feed(std::span<const Token> tokens, Reads reads, LogitsWanted wanted, const LogitsSink& see) {
  for (size_t at = 0; at < tokens.size(); at += static_cast<size_t>(step_tokens_)) {
    const auto piece = tokens.subspan(at, std::min(tokens.size() - at, static_cast<size_t>(step_tokens_)));
    model_.Forward({.sequences = {Append(table_, piece, reads, wanted)}}, cache_->arena(), see);
    if (wanted == LogitsWanted::kAll) Leave();
  }
}

void KvSession::Leave() {
  if (variant_.leaves == nullptr) return;
  const int64_t read = (table_.tokens + table_.left_out) / cache_->layout().page_tokens();
  const PageRange out = variant_.leaves({.held = full_pages(), .read = read});
  if (out.begin < out.end) cache_->LeaveOut(table_, out.begin, out.end);
}

void KvSession::Read(std::span<const Token> tokens) {
  const Reads reads = table_.empty() ? Reads::kAll : Reads::kSelected;
  Feed(tokens, reads, LogitsWanted::kNone, [](std::span<LogitsRow>) {});
  Leave();
}

void KvSession::Forget() { cache_->Release(table_); }

AnswerScore KvSession::Ask(const QualityQuestion& question) {
  std::vector<PageTable> tables;
  tables.push_back(cache_->Fork(table_));
  return Score(question, question.answers.size(), std::move(tables)).front();
}

std::vector<double> KvSession::AskWithout(const QualityQuestion& question,
                                          std::span<const PageRange> ranges) {
  const int64_t at_once = std::min(kForks / 2, step_tokens_ / std::ssize(question.ask));
  std::vector<double> nlls;
  while (!ranges.empty()) {
    std::vector<PageTable> tables;
    for (const PageRange& range : ranges.first(std::min(ranges.size(), static_cast<size_t>(at_once)))) {
      cache_->LeaveOut(tables.emplace_back(cache_->Fork(table_)), range.begin, range.end);
    }
    ranges = ranges.subspan(tables.size());
    for (const AnswerScore& score : Score(question, 1, std::move(tables))) nlls.push_back(score.nlls[0]);
  }
  return nlls;
}

// The question is computed once a table; its last row judges the answers' first tokens, and forks the others.
std::vector<AnswerScore> KvSession::Score(const QualityQuestion& question, size_t answers,
                                          std::vector<PageTable> tables) {
  QUIRE_CHECK(tables.size() * (answers + 1) <= kForks);
  std::vector<AnswerScore> scores(tables.size(), {std::vector<double>(answers, 0), true});
  StepPlan plan;
  for (PageTable& table : tables) {
    plan.sequences.push_back(Append(table, question.ask, Reads::kSelected, LogitsWanted::kLast));
  }
  model_.Forward(plan, cache_->arena(), [&](std::span<LogitsRow> rows) {
    for (const LogitsRow& row : rows) {
      for (size_t a = 0; a < answers; ++a) Judge(question, a, 0, row.logits, scores[row.sequence]);
    }
  });

  std::vector<PageTable> forks;
  forks.reserve(tables.size() * answers);
  plan.sequences.clear();
  for (PageTable& table : tables) {
    for (size_t a = 0; a < answers; ++a) {
      const std::span<const Token> answer = question.answers[a];
      PageTable& fork = forks.emplace_back(cache_->Fork(table));
      const std::span<const Token> fed = answer.first(answer.size() - 1);
      plan.sequences.push_back(Append(fork, fed, Reads::kSelected, LogitsWanted::kAll));
    }
  }
  if (plan.tokens() > 0) {
    model_.Forward(plan, cache_->arena(), [&](std::span<LogitsRow> rows) {
      for (const LogitsRow& row : rows) {
        const int64_t at = row.position - plan.sequences[row.sequence].position + 1;
        Judge(question, row.sequence % answers, at, row.logits, scores[row.sequence / answers]);
      }
    });
  }
  for (PageTable& fork : forks) cache_->Release(fork);
  for (PageTable& table : tables) cache_->Release(table);
  return scores;
}

std::vector<double> KvSession::NegativeLogLikelihoods(std::span<const Token> text) {
  QUIRE_CHECK(table_.empty());
  std::vector<double> nlls;
  Feed(text.first(text.size() - 1), Reads::kSelected, LogitsWanted::kAll, [&](std::span<LogitsRow> rows) {
    for (const LogitsRow& row : rows) {
      const float sum = BestKernels().log_sum_exp(row.logits.data(), std::ssize(row.logits), nullptr);
      nlls.push_back(static_cast<double>(sum) - row.logits[text[nlls.size() + 1]]);
    }
  });
  Forget();
  return nlls;
}

}  // namespace quire
