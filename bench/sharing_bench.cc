// How much memory sharing saves when a request wants several answers: at every step the pages in the page
// tables are counted once as they stand, shared pages once, and once as if every sequence had its own. What
// vLLM (Kwon et al. 2023, section 6.3) measured for parallel sampling and beam search.
//
//   sharing_bench MODEL PROMPTS OUTPUT_TOKENS     PROMPTS: a text file, a prompt a line
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <unordered_set>
#include <vector>

#include "quire/engine/beam_search.h"
#include "quire/engine/runtime.h"
#include "quire/kernels/kernels.h"
#include "quire/kv/page_cache.h"
#include "quire/model/transformer.h"

namespace quire {
namespace {

// A model that counts the pages of every step before it computes it.
class CountingModel final : public LanguageModel {
 public:
  explicit CountingModel(LanguageModel& model) : model_(model) {}
  const ModelInfo& info() const override { return model_.info(); }
  std::span<const KvLayout> kv_layouts() const override { return model_.kv_layouts(); }
  void Forward(const StepPlan& plan, const PageArena& kv, const LogitsSink& sink) override {
    std::unordered_set<PageId> distinct;
    for (const SequenceStep& step : plan.sequences) {
      for (const auto& group : step.pages->groups) {
        for (const PageId page : group) {
          if (page == kNoPage) continue;
          distinct.insert(page);
          ++unshared_;
        }
      }
    }
    shared_ += static_cast<int64_t>(distinct.size());
    model_.Forward(plan, kv, sink);
  }
  // Of the pages that would be needed without sharing, since the last call.
  double TakeSavedShare() {
    const double saved = 1 - static_cast<double>(shared_) / static_cast<double>(unshared_);
    shared_ = unshared_ = 0;
    return saved;
  }

 private:
  LanguageModel& model_;
  int64_t shared_ = 0, unshared_ = 0;  // pages, summed over steps
};

class EndOfRequest final : public TokenSink {
 public:
  void OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>>) override {}
  void OnOutput(OutputEvent event) override {
    ended += event.finish ? 1 : 0;
    failed |= event.finish == FinishReason::kError;
  }
  int ended = 0;
  bool failed = false;
};

Result<std::vector<std::vector<Token>>> ReadPrompts(const char* path, const Tokenizer& tokenizer) {
  std::ifstream file(path);
  std::vector<std::vector<Token>> prompts;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) prompts.push_back(tokenizer.Encode(line, {}));
  }
  if (prompts.empty()) return Fail(ErrorCode::kNotFound, "{}: has no prompts, a line each", path);
  return prompts;
}

// Answers the prompts one after the other, and prints what `count` answers, or beams, saved.
Status Measure(const Runtime& runtime, const std::vector<std::vector<Token>>& prompts, int64_t output_tokens,
               int count, bool beams) {
  CountingModel model(*runtime.model);
  const KvLayout& layout = model.kv_layout();
  QUIRE_ASSIGN(PagePool pages, PagePool::Create(size_t{1} << 30, layout.page_bytes()));
  QUIRE_ASSIGN(const auto engine,
               Engine::Create(model, runtime.tokenizer.get(),
                              std::make_unique<PageCache>(layout, std::move(pages)), *runtime.pool, {}));
  for (const std::vector<Token>& prompt : prompts) {
    Request request{.id = "bench", .prompt = prompt, .sampling = {}, .tenant = {}, .cache_salt = {}};
    request.sampling.seed = 1;
    request.sampling.max_tokens = output_tokens;
    const auto sink = std::make_shared<EndOfRequest>();
    if (beams) {
      const BeamParams params{.width = count, .best = count};
      QUIRE_TRY(BeamSearch::Start(*engine, runtime.tokenizer.get(), request, params, sink));
    } else {
      request.sampling.n = count;
      QUIRE_TRY(engine->Submit(request, sink));
    }
    while (sink->ended < count && engine->Step()) {
    }
    if (sink->failed || sink->ended < count) return Fail(ErrorCode::kInternal, "a request failed");
  }
  fmt::print("{} {}: {:.1f} % of the pages saved\n", count, beams ? "beams" : "samples",
             100 * model.TakeSavedShare());
  return {};
}

Status Run(const char* model, const char* prompts_path, int64_t output_tokens) {
  QUIRE_ASSIGN(const auto runtime, LoadRuntime(model, {.kv_memory = "64MiB"}));
  QUIRE_ASSIGN(const auto prompts, ReadPrompts(prompts_path, *runtime->tokenizer));
  for (const bool beams : {false, true}) {
    for (const int count : {2, 4, 6}) QUIRE_TRY(Measure(*runtime, prompts, output_tokens, count, beams));
  }
  return {};
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) {
  const int64_t output_tokens = argc == 4 ? std::atoll(argv[3]) : 0;
  if (output_tokens < 1) {
    fmt::print(stderr, "usage: sharing_bench MODEL PROMPTS OUTPUT_TOKENS\n");
    return 2;
  }
  const quire::Status ran = quire::Run(argv[1], argv[2], output_tokens);
  if (!ran) fmt::print(stderr, "sharing_bench: {}\n", ran.error().message);
  return ran ? 0 : 1;
}
