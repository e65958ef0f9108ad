// Sequences with pages of several types in one step: each gets the bits that it gets where all pages have its
// type.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "quire/model/model_testing.h"

namespace quire {
namespace {

using testing::LoadModel;
using testing::TestModel;

constexpr size_t kKvBytes = size_t{64} << 20;
constexpr int64_t kTokens = 1100;  // several splits of attention

std::vector<Token> Text(int salt) {
  std::vector<Token> text;
  for (int64_t i = 0; i < kTokens; ++i) text.push_back(static_cast<Token>((i * 31 + salt * 7) % 190 + 3));
  return text;
}

std::vector<LayerTypes> Types() {
  return {LayerTypes(DType::kF16), LayerTypes(DType::kInt8), LayerTypes(DType::kInt4),
          LayerTypes::Parse("int4,0=f32").value()};
}

std::unique_ptr<TestModel> Load(const std::string& family, ModelOptions options, ThreadPool& pool) {
  options.max_step_tokens = 4096;
  const std::string path = std::string(QUIRE_SOURCE_DIR) + "/tests/data/families/" + family + "/model.gguf";
  return std::make_unique<TestModel>(LoadModel(path, options, pool).value(), kKvBytes);
}

using Logits = std::vector<std::vector<float>>;

// The logits of a sequence of each table's text: a long prompt, another piece, and single tokens.
std::vector<Logits> Compute(TestModel& model, std::vector<PageTable>& tables) {
  std::vector<std::vector<Token>> texts;
  for (size_t i = 0; i < tables.size(); ++i) texts.push_back(Text(static_cast<int>(i) / 2));
  std::vector<Logits> all(tables.size());
  int64_t done = 0;
  for (const int64_t piece : {500, 90, 1, 1, 430, 1}) {
    StepPlan plan;
    for (size_t i = 0; i < tables.size(); ++i) {
      plan.sequences.push_back(
          model.Append(tables[i], std::span(texts[i]).subspan(done, piece), LogitsWanted::kLast));
    }
    const auto logits = model.Run(plan);
    for (size_t i = 0; i < all.size(); ++i) all[i].push_back(logits[i].front());
    done += piece;
  }
  return all;
}

class KvTypesSideBySide : public ::testing::TestWithParam<const char*> {};

TEST_P(KvTypesSideBySide, HaveTheBitsOfEachAlone) {
  ThreadPool pool(2);
  const std::vector<LayerTypes> types = Types();
  const auto mixed =
      Load(GetParam(), {.kv_types = types[0], .more_kv_types = {types.begin() + 1, types.end()}}, pool);
  ASSERT_EQ(mixed->model().kv_layouts().size(), types.size());
  std::vector<PageTable> tables(2 * types.size());
  for (size_t i = 0; i < tables.size(); ++i) tables[i].layout = static_cast<int>(i % types.size());
  const std::vector<Logits> together = Compute(*mixed, tables);
  for (size_t t = 0; t < types.size(); ++t) {
    const auto alone = Load(GetParam(), {.kv_types = types[t]}, pool);
    std::vector<PageTable> own(tables.size());
    const std::vector<Logits> expected = Compute(*alone, own);
    for (size_t i = t; i < tables.size(); i += types.size())
      EXPECT_EQ(together[i], expected[i]) << types[t].Name();
    EXPECT_NE(together[(t + 1) % types.size()], expected[(t + 1) % types.size()]) << "all types are alike";
  }
}

INSTANTIATE_TEST_SUITE_P(Families, KvTypesSideBySide, ::testing::Values("llama", "gemma3", "phi3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace quire
