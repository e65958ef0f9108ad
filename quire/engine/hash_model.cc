#include "quire/engine/hash_model.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "quire/engine/sampler.h"
#include "quire/kv/equal_pages.h"
#include "quire/kv/page_cache.h"
#include "quire/kv/region_cache.h"

namespace quire {
namespace {

constexpr int kHeadDim = 4;

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0xff51afd7ed558ccdull;
  return hash ^ (hash >> 32);
}

std::vector<KvLayout> Layouts(const HashModelOptions& options) {
  std::vector<std::vector<LayerKv>> choices;
  for (const LayerTypes& kv_type : options.kv_types) {
    const std::vector<DType> types = kv_type.Of(static_cast<int>(options.windows.size())).value();
    std::vector<LayerKv>& layers = choices.emplace_back();
    for (size_t i = 0; i < types.size(); ++i) layers.push_back({options.windows[i], types[i]});
  }
  return LayoutsOverEqualPages(choices, options.kv_heads, kHeadDim, options.page_tokens);
}

// Element `i` of a tile.
void Put(std::byte* tile, DType type, int64_t i, float value) {
  if (type == DType::kF32) {
    reinterpret_cast<float*>(tile)[i] = value;
  } else {
    reinterpret_cast<uint16_t*>(tile)[i] = static_cast<uint16_t>(value);
  }
}
uint64_t Get(const std::byte* tile, DType type, int64_t i) {
  if (type == DType::kF32) return static_cast<uint64_t>(reinterpret_cast<const float*>(tile)[i]);
  return reinterpret_cast<const uint16_t*>(tile)[i];
}

// What a tile's slot holds: the token, its position, the layer and the head.
struct Slot {
  float values[kHeadDim];
};
Slot SlotOf(Token token, int64_t position, int layer, int head) {
  return {{static_cast<float>(token), static_cast<float>(position), static_cast<float>(layer),
           static_cast<float>(head)}};
}

}  // namespace

HashModel::HashModel(HashModelOptions options) : options_(std::move(options)), layouts_(Layouts(options_)) {
  info_.name = "hash";
  info_.architecture = "hash";
  info_.vocab_size = options_.vocab_size;
  info_.context_length = options_.context;
}

std::unique_ptr<KvCache> HashModel::MakeCache(int64_t pages) {
  const size_t bytes = kv_layout().page_bytes();
  auto cache = std::make_unique<PageCache>(layouts_, PagePool::Create(pages * bytes, bytes).value());
  pool_ = &cache->pool();
  return cache;
}

std::unique_ptr<KvCache> HashModel::MakeContiguousCache(int64_t pages, int64_t sequences) {
  pool_ = nullptr;
  return RegionCache::Create(kv_layout(), {.kv_bytes = pages * kv_layout().page_bytes(),
                                           .longest_tokens = options_.context,
                                           .sequences = sequences})
      .value();
}

void HashModel::Store(const PageArena& kv, const PageTable& table, int64_t position, Token token) const {
  const KvLayout& layout = layouts_[table.layout];
  const int64_t page_tokens = layout.page_tokens(), slot = position % page_tokens;
  for (int layer = 0; layer < layout.layers(); ++layer) {
    const DType type = layout.type(layer);
    const PageId page = table.groups[layout.group_of(layer)][position / page_tokens];
    EXPECT_NE(page, kNoPage);
    if (pool_ != nullptr && &pool_->arena() == &kv) {
      EXPECT_EQ(pool_->RefCount(page), 1) << "a shared page is written";
    }
    for (int head = 0; head < layout.kv_heads(); ++head) {
      const Slot value = SlotOf(token, position, layer, head);
      std::byte* const k = kv.tile(page, layout.KTile(layer, head));
      std::byte* const v = kv.tile(page, layout.VTile(layer, head));
      for (int d = 0; d < kHeadDim; ++d) {
        Put(k, type, d * page_tokens + slot, value.values[d]);
        Put(v, type, slot * kHeadDim + d, value.values[d]);
      }
    }
  }
}

uint64_t HashModel::HashPages(const PageArena& kv, const PageTable& table, int64_t position,
                              std::vector<Token>* prefix) const {
  const KvLayout& layout = layouts_[table.layout];
  const int64_t page_tokens = layout.page_tokens();
  uint64_t hash = 0;
  for (int layer = 0; layer < layout.layers(); ++layer) {
    const DType type = layout.type(layer);
    const int64_t window = options_.windows[layer];
    const int64_t begin = window == 0 ? 0 : std::max<int64_t>(0, position - window + 1);
    for (int64_t p = begin; p <= position; ++p) {
      const PageId page = table.groups[layout.group_of(layer)][p / page_tokens];
      if (page == kNoPage) {
        ADD_FAILURE() << "position " << p << " is visible from " << position << " but has no page";
        return 0;
      }
      for (int head = 0; head < layout.kv_heads(); ++head) {
        const std::byte* const k = kv.tile(page, layout.KTile(layer, head));
        const std::byte* const v = kv.tile(page, layout.VTile(layer, head));
        for (int d = 0; d < kHeadDim; ++d) {
          hash = Mix(hash, Get(k, type, d * page_tokens + p % page_tokens));
          hash = Mix(hash, Get(v, type, (p % page_tokens) * kHeadDim + d));
        }
        if (layer == 0 && head == 0) prefix->push_back(static_cast<Token>(Get(k, type, p % page_tokens)));
      }
    }
  }
  return hash;
}

