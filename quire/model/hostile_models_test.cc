// Models whose files lie: missing and misshapen tensors, absurd settings. Each gives one sentence that names
// the file and what is wrong with it, and asks for no memory on the word of a number.
#include <gtest/gtest.h>

#include <limits>

#include "quire/model/families/families.h"
#include "quire/model/model_testing.h"

namespace quire {
namespace {

using testing::EditedFiles;

class HostileModels : public ::testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<EditedFiles> Open() const {
    return std::make_shared<EditedFiles>(std::string(QUIRE_SOURCE_DIR) + "/tests/data/families/" +
                                         GetParam());
  }

  // The error's message, or nothing when the model loads.
  std::string LoadError(std::shared_ptr<EditedFiles> files) {
    const std::string path = files->path();
    const auto model = LoadTransformer(std::move(files), {.exact = true}, BestKernels(), pool_);
    if (model) return "";
    const std::string& message = model.error().message;
    EXPECT_TRUE(message.ends_with(".")) << message;
    EXPECT_NE(message.find(path), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  }

  ThreadPool pool_{1};
};

// Tensors that a model may lack.
bool IsOptional(const std::string& name) {
  return name == "output.weight" || name == "lm_head.weight" || name.starts_with("rope_f");
}

TEST_P(HostileModels, AMissingTensorIsNamed) {
  for (const std::string& name : Open()->TensorNames()) {
    auto files = Open();
    files->tensors.erase(name);
    const std::string message = LoadError(files);
    if (IsOptional(name)) continue;
    EXPECT_NE(message.find(name), std::string::npos) << message;
  }
}

TEST_P(HostileModels, AMisshapenTensorIsNamed) {
  for (const std::string& name : Open()->TensorNames()) {
    auto files = Open();
    TensorView& view = files->tensors[name];
    const int64_t elements = view.rows() * view.cols();
    const TensorView original = view;
    // One row less; transposed or flat; one dimension more.
    std::vector<TensorView> shapes(3, original);
    --shapes[0].shape[0];
    shapes[0].data = original.data.first(original.data.size() / original.shape[0] * (original.shape[0] - 1));
    shapes[1].rank = 1;
    shapes[1].shape = {elements};
    shapes[2].rank = 3;
    shapes[2].shape = {1, 2, elements / 2};
    for (const TensorView& shape : shapes) {
      if (shape.rank == original.rank && shape.shape == original.shape) continue;
      view = shape;
      const std::string message = LoadError(files);
      EXPECT_NE(message.find(name), std::string::npos) << name << ": " << message;
    }
  }
}

TEST_P(HostileModels, AbsurdGgufSettingsAreRefusedOrHarmless) {
  constexpr int64_t kBig = std::numeric_limits<int64_t>::max();
  const std::vector<GgufValue> absurd = {int64_t{0},
                                         int64_t{-1},
                                         int64_t{1},
                                         int64_t{3},
                                         int64_t{1'000'000'000},
                                         kBig,
                                         std::numeric_limits<uint64_t>::max(),
                                         std::numeric_limits<double>::quiet_NaN(),
                                         std::numeric_limits<double>::infinity(),
                                         -1e30,
                                         std::string("x\x01y"),
                                         true,
                                         std::vector<int64_t>{},
                                         std::vector<int64_t>{1, 2, kBig}};
  const auto original = Open();
  int refused = 0;
  for (const auto& [key, value] : original->metadata.values()) {
    for (const GgufValue& wrong : absurd) {
      auto files = Open();
      files->metadata.values()[key] = wrong;
      SCOPED_TRACE(key);
      refused += !LoadError(files).empty();
    }
  }
  EXPECT_GE(refused, original->format() == ModelFiles::Format::kGguf ? 100 : 0);
}

TEST_P(HostileModels, AbsurdJsonSettingsAreRefusedOrHarmless) {
  const std::vector<nlohmann::json> absurd = {0,
                                              -1,
                                              1,
                                              3,
                                              1e9,
                                              9.3e18,
                                              -1e30,
                                              1e308,
                                              0.5,
                                              "x",
                                              true,
                                              nullptr,
                                              nlohmann::json::array({1, "x"}),
                                              nlohmann::json::object({{"rope_type", 5}})};
  const auto original = Open();
  int refused = 0;
  for (const auto& [key, value] : original->config.items()) {
    for (const nlohmann::json& wrong : absurd) {
      auto files = Open();
      files->config[key] = wrong;
      SCOPED_TRACE(key);
      refused += !LoadError(files).empty();
    }
  }
  EXPECT_GE(refused, original->format() == ModelFiles::Format::kSafetensors ? 50 : 0);
}

TEST_P(HostileModels, AnUnknownFamilyIsNamedAmongTheKnown) {
  auto files = Open();
  files->metadata.values()["general.architecture"] = std::string("mamba9");
  if (files->config.is_object()) files->config["model_type"] = "mamba9";
  const std::string message = LoadError(files);
  EXPECT_NE(message.find("'mamba9'"), std::string::npos) << message;
  for (const Family& family : Families()) {
    EXPECT_NE(message.find(family.name), std::string::npos) << message;
  }
}

TEST_P(HostileModels, AVocabularyThatIsNotTheEmbeddingsIsRefused) {
  auto files = Open();
  files->metadata.values()["tokenizer.ggml.tokens"] = std::vector<std::string>(201, "token");
  if (files->config.is_object()) files->config["vocab_size"] = 201;
  const std::string message = LoadError(files);
  EXPECT_NE(message.find("200 x 32"), std::string::npos) << message;
  EXPECT_NE(message.find("201 x 32"), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(All, HostileModels,
                         ::testing::Values("llama/model.gguf", "llama", "qwen2/model.gguf",
                                           "gemma3/model.gguf", "gemma3", "phi3_longrope/model.gguf",
                                           "phi3_longrope"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace(name, '/', '_');
                           std::ranges::replace(name, '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace quire
