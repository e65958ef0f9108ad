#include "quire/model/rope_config.h"

#include <cstring>

#include "quire/files/quoted.h"

namespace quire {
namespace {

constexpr NumberRange kBase{.least = 1.0 + 1e-6, .most = 1e12};
constexpr NumberRange kFactor{.least = 1e-6, .most = 1e6};
constexpr NumberRange kContext{.least = 1, .most = 1e9};

Result<RopeScaling> ParseScaling(const ConfigSource& source, const std::string& type) {
  if (type.empty() || type == "none" || type == "default" || type == "mrope") return RopeScaling::kNone;
  if (type == "linear") return RopeScaling::kLinear;
  if (type == "llama3") return RopeScaling::kLlama3;
  if (type == "yarn") return RopeScaling::kYarn;
  if (type == "longrope" || type == "su") return RopeScaling::kFactors;
  return Fail(ErrorCode::kUnsupported,
              "Rope scaling {} in {} is not supported: known are default, linear, llama3, longrope and yarn.",
              Quoted(type), source.file());
}

Status ReadRotaryDim(const ConfigSource& source, int64_t head_dim, const std::string& object,
                     RopeConfig& rope) {
  rope.rotary_dim = head_dim;
  QUIRE_ASSIGN(const auto dims, source.Integer({"rope.dimension_count", ""}, {1, head_dim}));
  if (dims) rope.rotary_dim = *dims;
  const std::string inside = object + ".partial_rotary_factor";
  for (const std::string& key : {std::string("partial_rotary_factor"), inside}) {
    QUIRE_ASSIGN(const auto share, source.Number({"", key}, {0.01, 1}));
    if (share) rope.rotary_dim = static_cast<int64_t>(*share * static_cast<double>(head_dim));
  }
  if (rope.rotary_dim < 2 || rope.rotary_dim % 2 != 0) {
    return Fail(ErrorCode::kCorrupt, "{} rotates {} dimensions of a head, but their number must be even.",
                source.file(), rope.rotary_dim);
  }
  return {};
}

Status CheckFactors(const ConfigSource& source, std::string_view what, const std::vector<float>& factors,
                    const RopeConfig& rope) {
  if (std::ssize(factors) != rope.rotary_dim / 2) {
    return Fail(ErrorCode::kCorrupt, "{} in {} has {} entries, but {} dimensions rotate in pairs.", what,
                source.file(), factors.size(), rope.rotary_dim);
  }
  for (const float factor : factors) {
    if (!(factor >= kFactor.least && factor <= kFactor.most)) {
      return Fail(ErrorCode::kCorrupt, "{} in {} contains {}, which is no usable factor.", what,
                  source.file(), factor);
    }
  }
  return {};
}

// GGUF has lists of factors as tensors. Llama 3's scaling comes as one list for every context.
Status ReadFactorTensors(const ConfigSource& source, RopeConfig& rope) {
  struct Row {
    const char* name;
    std::vector<float>* to;
  };
  std::vector<float> all;
  for (const Row& row :
       {Row{"rope_freqs.weight", &all}, Row{"rope_factors_short.weight", &rope.short_factors},
        Row{"rope_factors_long.weight", &rope.long_factors}}) {
    const TensorView* tensor = source.files().Find(row.name);
    if (tensor == nullptr) continue;
    if (tensor->type != DType::kF32 || tensor->rows() != 1 || tensor->cols() != rope.rotary_dim / 2) {
      return Fail(ErrorCode::kCorrupt, "Tensor '{}' in {} must be {} F32 numbers.", row.name, source.file(),
                  rope.rotary_dim / 2);
    }
    row.to->resize(tensor->cols());
    std::memcpy(row.to->data(), tensor->data.data(), tensor->data.size());
    QUIRE_TRY(CheckFactors(source, row.name, *row.to, rope));
  }
  if (!all.empty()) {
    rope.short_factors = rope.long_factors = all;
    rope.attention_factor = 1;
  }
  if (rope.short_factors.empty() != rope.long_factors.empty()) {
    return Fail(ErrorCode::kCorrupt,
                "{} has only one of rope_factors_short.weight and rope_factors_long.weight.", source.file());
  }
  if (!rope.short_factors.empty()) rope.scaling = RopeScaling::kFactors;
  return {};
}

Status ReadGguf(const ConfigSource& source, RopeConfig& rope) {
  QUIRE_ASSIGN(const auto base, source.Number({"rope.freq_base", ""}, kBase));
  if (base) rope.base = *base;
  QUIRE_ASSIGN(const auto type, source.String({"rope.scaling.type", ""}));
  QUIRE_ASSIGN(rope.scaling, ParseScaling(source, type.value_or("")));
  QUIRE_ASSIGN(const auto factor, source.Number({"rope.scaling.factor", ""}, {0, kFactor.most}));
  if (factor && *factor > 0) rope.factor = *factor;
  if (!type && rope.factor != 1) rope.scaling = RopeScaling::kLinear;
  QUIRE_ASSIGN(const auto original, source.Number({"rope.scaling.original_context_length", ""}, kContext));
  if (original) rope.original_context = *original;
  QUIRE_ASSIGN(const auto attention, source.Number({"rope.scaling.attn_factor", ""}, kFactor));
  if (attention) rope.attention_factor = *attention;
  QUIRE_ASSIGN(const auto fast, source.Number({"rope.scaling.yarn_beta_fast", ""}, kFactor));
  if (fast) rope.beta_fast = *fast;
  QUIRE_ASSIGN(const auto slow, source.Number({"rope.scaling.yarn_beta_slow", ""}, kFactor));
  if (slow) rope.beta_slow = *slow;
  return ReadFactorTensors(source, rope);
}

Status ReadHuggingFace(const ConfigSource& source, const std::string& object, RopeConfig& rope) {
  const auto number = [&](std::string_view name, NumberRange range, double& to) -> Status {
    QUIRE_ASSIGN(const auto value, source.Number({"", object + "." + std::string(name)}, range));
    if (value) to = *value;
    return {};
  };
  std::string type;
  for (const char* key : {".type", ".rope_type"}) {
    QUIRE_ASSIGN(const auto value, source.String({"", object + key}));
    if (value) type = *value;
  }
  QUIRE_ASSIGN(rope.scaling, ParseScaling(source, type));
  QUIRE_TRY(number("rope_theta", kBase, rope.base));
  QUIRE_TRY(number("factor", kFactor, rope.factor));
  QUIRE_TRY(number("low_freq_factor", kFactor, rope.low_freq_factor));
  QUIRE_TRY(number("high_freq_factor", kFactor, rope.high_freq_factor));
  QUIRE_TRY(number("beta_fast", kFactor, rope.beta_fast));
  QUIRE_TRY(number("beta_slow", kFactor, rope.beta_slow));
  QUIRE_TRY(number("attention_factor", kFactor, rope.attention_factor));
  QUIRE_TRY(number("original_max_position_embeddings", kContext, rope.original_context));
  QUIRE_ASSIGN(const auto truncate, source.Bool({"", object + ".truncate"}));
  if (truncate) rope.truncate_ramp = *truncate;
  QUIRE_ASSIGN(const auto shorts, source.Numbers({"", object + ".short_factor"}, kFactor));
  QUIRE_ASSIGN(const auto longs, source.Numbers({"", object + ".long_factor"}, kFactor));
  rope.short_factors.assign(shorts.begin(), shorts.end());
  rope.long_factors.assign(longs.begin(), longs.end());
  return {};
}

// What a scaling needs beyond ranges.
Status CheckScaling(const ConfigSource& source, RopeConfig& rope) {
  if (rope.scaling == RopeScaling::kFactors) {
    QUIRE_TRY(CheckFactors(source, "The list of short rope factors", rope.short_factors, rope));
    QUIRE_TRY(CheckFactors(source, "The list of long rope factors", rope.long_factors, rope));
  }
  if (rope.scaling == RopeScaling::kLlama3 && !(rope.high_freq_factor > rope.low_freq_factor)) {
    return Fail(ErrorCode::kCorrupt,
                "Rope scaling in {} has high_freq_factor {} and low_freq_factor {}, which "
                "must be smaller.",
                source.file(), rope.high_freq_factor, rope.low_freq_factor);
  }
  QUIRE_ASSIGN(const int64_t context,
               source.RequiredInteger({"context_length", "max_position_embeddings"}, {1, int64_t{1} << 30}));
  if (rope.original_context == 0) rope.original_context = static_cast<double>(context);
  if (rope.scaling == RopeScaling::kFactors && !source.is_gguf()) {
    rope.factor = static_cast<double>(context) / rope.original_context;
  }
  return {};
}

}  // namespace

Result<RopeConfig> ReadRopeConfig(const ConfigSource& source, int64_t head_dim) {
  RopeConfig rope;
  std::string object = "rope_scaling";
  for (const char* candidate : {"rope_parameters", "rope_parameters.full_attention"}) {
    if (source.HasObject(candidate)) object = candidate;
  }
  QUIRE_TRY(ReadRotaryDim(source, head_dim, object, rope));
  if (source.is_gguf()) {
    QUIRE_TRY(ReadGguf(source, rope));
  } else {
    QUIRE_ASSIGN(const auto base, source.Number({"", "rope_theta"}, kBase));
    if (base) rope.base = *base;
    QUIRE_ASSIGN(const auto original, source.Number({"", "original_max_position_embeddings"}, kContext));
    if (original) rope.original_context = *original;
    QUIRE_TRY(ReadHuggingFace(source, object, rope));
  }
  QUIRE_TRY(CheckScaling(source, rope));
  return rope;
}

Result<RopeConfig> ReadLocalRopeConfig(const ConfigSource& source, int64_t head_dim) {
  RopeConfig rope;
  const std::string object = "rope_parameters.sliding_attention";
  QUIRE_TRY(ReadRotaryDim(source, head_dim, object, rope));
  QUIRE_ASSIGN(const auto base, source.Number({"rope.freq_base_swa", "rope_local_base_freq"}, kBase));
  if (base) rope.base = *base;
  if (!source.is_gguf()) QUIRE_TRY(ReadHuggingFace(source, object, rope));
  QUIRE_TRY(CheckScaling(source, rope));
  return rope;
}

}  // namespace quire
