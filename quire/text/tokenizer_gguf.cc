#include <array>
#include <cmath>
#include <span>

#include "quire/files/quoted.h"
#include "quire/text/pre_tokenizer.h"
#include "quire/text/tokenizer_spec.h"

namespace quire {
namespace {

// tokenizer.ggml.token_type: 0 undefined, 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
constexpr std::array<PieceKind, 7> kKinds = {
    PieceKind::kNormal, PieceKind::kNormal, PieceKind::kControl, PieceKind::kControl,
    PieceKind::kAdded,  PieceKind::kUnused, PieceKind::kByte,
};

class GgufReader {
 public:
  GgufReader(const GgufMetadata& metadata, std::string source) : metadata_(metadata) {
    spec_.source = std::move(source);
  }
  Result<TokenizerSpec> Read();

 private:
  Status ReadPieces();
  Status ReadKinds();
  Status ReadScores();
  Status ReadMerges();
  Status ReadPreTokenizer();
  Status ReadSpaces();
  Status ReadEnds(bool add_bos);
  void AddAddedTokens();
  Result<std::optional<Token>> Id(std::string_view key, std::string_view otherwise = {}) const;
  std::optional<Token> PieceOf(std::string_view text) const;
  Status HasOneForEachToken(std::string_view key, size_t size) const;

