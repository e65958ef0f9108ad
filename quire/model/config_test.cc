#include "quire/model/config.h"

#include <gtest/gtest.h>

#include "quire/model/families/families.h"
#include "quire/model/model_testing.h"

namespace quire {
namespace {

using testing::EditedFiles;

EditedFiles Tiny(const std::string& name) {
  return EditedFiles(std::string(QUIRE_SOURCE_DIR) + "/tests/data/families/" + name);
}

TEST(ModelConfig, SettingsThatGemma3LeavesOutAreFilledIn) {
  EditedFiles files = Tiny("gemma3");
  files.config = nlohmann::json::parse(R"({
    "model_type": "gemma3",
    "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
                    "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                    "sliding_window": 1024}})");
  const auto config = ReadModelConfig(files);
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->heads, 8);
  EXPECT_EQ(config->kv_heads, 4);
  EXPECT_EQ(config->head_dim, 256);
  EXPECT_EQ(config->attention_scale, 1.0f / 16);
  EXPECT_EQ(config->rope.base, 1e6);
  EXPECT_EQ(config->rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(config->local_rope.base, 1e4);
  EXPECT_EQ(config->local_rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(config->layers[4].window, 1024);
  EXPECT_EQ(config->layers[5].window, 0);
  EXPECT_FALSE(config->layers[5].local_rope);
}

TEST(ModelConfig, ALanguagePartInsideALargerModelIsFoundByItsPrefix) {
  EditedFiles files = Tiny("gemma3");
  const TensorView embedding = files.tensors["model.embed_tokens.weight"];
  files.tensors.erase("model.embed_tokens.weight");
  files.tensors["language_model.model.embed_tokens.weight"] = embedding;
  const auto config = ReadModelConfig(files);
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->names.q_norm, "language_model.model.layers.{}.self_attn.q_norm.weight");
  EXPECT_EQ(config->names.ffn_norm, "language_model.model.layers.{}.pre_feedforward_layernorm.weight");
}

TEST(ModelConfig, QwensWindowIsOffUnlessItSaysSo) {
  EditedFiles files = Tiny("qwen2");
  files.config.erase("layer_types");
  files.config["sliding_window"] = 10;
  files.config["max_window_layers"] = 1;
  files.config["use_sliding_window"] = false;
  EXPECT_EQ(ReadModelConfig(files)->layers[2].window, 0);
  files.config["use_sliding_window"] = true;
  EXPECT_EQ(ReadModelConfig(files)->layers[0].window, 0);
  EXPECT_EQ(ReadModelConfig(files)->layers[2].window, 10);
}

TEST(ModelConfig, AMixtureOfExpertsIsRefused) {
  EditedFiles files = Tiny("llama/model.gguf");
  files.metadata.values()["llama.expert_count"] = int64_t{8};
  const auto config = ReadModelConfig(files);
  ASSERT_FALSE(config.has_value());
  EXPECT_EQ(config.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace quire
