#include "quire/cli/kv_quality.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "quire/base/byte_size.h"
#include "quire/base/check.h"
#include "quire/engine/memory_budget.h"
#include "quire/kernels/kernels.h"

namespace quire {

Result<KvQuality> KvQuality::Create(LanguageModel& model, int64_t longest_tokens, int64_t step_tokens) {
  if (longest_tokens > model.info().context_length) {
    return Fail(ErrorCode::kInvalidArgument,
                "texts of {} tokens are longer than the context of {}, {}; measure shorter ones",
                longest_tokens, model.info().name, model.info().context_length);
  }
  const KvLayout& layout = model.kv_layout();
  QUIRE_ASSIGN(PagePool probe, PagePool::Create(layout.page_bytes(), layout.page_bytes()));
  const int64_t pages = PageCache(layout, std::move(probe)).PagesFor(longest_tokens, step_tokens);
  const uint64_t bytes = static_cast<uint64_t>(pages) * layout.page_bytes();
  if (bytes > AvailableMemoryBytes()) {
    return Fail(ErrorCode::kResourceExhausted, "the pages need {} and {} are free; measure shorter texts",
                FormatByteSize(bytes), FormatByteSize(AvailableMemoryBytes()));
  }
  QUIRE_ASSIGN(PagePool pool, PagePool::Create(bytes, layout.page_bytes()));
  return KvQuality(model, PageCache(layout, std::move(pool)), step_tokens);
}

void KvQuality::Feed(PageTable& table, std::span<const Token> tokens, LogitsWanted wanted,
                     const LogitsSink& see) {
  for (size_t at = 0; at < tokens.size(); at += static_cast<size_t>(step_tokens_)) {
    const auto piece = tokens.subspan(at, std::min(tokens.size() - at, static_cast<size_t>(step_tokens_)));
    const int64_t position = table.tokens;
    cache_.TrimWindows(table, position);
    QUIRE_CHECK(cache_.Reserve(table, std::ssize(piece)) == Verdict::kGranted);
    const bool last = at + piece.size() == tokens.size();
    const LogitsWanted now = wanted == LogitsWanted::kLast && !last ? LogitsWanted::kNone : wanted;
    model_.Forward({.sequences = {{piece, position, &table, now}}}, cache_.pool(), see);
  }
}

std::vector<double> KvQuality::NegativeLogLikelihoods(std::span<const Token> text) {
  std::vector<double> nlls;
  PageTable table;
  Feed(table, text.first(text.size() - 1), LogitsWanted::kAll, [&](std::span<LogitsRow> rows) {
    for (const LogitsRow& row : rows) {
      const float sum = BestKernels().log_sum_exp(row.logits.data(), std::ssize(row.logits), nullptr);
      nlls.push_back(static_cast<double>(sum) - row.logits[text[row.position + 1]]);
    }
  });
  cache_.Release(table);
  return nlls;
}

std::vector<Token> KvQuality::Continue(std::span<const Token> prompt, int64_t count) {
  std::vector<Token> continuation;
  const auto take_likeliest = [&](std::span<LogitsRow> rows) {
    int64_t best = 0;
    const std::span<const float> logits = rows.back().logits;
    BestKernels().log_sum_exp(logits.data(), std::ssize(logits), &best);
    continuation.push_back(static_cast<Token>(best));
  };
  PageTable table;
  Feed(table, prompt, LogitsWanted::kLast, take_likeliest);
  while (std::ssize(continuation) < count) {
    const Token last = continuation.back();
    Feed(table, {&last, 1}, LogitsWanted::kLast, take_likeliest);
  }
  cache_.Release(table);
  return continuation;
}

PassKey MakePassKey(const Tokenizer& tokenizer, std::span<const Token> filler, int64_t tokens, int index) {
  std::mt19937 random(static_cast<uint32_t>(index));
  PassKey key;
  key.digits = fmt::format("{}", 10'000 + random() % 90'000);
  const EncodeOptions middle{.add_special = false};
  const std::string sentence =
      fmt::format("\nThe pass key is {0}. Remember it. {0} is the pass key.\n", key.digits);
  const std::vector<Token> hidden = tokenizer.Encode(sentence, middle);
  const std::vector<Token> question = tokenizer.Encode("\nThe pass key is", middle);
  key.prompt = tokenizer.Encode("", {});  // what the model expects at the beginning

  const int64_t own = std::ssize(key.prompt) + std::ssize(hidden) + std::ssize(question);
  const int64_t around = std::max<int64_t>(0, std::min(tokens - own, std::ssize(filler)));
  const auto passage = filler.subspan(random() % (std::ssize(filler) - around + 1), around);
  const int64_t before = static_cast<int64_t>(random() % (around + 1));
  const auto append = [&](std::span<const Token> part) {
    key.prompt.insert(key.prompt.end(), part.begin(), part.end());
  };
  append(passage.first(before));
  append(hidden);
  append(passage.subspan(before));
  append(question);
  return key;
}

bool Found(const Tokenizer& tokenizer, const PassKey& key, std::span<const Token> continuation) {
  const std::string text = tokenizer.Decode(continuation, true);
  const size_t begin = text.find_first_not_of(" \n");
  return begin != std::string::npos && text.compare(begin, key.digits.size(), key.digits) == 0;
}

}  // namespace quire
