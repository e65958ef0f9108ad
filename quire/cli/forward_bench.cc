// Sequences share no pages but those asked for: a batch that reads the same KV is faster.
#include "quire/cli/forward_bench.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "quire/base/byte_size.h"
#include "quire/base/check.h"
#include "quire/base/clock.h"
#include "quire/cli/machine_speed.h"
#include "quire/engine/runtime.h"
#include "quire/kv/random_page.h"

namespace quire {

std::string BenchCase::Name() const {
  std::string name =
      prompt_tokens > 0 ? fmt::format("prefill {}", prompt_tokens) : fmt::format("decode {}", output_tokens);
  if (batch > 1) name += fmt::format(" x {}", batch);
  if (depth > 0) name += fmt::format(" at {}", depth);
  if (shared_tokens > 0) name += fmt::format(", {} shared", shared_tokens);
  if (flushed) name += " flushed";
  return name;
}

Spread SpreadOf(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t n = values.size();
  return {(values[(n - 1) / 2] + values[n / 2]) / 2, values.front(), values.back()};
}

Result<std::unique_ptr<KvCache>> MakeBenchCache(const LanguageModel& model, const std::string& kv_layout,
                                                int64_t pages, int64_t longest, int64_t sequences) {
  const KvLayout& layout = model.kv_layout();
  const uint64_t bytes = static_cast<uint64_t>(pages) * layout.page_bytes();
  if (bytes > AvailableMemoryBytes()) {
    return Fail(ErrorCode::kResourceExhausted,
                "the pages need {} and {} are free; measure smaller batches or depths", FormatByteSize(bytes),
                FormatByteSize(AvailableMemoryBytes()));
  }
  // Contiguous, pages of the system come on top.
  return MakeKvCache({&layout, 1}, kv_layout, kv_layout == "contiguous" ? 2 * bytes : bytes, longest,
                     sequences);
}

Result<ForwardBench> ForwardBench::Create(LanguageModel& model, const std::vector<BenchCase>& cases,
                                          int64_t step_tokens, const std::string& kv_layout) {
  const KvLayout& layout = model.kv_layout();
  int64_t pages = 1, longest = 0, sequences = 0;
  for (const BenchCase& what : cases) {
    if (what.longest() > model.info().context_length) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{} needs {} tokens and the model has a context of {}; measure less", what.Name(),
                  what.longest(), model.info().context_length);
    }
    pages = std::max(pages, what.batch * layout.PagesFor(what.longest(), step_tokens));
    longest = std::max(longest, what.longest());
    sequences = std::max(sequences, what.batch);
  }
  QUIRE_ASSIGN(auto cache, MakeBenchCache(model, kv_layout, pages, longest, sequences + 1));
  ForwardBench bench(model, std::move(cache), step_tokens);
  if (std::ranges::any_of(cases, &BenchCase::flushed)) {
    QUIRE_ASSIGN(bench.other_data_, AlignedBuffer::Allocate(BeyondCachesBytes()));
    std::memset(bench.other_data_.data(), 1, bench.other_data_.bytes());  // memory of its own
  }
  return bench;
}

ForwardBench::ForwardBench(LanguageModel& model, std::unique_ptr<KvCache> cache, int64_t step_tokens)
    : model_(model), cache_(std::move(cache)), step_tokens_(step_tokens) {
  for (size_t g = 0; g < model.kv_layout().groups().size(); ++g) {
    kv_pages_.push_back(RandomPage(model.kv_layout(), g));
  }
  std::mt19937 random(1);
  std::uniform_int_distribution<Token> ids(0, model.info().vocab_size - 1);
  tokens_.resize(static_cast<size_t>(std::max<int64_t>(step_tokens, 512)));
  for (Token& token : tokens_) token = ids(random);
}

void ForwardBench::Reserve(PageTable& table, int64_t tokens) {
  QUIRE_CHECK(cache_->Reserve(table, tokens) == Verdict::kGranted);
}

