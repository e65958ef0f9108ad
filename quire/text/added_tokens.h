// Finds added and special tokens in text: at every position the longest one, as a trie over their bytes.
#ifndef QUIRE_TEXT_ADDED_TOKENS_H_
#define QUIRE_TEXT_ADDED_TOKENS_H_

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "quire/base/token.h"

namespace quire {

inline constexpr Token kNoToken = -1;

class AddedTokens {
 public:
  struct Match {
    size_t length = 0;  // 0: no token begins here
    Token token = kNoToken;
  };

  // The first token of a text wins. REQUIRES: `text` is not empty.
  void Add(std::string_view text, Token token);
  // The longest token at the start of `text`. REQUIRES: `text` is not empty.
  Match MatchAt(std::string_view text) const;

 private:
  std::unordered_map<uint64_t, uint32_t> edges_;  // node << 8 | byte -> node
  std::vector<Token> ends_ = {kNoToken};          // by node
  std::array<bool, 256> starts_{};
};

}  // namespace quire

#endif  // QUIRE_TEXT_ADDED_TOKENS_H_
