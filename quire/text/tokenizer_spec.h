// What a tokenizer consists of, whichever file describes it. GGUF metadata and tokenizer.json are read into a
// TokenizerSpec; MakeTokenizer checks it and builds the tokenizer.
#ifndef QUIRE_TEXT_TOKENIZER_SPEC_H_
#define QUIRE_TEXT_TOKENIZER_SPEC_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "quire/base/result.h"
#include "quire/base/token.h"
#include "quire/files/model_files.h"
#include "quire/text/added_tokens.h"
#include "quire/text/normalizer.h"
#include "quire/text/pre_tokenizer.h"
#include "quire/text/tokenizer.h"

namespace quire {

inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581 stands for a space in pieces

enum class PieceKind : uint8_t {
  kNormal,
  kByte,     // "<0x0A>": one byte of a character the vocabulary lacks
  kAdded,    // matched in any text before merging
  kControl,  // matched only where the caller says so, and not shown
  kUnused,
};

struct VocabularyPiece {
  std::string text;
  PieceKind kind = PieceKind::kUnused;
  float score = 0;  // SentencePiece: higher merges first
};

// Two pieces, in one string with a space between them.
struct MergeRule {
  std::string text;
  size_t space = 0;

  std::string_view left() const { return std::string_view(text).substr(0, space); }
  std::string_view right() const { return std::string_view(text).substr(space + 1); }
};

struct TokenizerSpec {
  std::string source;  // file, for messages

  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;

  // Words are bytes, and pieces are written in GPT-2's byte alphabet. Otherwise words are characters.
  bool byte_level = false;
  std::vector<VocabularyPiece> pieces;  // by id
  std::vector<MergeRule> merges;        // best first
  bool by_score = false;       // no list of merges: what gives a piece merges, the highest score first
  bool ignore_merges = false;  // a word that is a piece is taken whole
  bool fuse_unknown = false;   // neighbours of no piece give one `unknown` together
  std::optional<Token> unknown;

  struct Added {
    AddedToken token;
    bool normalized = false;  // looked for in normalised text
  };
  std::vector<Added> added;

  std::vector<Token> prefix, suffix;  // what add_special puts around a text
  std::optional<Token> bos, eos;
  std::vector<Token> stop_tokens;

  bool mark_is_space = false;  // U+2581 is shown as a space
  bool strips_leading_space = false;
};

Result<TokenizerSpec> TokenizerSpecFromGguf(const GgufMetadata& metadata, const std::string& path);

// `tokenizer` is tokenizer.json. The others may be null: tokenizer_config.json, and the files that name the
// ends of a turn.
struct TokenizerJsonFiles {
  nlohmann::json tokenizer, tokenizer_config, generation_config, config;
};
Result<TokenizerSpec> TokenizerSpecFromJson(const TokenizerJsonFiles& files, const std::string& source);

// The parts of tokenizer.json around the model: normalizer, pre_tokenizer and decoder. Errors: kUnsupported
// for a component this build does not know: guessing would give wrong ids silently.
Status ReadPipeline(const nlohmann::json& tokenizer, TokenizerSpec& spec);

// Errors: kCorrupt for merges of unknown pieces and patterns that do not compile, kUnsupported for what is
// beyond the limits of this build.
Result<std::unique_ptr<Tokenizer>> MakeTokenizer(TokenizerSpec spec);

// Adds eos to spec.stop_tokens, and the special tokens that are known to end a turn.
void AddWellKnownStops(TokenizerSpec& spec);
bool IsWellKnownStop(std::string_view text);

// The byte of a piece like "<0x0A>", or -1.
int ByteOfPiece(std::string_view piece);

}  // namespace quire

#endif  // QUIRE_TEXT_TOKENIZER_SPEC_H_
