#include <array>
#include <span>

#include "quire/text/pre_tokenizer.h"
#include "quire/text/tokenizer_spec.h"

namespace quire {
namespace {

// tokenizer.ggml.token_type, in GGUF's numbering.
PieceKind KindOf(int64_t type) {
  switch (type) {
    case 2:  // unknown
    case 3:
      return PieceKind::kControl;
    case 4:
      return PieceKind::kAdded;
    case 5:
      return PieceKind::kUnused;
    case 6:
      return PieceKind::kByte;
    default:
      return PieceKind::kNormal;
  }
}

Status ReadPieces(const GgufMetadata& metadata, TokenizerSpec& spec) {
  QUIRE_ASSIGN(const auto* tokens, metadata.Strings("tokenizer.ggml.tokens"));
  if (tokens == nullptr || tokens->empty()) {
    return Fail(ErrorCode::kCorrupt,
                "{}: tokenizer.ggml.tokens is missing or empty; the model has no vocabulary", spec.source);
  }
  QUIRE_ASSIGN(const auto types, metadata.Integers("tokenizer.ggml.token_type"));
  QUIRE_ASSIGN(const auto scores, metadata.Numbers("tokenizer.ggml.scores"));
  for (const auto& [name, size] : {std::pair("token_type", types ? types->size() : tokens->size()),
                                   std::pair("scores", scores ? scores->size() : tokens->size())}) {
    if (size != tokens->size()) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: tokenizer.ggml.{} has {} entries; expected {}, one for each token", spec.source, name,
                  size, tokens->size());
    }
  }
  if (!spec.byte_level && !scores) {
    return Fail(ErrorCode::kCorrupt, "{}: tokenizer.ggml.scores is missing; this tokenizer merges by it",
                spec.source);
  }
  spec.pieces.reserve(tokens->size());
  for (size_t i = 0; i < tokens->size(); ++i) {
    spec.pieces.push_back({.text = (*tokens)[i],
                           .kind = types ? KindOf((*types)[i]) : PieceKind::kNormal,
                           .score = scores ? static_cast<float>((*scores)[i]) : 0.0f});
  }
  return {};
}

Status ReadMerges(const GgufMetadata& metadata, TokenizerSpec& spec) {
  QUIRE_ASSIGN(const auto* merges, metadata.Strings("tokenizer.ggml.merges"));
  if (merges == nullptr) {
    return Fail(ErrorCode::kCorrupt, "{}: tokenizer.ggml.merges is missing; byte-level BPE needs it",
                spec.source);
  }
  spec.merges.reserve(merges->size());
  for (size_t i = 0; i < merges->size(); ++i) {
    const std::string& merge = (*merges)[i];
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 == merge.size()) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: tokenizer.ggml.merges[{}] is '{}'; expected two pieces with a space between",
                  spec.source, i, merge);
    }
    spec.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return {};
}

Result<std::optional<Token>> ReadId(const GgufMetadata& metadata, std::string_view key,
                                    const TokenizerSpec& spec) {
  QUIRE_ASSIGN(const auto id, metadata.Integer(key));
  if (!id) return std::optional<Token>();
  if (*id < 0 || *id >= std::ssize(spec.pieces)) {
    return Fail(ErrorCode::kCorrupt, "{}: {} is {}; the vocabulary has ids 0 to {}", spec.source, key, *id,
                spec.pieces.size() - 1);
  }
  return std::optional(static_cast<Token>(*id));
}

Status ReadSpecialIds(const GgufMetadata& metadata, TokenizerSpec& spec) {
  QUIRE_ASSIGN(spec.bos, ReadId(metadata, "tokenizer.ggml.bos_token_id", spec));
  QUIRE_ASSIGN(spec.eos, ReadId(metadata, "tokenizer.ggml.eos_token_id", spec));
  QUIRE_ASSIGN(spec.unknown, ReadId(metadata, "tokenizer.ggml.unknown_token_id", spec));
  QUIRE_ASSIGN(const auto add_bos, metadata.Bool("tokenizer.ggml.add_bos_token"));
  QUIRE_ASSIGN(const auto add_eos, metadata.Bool("tokenizer.ggml.add_eos_token"));
  spec.add_bos = add_bos.value_or(!spec.byte_level) && spec.bos.has_value();
  spec.add_eos = add_eos.value_or(false) && spec.eos.has_value();
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    QUIRE_ASSIGN(const auto id, ReadId(metadata, key, spec));
    if (id) spec.stop_tokens.push_back(*id);
  }
  AddWellKnownStops(spec);
  return {};
}

}  // namespace

Result<TokenizerSpec> TokenizerSpecFromGguf(const GgufMetadata& metadata, const std::string& path) {
  TokenizerSpec spec;
  spec.source = path;
  QUIRE_ASSIGN(const auto model, metadata.String("tokenizer.ggml.model"));
  if (model != "gpt2" && model != "llama") {
    return Fail(ErrorCode::kUnsupported,
                "{}: tokenizer.ggml.model is '{}'; this build reads 'gpt2' and 'llama'", path,
                model.value_or("missing"));
  }
  spec.byte_level = model == "gpt2";
  QUIRE_TRY(ReadPieces(metadata, spec));
  if (spec.byte_level) {
    QUIRE_TRY(ReadMerges(metadata, spec));
    QUIRE_ASSIGN(const auto pre, metadata.String("tokenizer.ggml.pre"));
    const PreTokenizerRow* row = FindPreTokenizer(pre.value_or("default"));
    if (row == nullptr) {
      return Fail(ErrorCode::kUnsupported, "{}: tokenizer.ggml.pre is '{}'; this build knows {}", path, *pre,
                  KnownPreTokenizers());
    }
    spec.patterns.assign(row->patterns.begin(), row->patterns.end());
    spec.ignore_merges = row->ignore_merges;
    spec.nfc = row->nfc;
  } else {
    QUIRE_ASSIGN(const auto prefix, metadata.Bool("tokenizer.ggml.add_space_prefix"));
    spec.space_prefix = prefix.value_or(true) ? SpacePrefix::kAlways : SpacePrefix::kNever;
  }
  QUIRE_TRY(ReadSpecialIds(metadata, spec));
  return spec;
}

}  // namespace quire
