// Finds added and special tokens in text: from the left, at every position the longest one.
#ifndef QUIRE_TEXT_ADDED_TOKENS_H_
#define QUIRE_TEXT_ADDED_TOKENS_H_

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/token.h"

namespace quire {

inline constexpr Token kNoToken = -1;

struct AddedToken {
  std::string text;
  Token token = kNoToken;
  bool special = false;       // only where special tokens are parsed
  bool single_word = false;   // not inside of a word
  bool strips_left = false;   // takes the white space before it
  bool strips_right = false;  // and behind it
};

class AddedTokens {
 public:
  AddedTokens() = default;
  // Of equal texts the first one counts; empty ones are left out.
  explicit AddedTokens(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }
  // Calls `part(text, token)` for every part of `text` in order; token is kNoToken for text between tokens.
  // `accepts(begin, end)` says whether a special token there counts. REQUIRES: `text` is valid UTF-8.
  using Accepts = std::function<bool(size_t begin, size_t end)>;
  using OnPart = std::function<void(std::string_view text, Token token)>;
  void Split(std::string_view text, const Accepts& accepts, const OnPart& part) const;
  // Appends the offsets at which the text of a special token begins.
  void FindSpecial(std::string_view text, std::vector<size_t>& begins) const;

 private:
  const AddedToken* LongestAt(std::string_view text) const;
  bool AnySpecialAt(std::string_view text) const;

  struct Range {
    uint32_t begin = 0, end = 0;
  };
  std::vector<AddedToken> tokens_;    // by text
  std::array<Range, 256> by_byte_{};  // those that begin with it
};

}  // namespace quire

#endif  // QUIRE_TEXT_ADDED_TOKENS_H_
