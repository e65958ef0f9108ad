// Cuts text into the words that merging never joins: the steps of tokenizer.json's pre_tokenizer, or the
// regular expressions that a GGUF file's tokenizer.ggml.pre names.
#ifndef QUIRE_TEXT_PRE_TOKENIZER_H_
#define QUIRE_TEXT_PRE_TOKENIZER_H_

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "quire/base/result.h"
#include "quire/text/regex.h"

namespace quire {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitStep {
  std::string pattern = {};
  bool literal = false;  // `pattern` is a text, no expression
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // what lies between the matches counts as match
};

// GPT-2's words. What follows this step sees them in GPT-2's byte alphabet.
struct ByteLevelStep {
  bool add_prefix_space = false;
  bool use_regex = true;
};

// Where a SentencePiece-style tokenizer puts a space before text.
enum class SpacePrefix { kNever, kFirst, kAlways };

// Spaces become `mark`, and words begin with one.
struct MetaspaceStep {
  std::string mark = "\xE2\x96\x81";  // U+2581
  SpacePrefix prefix = SpacePrefix::kAlways;
  bool split = true;
};

using PreTokenizerStep = std::variant<SplitStep, ByteLevelStep, MetaspaceStep>;

class PreTokenizer {
 public:
  using Words = std::function<void(std::string_view)>;

  // Errors: those of Regex.
  static Result<PreTokenizer> Compile(std::vector<PreTokenizerStep> steps);

  // Calls `word` for every word, in order; where there is a ByteLevelStep they are bytes, not its alphabet.
  // `first`: the text begins the whole input. Thread-safe. REQUIRES: `text` is valid UTF-8.
  void Split(std::string_view text, bool first, const Words& word) const;

 private:
  struct Walk;

  std::vector<PreTokenizerStep> steps_;
  std::vector<Regex> patterns_;  // by step; that of a MetaspaceStep finds its mark
  bool in_alphabet_ = false;     // steps follow a ByteLevelStep
};

// One character of punctuation, as tokenizer.json's Punctuation understands it.
extern const char* const kPunctuationPattern;

// A value of GGUF's tokenizer.ggml.pre.
struct PreTokenizerRow {
  std::string_view name;
  std::vector<PreTokenizerStep> steps;
  bool ignore_merges = false;
  bool nfc = false;
  bool add_bos = false;  // where tokenizer.ggml.add_bos_token says nothing
};

// nullptr for an unknown name.
const PreTokenizerRow* FindPreTokenizer(std::string_view name);
std::string KnownPreTokenizers();

}  // namespace quire

#endif  // QUIRE_TEXT_PRE_TOKENIZER_H_
