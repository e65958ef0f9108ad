#include "quire/text/tokenizer_spec.h"

#include <algorithm>
#include <array>

namespace quire {

void AddWellKnownStops(TokenizerSpec& spec) {
  constexpr std::array<std::string_view, 9> kEnds = {"<|im_end|>",      "<|eot_id|>",      "<|eom_id|>",
                                                     "<end_of_turn>",   "<|end|>",         "<|endoftext|>",
                                                     "<|end_of_text|>", "<|end_of_turn|>", "<|eot|>"};
  const auto add = [&](Token token) {
    if (std::ranges::find(spec.stop_tokens, token) == spec.stop_tokens.end())
      spec.stop_tokens.push_back(token);
  };
  if (spec.eos) add(*spec.eos);
  for (size_t i = 0; i < spec.pieces.size(); ++i) {
    const VocabularyPiece& piece = spec.pieces[i];
    if (piece.kind == PieceKind::kControl && std::ranges::find(kEnds, piece.text) != kEnds.end()) {
      add(static_cast<Token>(i));
    }
  }
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::Load(const ModelFiles& files) {
  if (files.format() == ModelFiles::Format::kGguf) {
    QUIRE_ASSIGN(TokenizerSpec spec, TokenizerSpecFromGguf(files.gguf(), files.path()));
    return MakeBpeTokenizer(std::move(spec));
  }
  QUIRE_ASSIGN(TokenizerSpec spec, TokenizerSpecFromJson(files));
  return MakeBpeTokenizer(std::move(spec));
}

}  // namespace quire
