#include "quire/text/tokenizer_spec.h"

#include <algorithm>
#include <charconv>

namespace quire {
namespace {

constexpr std::string_view kTurnEnds[] = {
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<turn|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|end_of_turn|>",
    "<|eot|>",
    "<|eom|>",
    "<EOT>",
    "<|END_OF_TURN_TOKEN|>",
    "<end_of_utterance>",
    "<|endofmessage|>",
    "<|role_end|>",
    "<｜end▁of▁sentence｜>",
};

Result<TokenizerJsonFiles> ReadJsonFiles(const ModelFiles& files) {
  TokenizerJsonFiles json;
  QUIRE_ASSIGN(json.tokenizer, files.Json("tokenizer.json"));
  QUIRE_ASSIGN(json.tokenizer_config, files.Json("tokenizer_config.json"));
  QUIRE_ASSIGN(json.generation_config, files.Json("generation_config.json"));
  QUIRE_ASSIGN(json.config, files.Json("config.json"));
  return json;
}

Result<TokenizerSpec> ReadSpec(const ModelFiles& files) {
  if (files.format() == ModelFiles::Format::kGguf) return TokenizerSpecFromGguf(files.gguf(), files.path());
  QUIRE_ASSIGN(const TokenizerJsonFiles json, ReadJsonFiles(files));
  return TokenizerSpecFromJson(json, files.path() + "/tokenizer.json");
}

}  // namespace

bool IsWellKnownStop(std::string_view text) {
  return std::ranges::find(kTurnEnds, text) != std::end(kTurnEnds);
}

void AddWellKnownStops(TokenizerSpec& spec) {
  const auto add = [&](Token token) {
    if (std::ranges::find(spec.stop_tokens, token) == spec.stop_tokens.end())
      spec.stop_tokens.push_back(token);
  };
  if (spec.eos) add(*spec.eos);
  for (Token token = 0; token < std::ssize(spec.pieces); ++token) {
    const VocabularyPiece& piece = spec.pieces[token];
    const bool added = piece.kind == PieceKind::kControl || piece.kind == PieceKind::kAdded;
    if (added && IsWellKnownStop(piece.text)) add(token);
  }
}

int ByteOfPiece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16);
  return error == std::errc() && end == piece.data() + 5 && byte >= 0 ? byte : -1;
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::Load(const ModelFiles& files) {
  QUIRE_ASSIGN(TokenizerSpec spec, ReadSpec(files));
  return MakeTokenizer(std::move(spec));
}

}  // namespace quire