uint64_t HashModel::HashTokens(std::span<const Token> prefix) const {
  uint64_t hash = 0;
  const int64_t position = std::ssize(prefix) - 1;
  for (int layer = 0; layer < kv_layout().layers(); ++layer) {
    const int64_t window = options_.windows[layer];
    for (int64_t p = window == 0 ? 0 : std::max<int64_t>(0, position - window + 1); p <= position; ++p) {
      for (int head = 0; head < kv_layout().kv_heads(); ++head) {
        for (float value : SlotOf(prefix[p], p, layer, head).values) {
          hash = Mix(Mix(hash, static_cast<uint64_t>(value)), static_cast<uint64_t>(value));
        }
      }
    }
  }
  return hash;
}

std::vector<Token> HashModel::TokensOf(const SequenceStep& step, const PageArena& kv) const {
  std::vector<Token> tokens;
  HashPages(kv, *step.pages, step.position + std::ssize(step.tokens) - 1, &tokens);
  return tokens;
}

std::vector<float> HashModel::LogitsOf(uint64_t hash) const {
  std::vector<float> logits(options_.vocab_size);
  for (int i = 0; i < options_.vocab_size; ++i) {
    logits[i] = static_cast<float>(Mix(Mix(hash, i), 0x51ed) % 8000) / 1000 - 4;
  }
  return logits;
}

std::vector<float> HashModel::LogitsAfter(std::span<const Token> prefix) const {
  std::vector<float> logits = LogitsOf(HashTokens(prefix));
  if (edit_logits) edit_logits(prefix, logits);
  return logits;
}

void HashModel::Forward(const StepPlan& plan, const PageArena& kv, const LogitsSink& sink) {
  constexpr size_t kRowsAtATime = 3;
  std::vector<std::vector<float>> storage;
  std::vector<LogitsRow> rows;
  const auto flush = [&] {
    for (size_t i = 0; i < rows.size(); ++i) rows[i].logits = storage[i];
    if (!rows.empty()) sink(rows);
    rows.clear();
    storage.clear();
  };
  // All writes first: what one sequence writes must not reach another.
  std::map<PageId, const SequenceStep*> writers;
  for (const SequenceStep& s : plan.sequences) {
    for (const std::vector<PageId>& group : s.pages->groups) {
      EXPECT_EQ(
          writers.emplace(group[s.position / layouts_[s.pages->layout].page_tokens()], &s).first->second, &s)
          << "two write into a page";
    }
    EXPECT_EQ(s.pages->tokens, s.position + std::ssize(s.tokens));
    for (size_t i = 0; i < s.tokens.size(); ++i) Store(kv, *s.pages, s.position + i, s.tokens[i]);
  }
  if (on_forward) on_forward(plan, kv);
  for (size_t n = 0; n < plan.sequences.size(); ++n) {
    const SequenceStep& s = plan.sequences[n];
    const int64_t last = s.position + std::ssize(s.tokens) - 1;
    int64_t from = s.position;
    if (s.logits == LogitsWanted::kLast) from = last;
    if (s.logits == LogitsWanted::kNone) continue;
    for (int64_t position = from; position <= last; ++position) {
      std::vector<Token> prefix;
      std::vector<float> logits = LogitsOf(HashPages(kv, *s.pages, position, &prefix));
      if (edit_logits) edit_logits(prefix, logits);
      storage.push_back(std::move(logits));
      rows.push_back({.sequence = static_cast<int>(n), .position = position, .logits = {}});
      if (rows.size() == kRowsAtATime) flush();
    }
  }
  flush();
}

void CollectingSink::OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>> logprobs) {
  EXPECT_FALSE(prompt_logprobs.has_value()) << "sent twice";
  EXPECT_TRUE(samples.empty()) << "sent after output";
  prompt_logprobs = std::move(logprobs);
}

void CollectingSink::OnOutput(OutputEvent event) {
  Sample& sample = samples[event.index];
  EXPECT_FALSE(sample.last.has_value()) << "an event after the last one";
  ++sample.events;
  sample.tokens.insert(sample.tokens.end(), event.tokens.begin(), event.tokens.end());
  sample.text += event.text;
  sample.logprobs.insert(sample.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
  EXPECT_EQ(event.output_tokens, std::ssize(sample.tokens));
  EXPECT_EQ(event.error.has_value(), event.finish == FinishReason::kError);
  if (event.finish) sample.last = std::move(event);
}

bool CollectingSink::finished(int n) const {
  return std::ssize(samples) == n &&
         std::ranges::all_of(samples, [](const auto& s) { return s.second.last.has_value(); });
}

std::vector<Token> ExpectedTokens(const HashModel& model, const Request& request, int index,
                                  int64_t max_tokens) {
  Sampler sampler(BestKernels(), model.info().vocab_size);
  const SamplingParams& params = request.sampling;
  TokenCounts seen;
  if (TokenCounts::Needed(params)) seen.AddPrompt(request.prompt);
  std::vector<Token> tokens = request.prompt, output;
  while (std::ssize(output) < max_tokens) {
    std::vector<float> logits = model.LogitsAfter(tokens);
    const bool may_stop = std::ssize(output) >= params.min_tokens;
    const auto sampled = sampler.Sample(
        logits, {.params = params,
                 .seen = seen,
                 .masked = may_stop ? std::span<const Token>() : std::span(params.stop_token_ids),
                 .seed = params.seed.value_or(0),
                 .first_sample = index,
                 .draws = 1,
                 .position = std::ssize(output)});
    const Token token = sampled.at(0).token;
    output.push_back(token);
    tokens.push_back(token);
    if (TokenCounts::Needed(params)) seen.AddOutput(token);
    if (std::ranges::find(params.stop_token_ids, token) != params.stop_token_ids.end()) break;
  }
  return output;
}

}  // namespace quire