double ForwardBench::Prefill(std::vector<PageTable>& tables, int64_t tokens) {
  const TimePoint start = Clock::System().Now();
  for (PageTable& table : tables) {
    for (int64_t done = 0; done < tokens;) {
      const int64_t piece = std::min(step_tokens_, tokens - done), position = table.tokens;
      cache_->TrimWindows(table, position);
      Reserve(table, piece);
      done += piece;
      const std::span<const Token> ids(tokens_.data(), static_cast<size_t>(piece));
      const LogitsWanted logits = done == tokens ? LogitsWanted::kLast : LogitsWanted::kNone;
      model_.Forward({.sequences = {{ids, position, &table, logits}}}, cache_->arena(),
                     [](std::span<LogitsRow>) {});
    }
  }
  return Seconds(Clock::System().Now() - start);
}

// By reading: what was written would have to go to memory while the model reads from it.
void ForwardBench::FlushCaches() {
  volatile uint64_t sum = 0;
  const std::span words(reinterpret_cast<const uint64_t*>(other_data_.data()),
                        other_data_.bytes() / sizeof(uint64_t));
  for (size_t i = 0; i < words.size(); i += 8) sum = sum + words[i];
}

double ForwardBench::Decode(std::vector<PageTable>& tables, int64_t tokens, bool flushed,
                            BenchResult& result) {
  double seconds = 0;
  for (int64_t step = 0; step < tokens; ++step) {
    if (flushed) FlushCaches();
    const TimePoint start = Clock::System().Now();
    StepPlan plan;
    for (size_t i = 0; i < tables.size(); ++i) {
      const int64_t position = tables[i].tokens;
      cache_->TrimWindows(tables[i], position);
      Reserve(tables[i], 1);
      const size_t id = (static_cast<size_t>(step) * tables.size() + i) % tokens_.size();
      plan.sequences.push_back({{&tokens_[id], 1}, position, &tables[i], LogitsWanted::kLast, position});
    }
    model_.Forward(plan, cache_->arena(), [](std::span<LogitsRow>) {});
    result.step_seconds.push_back(Seconds(Clock::System().Now() - start));
    seconds += result.step_seconds.back();
  }
  return seconds;
}

PageTable ForwardBench::Fill(PageTable table, int64_t depth) {
  // In the pieces of a prompt, so that a window never holds more pages than it would there.
  for (int64_t done = table.tokens; done < depth;) {
    const int64_t piece = std::min(step_tokens_, depth - done);
    cache_->TrimWindows(table, done);
    Reserve(table, piece);
    done += piece;
  }
  for (size_t g = 0; g < table.groups.size(); ++g) {
    const std::vector<TilePlace> tiles = cache_->layout().Tiles(g);
    for (const PageId page : table.groups[g]) {
      if (page == kNoPage) continue;
      for (const TilePlace tile : tiles) {
        std::copy_n(&kv_pages_[g][tile.offset], tile.bytes, cache_->arena().tile(page, tile));
      }
    }
  }
  return table;
}

BenchResult ForwardBench::Run(const BenchCase& what, int repetitions, const std::function<void()>& done) {
  BenchResult result{what, {}, {}};
  for (int i = 0; i < repetitions; ++i) {
    std::vector<PageTable> tables;
    const int64_t page_tokens = model_.kv_layout().page_tokens();
    PageTable shared = Fill({}, std::min(what.shared_tokens, what.depth) / page_tokens * page_tokens);
    for (int64_t s = 0; s < what.batch; ++s) tables.push_back(Fill(cache_->Fork(shared), what.depth));
    cache_->Release(shared);
    double seconds = 0;
    if (what.prompt_tokens > 0) seconds += Prefill(tables, what.prompt_tokens);
    if (what.output_tokens > 0) seconds += Decode(tables, what.output_tokens, what.flushed, result);
    result.tokens_per_second.push_back(static_cast<double>(what.tokens()) / seconds);
    for (PageTable& table : tables) cache_->Release(table);
    done();
  }
  return result;
}

}  // namespace quire
