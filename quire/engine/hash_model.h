// A language model for tests whose logits are a hash of the whole visible prefix, read back through the
// pages: every token's identity and position is written into its slot of every tile, and all earlier slots
// are read for every token. So a wrong page, a missing copy on write, a stale or trimmed page changes ids.
#ifndef QUIRE_ENGINE_HASH_MODEL_H_
#define QUIRE_ENGINE_HASH_MODEL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "quire/engine/engine.h"
#include "quire/kv/layer_types.h"
#include "quire/model/language_model.h"

namespace quire {

struct HashModelOptions {
  int vocab_size = 61;
  int64_t context = 4096;
  std::vector<int64_t> windows = {0};  // by layer; 0: full attention
  int kv_heads = 2;
  int page_tokens = 16;
  // Of pages that requests may have: of f32 and of 16 bits, which hold whole numbers here.
  std::vector<LayerTypes> kv_types = {DType::kF32};
};

class HashModel final : public LanguageModel {
 public:
  explicit HashModel(HashModelOptions options = {});

  const ModelInfo& info() const override { return info_; }
  std::span<const KvLayout> kv_layouts() const override { return layouts_; }
  void Forward(const StepPlan& plan, const PageArena& kv, const LogitsSink& sink) override;

  // The logits after `prefix`, computed without pages: what Forward must find.
  std::vector<float> LogitsAfter(std::span<const Token> prefix) const;

  // Called by every Forward when the plan's tokens are stored: for tests that look at plans or throw.
  std::function<void(const StepPlan&, const PageArena&)> on_forward;
  // A sequence's tokens up to the end of its step, read from its pages. REQUIRES: layer 0 has full attention.
  std::vector<Token> TokensOf(const SequenceStep& step, const PageArena& kv) const;
  // Changes the logits after `prefix` (what layer 0 sees of it) before they are handed out.
  std::function<void(std::span<const Token> prefix, std::span<float> logits)> edit_logits;

  // KV memory of `pages` pages for this model; contiguous for at most `sequences` at once. Forward checks
  // that no shared page of the cache made last is written.
  std::unique_ptr<KvCache> MakeCache(int64_t pages);
  std::unique_ptr<KvCache> MakeContiguousCache(int64_t pages, int64_t sequences);

 private:
  void Store(const PageArena& kv, const PageTable& table, int64_t position, Token token) const;
  uint64_t HashPages(const PageArena& kv, const PageTable& table, int64_t position,
                     std::vector<Token>* prefix) const;
  uint64_t HashTokens(std::span<const Token> prefix) const;
  std::vector<float> LogitsOf(uint64_t hash) const;

  HashModelOptions options_;
  ModelInfo info_;
  std::vector<KvLayout> layouts_;
  const PagePool* pool_ = nullptr;  // of the cache made last; a contiguous one shares nothing
};

// Collects what a request sends, and checks the rules of token_sink.h while it does.
class CollectingSink final : public TokenSink {
 public:
  struct Sample {
    std::vector<Token> tokens;
    std::string text;
    std::vector<PositionLogprobs> logprobs;
    int events = 0;
    std::optional<OutputEvent> last;  // the event with `finish`
  };

  void OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>> logprobs) override;
  void OnOutput(OutputEvent event) override;

  // By sample. Read it when the engine's thread is not running.
  std::map<int, Sample> samples;
  std::optional<std::vector<std::optional<PositionLogprobs>>> prompt_logprobs;

  const Sample& at(int index) const { return samples.at(index); }
  bool finished(int n = 1) const;
  FinishReason reason(int index = 0) const { return *samples.at(index).last->finish; }
};

// What sample `index` of the request generates when nothing is short: prefix after prefix, without engine,
// pages or batch. REQUIRES: the request has a seed or is greedy.
std::vector<Token> ExpectedTokens(const HashModel& model, const Request& request, int index,
                                  int64_t max_tokens);

}  // namespace quire

#endif  // QUIRE_ENGINE_HASH_MODEL_H_
