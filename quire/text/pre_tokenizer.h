// Cuts text into the words that BPE never merges across, by the model's own regular expressions.
#ifndef QUIRE_TEXT_PRE_TOKENIZER_H_
#define QUIRE_TEXT_PRE_TOKENIZER_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"

namespace quire {

class PreTokenizer {
 public:
  static Result<std::unique_ptr<PreTokenizer>> Named(std::string_view name);
  static Result<std::unique_ptr<PreTokenizer>> FromPatterns(const std::vector<std::string>& patterns);
  virtual ~PreTokenizer() = default;
  // Calls `word` for every piece, in order; the pieces cover `text`. REQUIRES: valid UTF-8.
  virtual void Split(std::string_view text, const std::function<void(std::string_view)>& word) const = 0;
};

}  // namespace quire

#endif  // QUIRE_TEXT_PRE_TOKENIZER_H_
