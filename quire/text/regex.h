// Regular expressions of tokenizers. They are written for Oniguruma's Ruby syntax and its version of Unicode;
// PCRE2 runs them, compiled to machine code where the system allows it. No input makes a search hang: one
// that backtracks beyond a limit finds nothing more.
#ifndef QUIRE_TEXT_REGEX_H_
#define QUIRE_TEXT_REGEX_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "quire/base/result.h"

namespace quire {

class Regex {
 public:
  // What one thread needs to search: make one and use it for many searches.
  class Memory;
  struct FreeMemory {
    void operator()(Memory* memory) const;
  };
  using MemoryPtr = std::unique_ptr<Memory, FreeMemory>;
  static MemoryPtr NewMemory();

  // Errors: kCorrupt for what is no expression, kUnsupported for the syntax PCRE2 lacks.
  static Result<Regex> Compile(std::string_view pattern);
  // Matches exactly this text.
  static Result<Regex> Literal(std::string_view text);

  // Calls `match(begin, end)` for every match, from left to right; an empty one right behind another is left
  // out. `match` may search with the same memory. REQUIRES: `text` is valid UTF-8.
  void ForEachMatch(std::string_view text, Memory& memory,
                    const std::function<void(size_t begin, size_t end)>& match) const;

 private:
  struct FreeCode {
    void operator()(void* code) const;
  };
  static Result<Regex> CompileWith(std::string_view pattern, std::string_view shown, unsigned options);

  std::unique_ptr<void, FreeCode> code_;
};

}  // namespace quire

#endif  // QUIRE_TEXT_REGEX_H_
