// Flat hash tables for vocabularies: built once, with a known number of entries, then only read.
#ifndef QUIRE_TEXT_HASH_TABLES_H_
#define QUIRE_TEXT_HASH_TABLES_H_

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/token.h"
#include "quire/text/added_tokens.h"

namespace quire {

// From the text of a piece to its token.
class PieceTable {
 public:
  void Reserve(size_t pieces, size_t bytes) {
    slots_.resize(std::bit_ceil(pieces * 2 + 1));
    texts_.reserve(bytes);
  }
  // The first of equal texts stays. REQUIRES: no more pieces than reserved, of less than 4 GiB.
  void Insert(std::string_view text, Token token) {
    const uint64_t hash = Hash(text);
    for (size_t at = hash;; ++at) {
      Slot& slot = slots_[at & (slots_.size() - 1)];
      if (slot.token == kNoToken) {
        slot = {static_cast<uint32_t>(hash >> 32), static_cast<uint32_t>(text.size()),
                static_cast<uint32_t>(texts_.size()), token};
        texts_ += text;
        return;
      }
      if (Holds(slot, hash, text)) return;
    }
  }
  // kNoToken where there is none. REQUIRES: Reserve was called.
  Token Find(std::string_view text) const {
    const uint64_t hash = Hash(text);
    for (size_t at = hash;; ++at) {
      const Slot& slot = slots_[at & (slots_.size() - 1)];
      if (slot.token == kNoToken || Holds(slot, hash, text)) return slot.token;
    }
  }

 private:
  struct Slot {
    uint32_t hash = 0;  // its upper half
    uint32_t size = 0;
    uint32_t begin = 0;  // in texts_
    Token token = kNoToken;
  };
  static uint64_t Hash(std::string_view text) { return std::hash<std::string_view>{}(text); }
  bool Holds(const Slot& slot, uint64_t hash, std::string_view text) const {
    return slot.hash == hash >> 32 && slot.size == text.size() &&
           std::string_view(texts_).substr(slot.begin, slot.size) == text;
  }

  std::vector<Slot> slots_;
  std::string texts_;
};

// From two tokens to the one they merge into.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = 0;  // lower merges first
    Token joined = kNoToken;
  };

  void Reserve(size_t merges) { slots_.resize(std::bit_ceil(merges + merges / 2 + 1)); }
  // The last of equal pairs stays. REQUIRES: no more pairs than reserved.
  void Insert(Token left, Token right, Merge merge) {
    const uint64_t key = Key(left, right);
    slots_[SlotOf(key)] = {key, merge};
  }
  // joined is kNoToken where the two do not merge. REQUIRES: Reserve was called.
  Merge Find(Token left, Token right) const { return slots_[SlotOf(Key(left, right))].merge; }

 private:
  struct Slot {
    uint64_t key = 0;
    Merge merge;
  };
  static uint64_t Key(Token left, Token right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  // The slot of `key`, or the empty one where it belongs.
  size_t SlotOf(uint64_t key) const {
    constexpr uint64_t kGolden = 0x9E3779B97F4A7C15;
    for (size_t at = (key ^ key >> 29) * kGolden >> 20;; ++at) {
      at &= slots_.size() - 1;
      if (slots_[at].merge.joined == kNoToken || slots_[at].key == key) return at;
    }
  }

  std::vector<Slot> slots_;
};

}  // namespace quire

#endif  // QUIRE_TEXT_HASH_TABLES_H_
