// What a tokenizer does to text before it cuts it: Unicode normal forms, replacements, prefixes.
#ifndef QUIRE_TEXT_NORMALIZER_H_
#define QUIRE_TEXT_NORMALIZER_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/text/regex.h"

namespace quire {

struct NormalizerStep {
  enum class Kind {
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kStripAccents,
    kStripLeft,  // white space
    kStripRight,
    kPrepend,  // `content`, where there is any text
    kReplace,  // every match of `pattern` with `content`
  };
  Kind kind;
  std::string pattern = {};
  bool literal = true;  // `pattern` is a text, no expression
  std::string content = {};
};

class Normalizer {
 public:
  // Errors: those of Regex.
  static Result<Normalizer> Compile(std::vector<NormalizerStep> steps);

  bool empty() const { return steps_.empty(); }
  // REQUIRES: `text` is valid UTF-8.
  std::string Apply(std::string_view text) const;

 private:
  std::vector<NormalizerStep> steps_;
  std::vector<Regex> patterns_;  // of the steps that replace by expression, in their order
};

}  // namespace quire

#endif  // QUIRE_TEXT_NORMALIZER_H_
