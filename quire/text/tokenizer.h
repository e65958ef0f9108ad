// Text to token ids and back, exactly as the model's own tokenizer does it. Built from GGUF metadata or from
// a Hugging Face tokenizer.json; thread-safe once built.
#ifndef QUIRE_TEXT_TOKENIZER_H_
#define QUIRE_TEXT_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/base/token.h"
#include "quire/files/model_files.h"

namespace quire {

struct EncodeOptions {
  // Adds BOS and/or EOS where the model's tokenizer is configured to.
  bool add_special = true;
  // Recognises special tokens ("<|im_end|>") in the text. Only for text the operator controls, such as a
  // rendered chat template: user text parsed this way could forge turns.
  bool parse_special = false;
  // Offsets in the text, ascending: no special token is recognised across one. REQUIRES: then valid UTF-8.
  std::span<const size_t> breaks = {};
};

class Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> Load(const ModelFiles& files);
  virtual ~Tokenizer() = default;

  // Never fails: invalid UTF-8 is replaced by U+FFFD first, unknown characters become byte tokens or <unk>.
  virtual std::vector<Token> Encode(std::string_view text, const EncodeOptions& options) const = 0;
  // Where in `text` the text of a special token begins, ascending.
  virtual std::vector<size_t> SpecialTextAt(std::string_view text) const = 0;

  // The bytes a token adds to the output; may be part of a character. Special tokens give their text only
  // when `special` is set, else nothing. Ids out of range give nothing.
  virtual std::string TokenBytes(Token token, bool special) const = 0;
  // Whole-sequence decoding, including what the tokenizer does only at the start (dropping a first space).
  virtual std::string Decode(std::span<const Token> tokens, bool skip_special) const = 0;
  // True when the text of a sequence starts by dropping one leading space (SentencePiece's dummy prefix).
  virtual bool strips_leading_space() const = 0;

  virtual int vocab_size() const = 0;
  virtual bool IsSpecial(Token token) const = 0;
  // The id of an exact vocabulary entry ("<|im_end|>").
  virtual std::optional<Token> Find(std::string_view piece) const = 0;
  virtual std::optional<Token> bos() const = 0;
  virtual std::optional<Token> eos() const = 0;
  // Every token that ends a turn: eos, eot, eom and what generation_config lists.
  virtual const std::vector<Token>& stop_tokens() const = 0;
};

}  // namespace quire

#endif  // QUIRE_TEXT_TOKENIZER_H_
