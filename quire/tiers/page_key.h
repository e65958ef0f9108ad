// The name of a KV page below the pool: what its bytes are a function of. Two pages with the same name hold
// the same keys and values, so a page is found again by whoever computes the same tokens, in another process
// too.
//
// A name is a hash chain: a page's follows from its tokens and the name of the page before it, and the first
// one's from the salt and the kind of pages. It is cryptographic (the first 128 bits of SHA-256): who does
// not know the salt can make no page with a name under it, and nobody can make two sequences that have one
// name.
#ifndef QUIRE_TIERS_PAGE_KEY_H_
#define QUIRE_TIERS_PAGE_KEY_H_

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "quire/base/token.h"

namespace quire {

using PageKey = std::array<std::byte, 16>;

// Keys are hashes already.
struct PageKeyHash {
  size_t operator()(const PageKey& key) const {
    size_t hash;
    std::memcpy(&hash, key.data(), sizeof(hash));
    return hash;
  }
};

// Of no tokens, under `salt`, in pages of a kind: another kind of the same tokens has other bytes. No kind is
// one, too.
PageKey RootKey(std::string_view salt, std::string_view kind = {});
// Of the state that `tokens` leave behind where the tokens before them left `parent`.
PageKey ChildKey(const PageKey& parent, std::span<const Token> tokens);
// Of the page that layer group `group` has in that state.
PageKey KeyOfGroup(const PageKey& state, size_t group);

// 32 hexadecimal digits.
std::string ToHex(const PageKey& key);

}  // namespace quire

#endif  // QUIRE_TIERS_PAGE_KEY_H_
