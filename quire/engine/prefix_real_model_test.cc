// Real models answer the same whether prefixes are shared or not: with everybody at once, with a pool so
// small that pages are evicted and sequences preempted, with sliding windows, with pages of floats and of
// codes, and where answers select the pages that they read. Models come from $QUIRE_MODELS.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "quire/engine/hash_model.h"
#include "quire/engine/runtime.h"

namespace quire {
namespace {

// Most begin like others, some are the beginning of others, and some arrive twice.
std::vector<Request> Load() {
  std::mt19937 random(4);
  std::vector<Token> text(160);
  for (Token& token : text) token = static_cast<Token>(300 + random() % 20'000);
  std::vector<Request> requests;
  for (int i = 0; i < 12; ++i) {
    Request& request = requests.emplace_back();
    request.prompt.assign(text.begin(), text.begin() + 20 + static_cast<int64_t>(random() % 140));
    const int own = i % 3 == 0 ? 0 : static_cast<int>(random() % 40);
    for (int k = 0; k < own; ++k) request.prompt.push_back(static_cast<Token>(300 + random() % 20'000));
    if (i % 4 == 3) request.prompt = requests[i - 2].prompt;
    request.sampling.seed = 7 + i % 2;
    request.sampling.temperature = i % 2 ? 1 : 0;
    request.sampling.max_tokens = 6 + static_cast<int64_t>(random() % 16);
    request.sampling.n = i == 5 ? 3 : 1;
    request.sampling.ignore_eos = true;
    request.cache_salt = i == 6 ? "apart" : "";
  }
  return requests;
}

struct Outcome {
  std::vector<std::vector<Token>> ids;  // by sample
  std::vector<size_t> requests;         // whose they are, counted
  double cached = 0, preemptions = 0;
};

// Requests take turns with the types.
void Answer(const std::string& model, const std::vector<std::string>& kv_types, const std::string& kv_memory,
            bool prefix_caching, Outcome& outcome, const std::string& selection = "") {
  RuntimeOptions options;
  options.kv_memory = kv_memory;
  options.kv_selection = selection;
  options.kv_types = LayerTypes::Parse(kv_types[0]).value();
  for (const std::string& type : std::span(kv_types).subspan(1)) {
    options.more_kv_types.push_back(LayerTypes::Parse(type).value());
  }
  options.engine = {.max_step_tokens = 48, .max_context = 256, .prefix_caching = prefix_caching};
  auto runtime = LoadRuntime(model, options);
  ASSERT_TRUE(runtime.has_value()) << runtime.error().message;
  Engine& engine = *(*runtime)->engine;
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (Request request : Load()) {
    request.kv_type = kv_types[sinks.size() % kv_types.size()];
    const auto id = engine.Submit(request, sinks.emplace_back(std::make_shared<CollectingSink>()));
    ASSERT_TRUE(id.has_value()) << id.error().message;
    engine.Step();
    engine.Step();
  }
  while (engine.Step()) {
  }
  for (size_t i = 0; i < sinks.size(); ++i) {
    for (const auto& [index, sample] : sinks[i]->samples) {
      outcome.ids.push_back(sample.tokens);
      outcome.requests.push_back(i);
    }
  }
  outcome.cached = engine.metrics().prompt_tokens_cached.value();
  outcome.preemptions = engine.metrics().preemptions.value();
  EXPECT_EQ(engine.kv_usage().used, 0);
}

struct Pages {
  std::string type;
  std::string few;  // memory for about as many pages of any type
  std::string selection = "";
};

class RealModel : public testing::TestWithParam<std::tuple<const char*, Pages>> {};

TEST_P(RealModel, AnswersTheSameWithSharedPrefixes) {
  const char* folder = std::getenv("QUIRE_MODELS");
  if (folder == nullptr) GTEST_SKIP() << "QUIRE_MODELS, the folder of models, is not set";
  const auto& [file, pages] = GetParam();
  const auto path = std::filesystem::path(folder) / file;
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no model " << path;
  Outcome alone, shared, tight;
  Answer(path, {pages.type}, "64MiB", false, alone, pages.selection);
  Answer(path, {pages.type}, "64MiB", true, shared, pages.selection);
  Answer(path, {pages.type}, pages.few, true, tight, pages.selection);
  EXPECT_EQ(shared.ids, alone.ids);
  EXPECT_EQ(tight.ids, alone.ids);
  EXPECT_GT(shared.cached, 300);
  EXPECT_GT(tight.cached, 0);
  EXPECT_EQ(shared.preemptions, 0);
}

// Side by side in one pool, which is too small for all of them.
TEST(RealModelWithSeveralTypes, AnswersAsWithEachAlone) {
  const char* folder = std::getenv("QUIRE_MODELS");
  if (folder == nullptr) GTEST_SKIP() << "QUIRE_MODELS, the folder of models, is not set";
  const std::vector<std::string> types = {"f16", "int8", "int4", "int4,0-1=f16"};
  for (const char* file : {"SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m.Q4_K_M.gguf"}) {
    const auto path = std::filesystem::path(folder) / file;
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no model " << path;
    SCOPED_TRACE(file);
    Outcome together;
    Answer(path, types, "6MiB", true, together);
    EXPECT_GT(together.cached, 0);
    for (size_t t = 0; t < types.size(); ++t) {
      Outcome alone;
      Answer(path, {types[t]}, "64MiB", false, alone);
      ASSERT_EQ(alone.requests, together.requests);
      for (size_t i = 0; i < alone.ids.size(); ++i) {
        if (alone.requests[i] % types.size() == t) {
          EXPECT_EQ(together.ids[i], alone.ids[i]) << types[t] << " " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Files, RealModel,
    testing::Combine(testing::Values("SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m.Q4_K_M.gguf"),
                     testing::Values(Pages{"f16", "6MiB"}, Pages{"int8", "3200KiB"}, Pages{"fp8", "3200KiB"},
                                     Pages{"int4", "1800KiB"}, Pages{"int4,0-1=f16,17=int8", "2300KiB"},
                                     Pages{"f16", "7MiB", "quest:budget=0.25,dense_layers=0"})),
    [](const auto& info) {
      const std::string name = std::get<0>(info.param);
      std::string type = std::get<1>(info.param).type;
      if (type.contains(',')) type = "by_layer";
      if (!std::get<1>(info.param).selection.empty()) type += "_selected";
      return name.substr(0, name.find('-')) + "_" + type;
    });

}  // namespace
}  // namespace quire
