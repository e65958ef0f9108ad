#include "quire/model/config.h"

#include <cmath>
#include <filesystem>

#include "quire/model/config_source.h"
#include "quire/model/families/families.h"
#include "quire/model/rope_config.h"

namespace quire {
namespace {

constexpr int64_t kMostLayers = 1024;

Status ReadSizes(const ConfigSource& source, ModelConfig& config) {
  QUIRE_ASSIGN(config.context_length,
               source.RequiredInteger({"context_length", "max_position_embeddings"}, {1, int64_t{1} << 30}));
  QUIRE_ASSIGN(const int64_t layers,
               source.RequiredInteger({"block_count", "num_hidden_layers"}, {1, kMostLayers}));
  config.layers.resize(layers);
  QUIRE_ASSIGN(config.hidden, source.RequiredInteger({"embedding_length", "hidden_size"}, {1, 1 << 17}));
  QUIRE_ASSIGN(config.ffn,
               source.RequiredInteger({"feed_forward_length", "intermediate_size"}, {1, 1 << 20}));
  QUIRE_ASSIGN(const auto vocab, source.Integer({"vocab_size", "vocab_size"}, {1, 1 << 24}));
  config.vocab = vocab.value_or(0);
  // Where a GGUF file has a tokenizer, its tokens count.
  const auto tokens = source.files().gguf().Strings("tokenizer.ggml.tokens");
  if (tokens && *tokens != nullptr) config.vocab = std::ssize(**tokens);
  return {};
}

Status ReadHeads(const ConfigSource& source, ModelConfig& config) {
  constexpr ConfigKey kKvHeads{"attention.head_count_kv", "num_key_value_heads"};
  QUIRE_ASSIGN(config.heads,
               source.RequiredInteger({"attention.head_count", "num_attention_heads"}, {1, 4096}));
  QUIRE_ASSIGN(const auto kv_heads, source.Integer(kKvHeads, {1, config.heads}));
  config.kv_heads = kv_heads.value_or(config.heads);
  if (config.heads % config.kv_heads != 0) {
    return Fail(ErrorCode::kCorrupt, "Key '{}' in {} is {}, which does not divide the {} attention heads.",
                source.Name(kKvHeads), source.file(), config.kv_heads, config.heads);
  }
  constexpr IntegerRange kHeadDim{2, 4096};
  QUIRE_ASSIGN(const auto head_dim, source.Integer({"attention.key_length", "head_dim"}, kHeadDim));
  QUIRE_ASSIGN(const auto value_dim, source.Integer({"attention.value_length", ""}, kHeadDim));
  if (!head_dim && config.hidden % config.heads != 0) {
    return Fail(ErrorCode::kCorrupt, "{} has {} heads and hidden size {}, which they do not divide.",
                source.file(), config.heads, config.hidden);
  }
  config.head_dim = head_dim.value_or(config.hidden / config.heads);
  if (config.head_dim % 2 != 0) {
    return Fail(ErrorCode::kCorrupt,
                "Attention heads in {} have {} dimensions, but their number must be even.", source.file(),
                config.head_dim);
  }
  if (value_dim && *value_dim != config.head_dim) {
    return Fail(ErrorCode::kUnsupported, "{} has keys of {} dimensions and values of {}: they must be equal.",
                source.file(), config.head_dim, *value_dim);
  }
  config.attention_scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  QUIRE_ASSIGN(config.rope, ReadRopeConfig(source, config.head_dim));
  return {};
}

// A model that also sees or hears keeps its language part under a longer prefix.
WeightNames NamesOf(const ModelFiles& files) {
  if (files.format() == ModelFiles::Format::kGguf) return GgufWeightNames();
  for (const char* prefix : {"model.", "language_model.model.", "model.language_model."}) {
    WeightNames names = HuggingFaceWeightNames(prefix);
    if (files.Find(names.embedding) != nullptr) return names;
  }
  return HuggingFaceWeightNames("model.");
}

std::string NameOf(const ConfigSource& source) {
  std::string path = source.files().path();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (!source.is_gguf()) return std::filesystem::path(path).filename().string();
  // A name is only for people: one of the wrong kind is no reason to refuse the model.
  const auto name = source.files().gguf().String("general.name");
  return name && *name ? **name : std::filesystem::path(path).stem().string();
}

}  // namespace

Result<ModelConfig> ReadModelConfig(const ModelFiles& files) {
  QUIRE_ASSIGN(ConfigSource source, ConfigSource::Open(files));
  QUIRE_ASSIGN(const Family* family, FindFamily(source));
  if (family->hf_defaults != nullptr) source.AddDefaults(nlohmann::json::parse(family->hf_defaults));
  ModelConfig config;
  config.architecture = family->name;
  config.names = NamesOf(files);
  config.name = NameOf(source);
  QUIRE_TRY(ReadSizes(source, config));
  QUIRE_TRY(ReadHeads(source, config));
  QUIRE_ASSIGN(const double epsilon,
               source.RequiredNumber({"attention.layer_norm_rms_epsilon", "rms_norm_eps"}, {0, 1}));
  config.norm_epsilon = static_cast<float>(epsilon);
  QUIRE_TRY(family->configure(source, config));
  return config;
}

}  // namespace quire
