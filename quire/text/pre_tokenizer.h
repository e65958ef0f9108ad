// Cuts text into the words that byte-level BPE never merges across, by the model's own regular expressions.
// Every expression cuts each piece of the one before into its matches and what lies between them.
#ifndef QUIRE_TEXT_PRE_TOKENIZER_H_
#define QUIRE_TEXT_PRE_TOKENIZER_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"

namespace quire {

// A value of GGUF's tokenizer.ggml.pre.
struct PreTokenizerRow {
  std::string_view name;
  std::vector<std::string> patterns;
  bool ignore_merges = false;
  bool nfc = false;
};

// nullptr for an unknown name.
const PreTokenizerRow* FindPreTokenizer(std::string_view name);
std::string KnownPreTokenizers();

// GPT-2's own expression, which ByteLevel pre-tokenizers of tokenizer.json stand for.
extern const char* const kGpt2Pattern;

class PreTokenizer {
 public:
  // Errors: kCorrupt for a pattern that is no regular expression.
  static Result<std::unique_ptr<PreTokenizer>> Compile(std::span<const std::string> patterns);
  virtual ~PreTokenizer() = default;

  // Calls `word` for every piece, in order; together they are `text`. Thread-safe.
  // REQUIRES: `text` is valid UTF-8.
  virtual void Split(std::string_view text, const std::function<void(std::string_view)>& word) const = 0;
};

}  // namespace quire

#endif  // QUIRE_TEXT_PRE_TOKENIZER_H_
