// Sequences never share pages here: a batch that read the same KV would be faster than one of real users.
#include "quire/cli/forward_bench.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "quire/base/byte_size.h"
#include "quire/base/check.h"
#include "quire/base/clock.h"
#include "quire/engine/runtime.h"

namespace quire {

std::string BenchCase::Name() const {
  std::string name =
      prompt_tokens > 0 ? fmt::format("prefill {}", prompt_tokens) : fmt::format("decode {}", output_tokens);
  if (batch > 1) name += fmt::format(" x {}", batch);
  if (depth > 0) name += fmt::format(" at {}", depth);
  return name;
}

Spread SpreadOf(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t n = values.size();
  return {(values[(n - 1) / 2] + values[n / 2]) / 2, values.front(), values.back()};
}

Result<ForwardBench> ForwardBench::Create(LanguageModel& model, const std::vector<BenchCase>& cases,
                                          int64_t step_tokens) {
  const KvLayout& layout = model.kv_layout();
  QUIRE_ASSIGN(PagePool probe, PagePool::Create(layout.page_bytes(), layout.page_bytes()));
  const PageCache counter(layout, std::move(probe));
  int64_t pages = 1;
  for (const BenchCase& what : cases) {
    if (what.longest() > model.info().context_length) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{} needs {} tokens and the model has a context of {}; measure less", what.Name(),
                  what.longest(), model.info().context_length);
    }
    pages = std::max(pages, what.batch * counter.PagesFor(what.longest(), step_tokens));
  }
  const uint64_t bytes = static_cast<uint64_t>(pages) * layout.page_bytes();
  if (bytes > AvailableMemoryBytes()) {
    return Fail(ErrorCode::kResourceExhausted,
                "the pages need {} and {} are free; measure smaller batches or depths", FormatByteSize(bytes),
                FormatByteSize(AvailableMemoryBytes()));
  }
  QUIRE_ASSIGN(PagePool pool, PagePool::Create(bytes, layout.page_bytes()));
  return ForwardBench(model, PageCache(layout, std::move(pool)), step_tokens);
}

ForwardBench::ForwardBench(LanguageModel& model, PageCache cache, int64_t step_tokens)
    : model_(model), cache_(std::move(cache)), step_tokens_(step_tokens) {
  std::mt19937 random(1);
  std::uniform_int_distribution<Token> ids(0, model.info().vocab_size - 1);
  tokens_.resize(static_cast<size_t>(std::max<int64_t>(step_tokens, 512)));
  for (Token& token : tokens_) token = ids(random);
}

void ForwardBench::Reserve(PageTable& table, int64_t tokens) {
  QUIRE_CHECK(cache_.Reserve(table, tokens) == Verdict::kGranted);
}

void ForwardBench::Prefill(std::vector<PageTable>& tables, int64_t tokens) {
  for (PageTable& table : tables) {
    for (int64_t done = 0; done < tokens;) {
      const int64_t piece = std::min(step_tokens_, tokens - done), position = table.tokens;
      cache_.TrimWindows(table, position);
      Reserve(table, piece);
      done += piece;
      const std::span<const Token> ids(tokens_.data(), static_cast<size_t>(piece));
      const LogitsWanted logits = done == tokens ? LogitsWanted::kLast : LogitsWanted::kNone;
      model_.Forward({.sequences = {{ids, position, &table, logits}}}, cache_.pool(),
                     [](std::span<LogitsRow>) {});
    }
  }
}

void ForwardBench::Decode(std::vector<PageTable>& tables, int64_t tokens) {
  for (int64_t step = 0; step < tokens; ++step) {
    StepPlan plan;
    for (size_t i = 0; i < tables.size(); ++i) {
      const int64_t position = tables[i].tokens;
      cache_.TrimWindows(tables[i], position);
      Reserve(tables[i], 1);
      const size_t id = (static_cast<size_t>(step) * tables.size() + i) % tokens_.size();
      plan.sequences.push_back({{&tokens_[id], 1}, position, &tables[i], LogitsWanted::kLast});
    }
    model_.Forward(plan, cache_.pool(), [](std::span<LogitsRow>) {});
  }
}

void ForwardBench::CopyPages(const PageTable& from, const PageTable& to) {
  for (size_t group = 0; group < from.groups.size(); ++group) {
    for (size_t i = 0; i < from.groups[group].size(); ++i) {
      if (from.groups[group][i] == kNoPage) continue;
      std::memcpy(cache_.pool().data(to.groups[group][i]), cache_.pool().data(from.groups[group][i]),
                  cache_.pool().page_bytes());
    }
  }
}

std::vector<PageTable> ForwardBench::Fill(int64_t batch, int64_t depth) {
  std::vector<PageTable> tables(1);
  Prefill(tables, depth);
  for (int64_t i = 1; i < batch; ++i) {
    PageTable copy;
    // In the pieces of the original, so that a window never holds more pages than it did there.
    for (int64_t done = 0; done < depth;) {
      const int64_t piece = std::min(step_tokens_, depth - done);
      cache_.TrimWindows(copy, done);
      Reserve(copy, piece);
      done += piece;
    }
    CopyPages(tables.front(), copy);
    tables.push_back(std::move(copy));
  }
  return tables;
}

BenchResult ForwardBench::Run(const BenchCase& what, int repetitions, const std::function<void()>& done) {
  BenchResult result{what, {}};
  for (int i = 0; i < repetitions; ++i) {
    std::vector<PageTable> tables = Fill(what.batch, what.depth);
    const TimePoint start = Clock::System().Now();
    if (what.prompt_tokens > 0) Prefill(tables, what.prompt_tokens);
    if (what.output_tokens > 0) Decode(tables, what.output_tokens);
    const double seconds = Seconds(Clock::System().Now() - start);
    result.tokens_per_second.push_back(static_cast<double>(what.tokens()) / seconds);
    for (PageTable& table : tables) cache_.Release(table);
    done();
  }
  return result;
}

}  // namespace quire
