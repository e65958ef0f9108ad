// What a tokenizer consists of, whichever file describes it. GGUF metadata and tokenizer.json are read into a
// TokenizerSpec; MakeBpeTokenizer checks it and builds the tokenizer.
#ifndef QUIRE_TEXT_TOKENIZER_SPEC_H_
#define QUIRE_TEXT_TOKENIZER_SPEC_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "quire/base/result.h"
#include "quire/base/token.h"
#include "quire/files/model_files.h"
#include "quire/text/tokenizer.h"

namespace quire {

enum class PieceKind : uint8_t {
  kNormal,
  kByte,     // "<0x0A>": one byte of a character the vocabulary lacks
  kAdded,    // matched in any text before merging
  kControl,  // matched only where the caller says so, and not shown
  kUnused,
};

struct VocabularyPiece {
  std::string text;
  PieceKind kind = PieceKind::kNormal;
  float score = 0;            // SentencePiece: higher merges first
  bool strips_left = false;   // an added token takes the white space before it
  bool strips_right = false;  // and after it
};

// Where a SentencePiece-style tokenizer puts a space before text.
enum class SpacePrefix { kNever, kFirst, kAlways };

struct TokenizerSpec {
  std::string source;  // file, for messages
  // GPT-2 style: pieces are written in its byte alphabet and words come from `patterns`. Otherwise
  // SentencePiece style: spaces become U+2581, and bytes are the fallback.
  bool byte_level = false;
  std::vector<VocabularyPiece> pieces;                      // by id
  std::vector<std::pair<std::string, std::string>> merges;  // best first; empty: by score
  std::vector<std::string> patterns;  // byte-level: regular expressions, applied in turn
  bool ignore_merges = false;         // a word that is a piece is taken whole
  bool nfc = false;                   // text is normalised to NFC
  SpacePrefix space_prefix = SpacePrefix::kNever;
  bool add_bos = false;
  bool add_eos = false;
  std::optional<Token> bos, eos, unknown;
  std::vector<Token> stop_tokens;
};

Result<TokenizerSpec> TokenizerSpecFromGguf(const GgufMetadata& metadata, const std::string& path);
Result<TokenizerSpec> TokenizerSpecFromJson(const ModelFiles& files);

// Errors: kCorrupt for ids out of range, unknown pieces in merges, patterns that do not compile.
Result<std::unique_ptr<Tokenizer>> MakeBpeTokenizer(TokenizerSpec spec);

// Adds the end-of-turn pieces that chat models are known to use to spec.stop_tokens, and eos.
void AddWellKnownStops(TokenizerSpec& spec);

}  // namespace quire

#endif  // QUIRE_TEXT_TOKENIZER_SPEC_H_
