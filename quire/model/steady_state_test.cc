// A model that decodes takes no memory from the heap: everything it needs was laid out before, or is kept
// from the first steps. One thread, so that all of it is counted here.
#include <gtest/gtest.h>

#include "quire/files/allocation_count.h"
#include "quire/model/model_testing.h"

namespace quire {
namespace {

using testing::LoadModel;
using testing::TestModel;

// Bytes taken by forward passes that decode `steps` tokens of each sequence, after as many to warm up.
size_t TakenByDecoding(const std::string& path, int64_t prompt_tokens, int sequences, int steps,
                       const ModelOptions& options = {}) {
  ThreadPool pool(1);
  auto loaded = LoadModel(path, options, pool);
  EXPECT_TRUE(loaded.has_value());
  TestModel model(std::move(*loaded), size_t{512} << 20);
  std::vector<PageTable> tables(static_cast<size_t>(sequences));
  const int layouts = static_cast<int>(model.model().kv_layouts().size());
  for (int i = 0; i < sequences; ++i) tables[i].layout = i % layouts;
  const std::vector<Token> prompt(static_cast<size_t>(prompt_tokens), 7);
  for (PageTable& table : tables) model.Step(table, prompt, LogitsWanted::kLast);

  const Token token = 5;
  int rows_seen = 0;
  const LogitsSink sink = [&](std::span<LogitsRow> rows) { rows_seen += static_cast<int>(rows.size()); };
  size_t taken = 0;
  for (int step = 0; step < 2 * steps; ++step) {
    StepPlan plan;
    for (PageTable& table : tables) {
      plan.sequences.push_back(model.Append(table, {&token, 1}, LogitsWanted::kLast));
      plan.sequences.back().selects_from = prompt_tokens;
    }
    const size_t before = AllocatedBytes();
    model.model().Forward(plan, model.cache().arena(), sink);
    if (step >= steps) taken += AllocatedBytes() - before;
  }
  EXPECT_EQ(rows_seen, 2 * steps * sequences);
  return taken;
}

TEST(SteadyState, DecodingTakesNoMemoryWhateverTheFamily) {
  for (const char* name : {"llama", "gemma3", "phi3", "qwen3", "llama_quantized"}) {
    const std::string path = std::string(QUIRE_SOURCE_DIR) + "/tests/data/families/" + name + "/model.gguf";
    EXPECT_EQ(TakenByDecoding(path, 20, 3, 10), 0u) << name;
  }
}

TEST(SteadyState, DecodingWithSeveralTypesOfPagesTakesNoMemory) {
  const std::string path = std::string(QUIRE_SOURCE_DIR) + "/tests/data/families/gemma3/model.gguf";
  EXPECT_EQ(TakenByDecoding(path, 20, 4, 10, {.more_kv_types = {DType::kInt8, DType::kInt4}}), 0u);
}

TEST(SteadyState, SelectingPagesTakesNoMemory) {
  const std::string path = std::string(QUIRE_SOURCE_DIR) + "/tests/data/families/gemma3/model.gguf";
  for (const std::string policy : {"lowbit", "quest"}) {
    const ModelOptions options{.selection = MakeSelectionPolicy(policy + ":dense_layers=0").value()};
    EXPECT_EQ(TakenByDecoding(path, 100, 3, 10, options), 0u) << policy;
  }
}

TEST(SteadyState, DecodingOfARealModelTakesNoMemory) {
  const std::string path = testing::RealModelPath("SmolLM2-135M-Instruct.Q4_1.gguf");
  if (path.empty()) GTEST_SKIP() << "QUIRE_MODELS has no SmolLM2";
  // Deep enough for several splits, and over the ends of pages.
  EXPECT_EQ(TakenByDecoding(path, 500, 3, 40), 0u);
}

}  // namespace
}  // namespace quire