  const GgufMetadata& metadata_;
  TokenizerSpec spec_;
  bool add_bos_ = false;  // where the file says nothing
};

Result<TokenizerSpec> GgufReader::Read() {
  QUIRE_ASSIGN(const auto model, metadata_.String("tokenizer.ggml.model"));
  if (model != "gpt2" && model != "llama" && model != "gemma4") {
    return Fail(ErrorCode::kUnsupported,
                "{}: tokenizer.ggml.model is {}; this build reads 'gpt2', 'llama' and 'gemma4'", spec_.source,
                model ? Quoted(*model) : "missing");
  }
  spec_.byte_level = model == "gpt2";
  spec_.by_score = model == "llama";
  QUIRE_TRY(ReadPieces());
  QUIRE_TRY(ReadKinds());
  QUIRE_TRY(ReadScores());
  if (!spec_.by_score) QUIRE_TRY(ReadMerges());
  if (spec_.byte_level) QUIRE_TRY(ReadPreTokenizer());
  if (!spec_.byte_level) QUIRE_TRY(ReadSpaces());
  QUIRE_TRY(ReadEnds(spec_.by_score || add_bos_));
  AddAddedTokens();
  return std::move(spec_);
}

Status GgufReader::HasOneForEachToken(std::string_view key, size_t size) const {
  if (size == spec_.pieces.size()) return {};
  return Fail(ErrorCode::kCorrupt, "{}: {} has {} entries; expected {}, one for each token", spec_.source,
              key, size, spec_.pieces.size());
}

Status GgufReader::ReadPieces() {
  QUIRE_ASSIGN(const auto* tokens, metadata_.Strings("tokenizer.ggml.tokens"));
  if (tokens == nullptr || tokens->empty()) {
    return Fail(ErrorCode::kCorrupt,
                "{}: tokenizer.ggml.tokens is missing or empty; the model has no vocabulary", spec_.source);
  }
  spec_.pieces.resize(tokens->size());
  for (size_t i = 0; i < tokens->size(); ++i) spec_.pieces[i] = {(*tokens)[i], PieceKind::kNormal};
  return {};
}

Status GgufReader::ReadKinds() {
  constexpr const char* kKey = "tokenizer.ggml.token_type";
  QUIRE_ASSIGN(const auto types, metadata_.Integers(kKey));
  if (!types) return {};
  QUIRE_TRY(HasOneForEachToken(kKey, types->size()));
  for (size_t i = 0; i < types->size(); ++i) {
    const int64_t type = (*types)[i];
    if (type < 0 || type >= std::ssize(kKinds)) {
      return Fail(ErrorCode::kCorrupt, "{}: {}[{}] is {}; expected 0 to {}", spec_.source, kKey, i, type,
                  kKinds.size() - 1);
    }
    VocabularyPiece& piece = spec_.pieces[i];
    piece.kind = kKinds[type];
    // Some files call the end of a turn user-defined; parsed in any text, users could forge it.
    if (piece.kind == PieceKind::kAdded && IsWellKnownStop(piece.text)) piece.kind = PieceKind::kControl;
  }
  return {};
}

Status GgufReader::ReadScores() {
  constexpr const char* kKey = "tokenizer.ggml.scores";
  QUIRE_ASSIGN(const auto scores, metadata_.Numbers(kKey));
  if (!scores && !spec_.by_score) return {};
  if (!scores) {
    return Fail(ErrorCode::kCorrupt, "{}: {} is missing; this tokenizer merges by it", spec_.source, kKey);
  }
  QUIRE_TRY(HasOneForEachToken(kKey, scores->size()));
  for (size_t i = 0; i < scores->size(); ++i) {
    if (std::isnan((*scores)[i])) {
      return Fail(ErrorCode::kCorrupt, "{}: {}[{}] is not a number", spec_.source, kKey, i);
    }
    spec_.pieces[i].score = static_cast<float>((*scores)[i]);
  }
  return {};
}

Status GgufReader::ReadMerges() {
  constexpr const char* kKey = "tokenizer.ggml.merges";
  QUIRE_ASSIGN(const auto* merges, metadata_.Strings(kKey));
  if (merges == nullptr) {
    return Fail(ErrorCode::kCorrupt, "{}: {} is missing; this tokenizer merges by it", spec_.source, kKey);
  }
  spec_.merges.reserve(merges->size());
  for (const std::string& merge : *merges) {
    const size_t space = merge.find(' ', 1);
    if (merge.empty() || space == std::string::npos || space + 1 == merge.size()) {
      return Fail(ErrorCode::kCorrupt, "{}: {}[{}] is {}; expected two pieces with a space between",
                  spec_.source, kKey, spec_.merges.size(), Quoted(merge));
    }
    spec_.merges.emplace_back(merge, space);
  }
  return {};
}

Status GgufReader::ReadPreTokenizer() {
  QUIRE_ASSIGN(const auto name, metadata_.String("tokenizer.ggml.pre"));
  const PreTokenizerRow* row = FindPreTokenizer(name.value_or("default"));
  if (row == nullptr) {
    return Fail(ErrorCode::kUnsupported, "{}: tokenizer.ggml.pre is {}; this build knows {}", spec_.source,
                Quoted(*name), KnownPreTokenizers());
  }
  spec_.pre_tokenizer = row->steps;
  spec_.ignore_merges = row->ignore_merges;
  add_bos_ = row->add_bos;
  if (row->nfc) spec_.normalizer.push_back({.kind = NormalizerStep::Kind::kNfc});
  return {};
}

Status GgufReader::ReadSpaces() {
  const std::string mark(kSpaceMark);
  QUIRE_ASSIGN(const auto prefix, metadata_.Bool("tokenizer.ggml.add_space_prefix"));
  if (prefix.value_or(spec_.by_score)) {
    spec_.normalizer.push_back({.kind = NormalizerStep::Kind::kPrepend, .content = mark});
    spec_.strips_leading_space = true;
  }
  spec_.normalizer.push_back({.kind = NormalizerStep::Kind::kReplace, .pattern = " ", .content = mark});
  spec_.mark_is_space = true;
  return {};
}

std::optional<Token> GgufReader::PieceOf(std::string_view text) const {
  for (size_t i = 0; i < spec_.pieces.size(); ++i) {
    if (spec_.pieces[i].text == text) return static_cast<Token>(i);
  }
  return std::nullopt;
}

// The id under `key`, or where the key is missing that of the piece `otherwise`.
Result<std::optional<Token>> GgufReader::Id(std::string_view key, std::string_view otherwise) const {
  constexpr int64_t kNone = 0xFFFFFFFF;
  QUIRE_ASSIGN(const auto id, metadata_.Integer(key));
  if (!id && spec_.by_score && !otherwise.empty()) return PieceOf(otherwise);
  if (!id || *id == kNone) return std::optional<Token>();
  if (*id < 0 || *id >= std::ssize(spec_.pieces)) {
    return Fail(ErrorCode::kCorrupt, "{}: {} is {}; the vocabulary has ids 0 to {}", spec_.source, key, *id,
                spec_.pieces.size() - 1);
  }
  return std::optional(static_cast<Token>(*id));
}

Status GgufReader::ReadEnds(bool add_bos) {
  QUIRE_ASSIGN(spec_.bos, Id("tokenizer.ggml.bos_token_id", "<s>"));
  QUIRE_ASSIGN(spec_.eos, Id("tokenizer.ggml.eos_token_id", "</s>"));
  QUIRE_ASSIGN(spec_.unknown, Id("tokenizer.ggml.unknown_token_id", "<unk>"));
  QUIRE_ASSIGN(const auto bos_key, metadata_.Bool("tokenizer.ggml.add_bos_token"));
  QUIRE_ASSIGN(const auto eos_key, metadata_.Bool("tokenizer.ggml.add_eos_token"));
  if (spec_.bos && bos_key.value_or(add_bos)) spec_.prefix.push_back(*spec_.bos);
  if (spec_.eos && eos_key.value_or(false)) spec_.suffix.push_back(*spec_.eos);
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    QUIRE_ASSIGN(const auto id, Id(key));
    if (id) spec_.stop_tokens.push_back(*id);
  }
  AddWellKnownStops(spec_);
  return {};
}

// Control and user-defined pieces are found in text; SentencePiece writes their spaces as U+2581.
void GgufReader::AddAddedTokens() {
  const auto architecture = metadata_.String("general.architecture");
  // Phi-3's special tokens take the white space behind them; GGUF has no field for it.
  const bool phi3 = spec_.by_score && architecture && *architecture == "phi3";
  for (Token id = 0; id < std::ssize(spec_.pieces); ++id) {
    const VocabularyPiece& piece = spec_.pieces[id];
    if (piece.kind != PieceKind::kControl && piece.kind != PieceKind::kAdded) continue;
    std::string text = piece.text;
    for (size_t at; spec_.mark_is_space && (at = text.find(kSpaceMark)) != std::string::npos;) {
      text.replace(at, kSpaceMark.size(), " ");
    }
    const bool keeps_space = !phi3 || text == "<unk>" || text == "<s>" || text == "<|endoftext|>";
    spec_.added.push_back({.token = {.text = std::move(text),
                                     .token = id,
                                     .special = piece.kind == PieceKind::kControl,
                                     .strips_right = !keeps_space}});
  }
}

}  // namespace

Result<TokenizerSpec> TokenizerSpecFromGguf(const GgufMetadata& metadata, const std::string& path) {
  return GgufReader(metadata, path).Read();
}

}  // namespace quire
