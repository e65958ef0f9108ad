// An ordered map in memory for several threads: a skip list whose nodes hold many keys side by side, so that
// a search touches few cache lines. Searches take no locks; a change locks only the nodes that it changes,
// from the top down in one pass.
//
//   BSkipList<uint64_t, uint64_t> map;
//   map.Put(7, 70);                            // true: it is new
//   map.Find(7);                               // 70
//   map.ForEachFrom(5, [](uint64_t key, uint64_t value) { return true; });
//   map.Remove(7);
//
// Nodes are those of the B-skiplist (Luo et al., "Bridging Cache-Friendliness and Concurrency", 2025,
// sections 3 and 4): one key in half a node's capacity is also on the next level, and there leads to the node
// that begins with it. Unlike there, readers check versions instead of taking locks (optimistic reads of Cha
// et al., VLDB 2001, 3.1), and the level of a key is a hash of it, so that who removes it knows where to
// begin.
#ifndef QUIRE_BASE_BSKIP_LIST_H_
#define QUIRE_BASE_BSKIP_LIST_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "quire/base/bskip_node.h"
#include "quire/base/split_mix.h"

namespace quire {

// Key: ordered by <, plain words of 8 bytes without padding. Value: plain, of at most 8 bytes. A node has
// room for `kCapacity` keys.
template <typename Key, typename Value, int kCapacity = 128>
class BSkipList {
  static_assert(std::has_unique_object_representations_v<Key> && sizeof(Key) % sizeof(uint64_t) == 0);
  static_assert(std::is_trivially_copyable_v<Value> && sizeof(Value) <= sizeof(uint64_t));
  static_assert(std::has_single_bit(static_cast<unsigned>(kCapacity)) && kCapacity >= 4);

 public:
  // `seed`: who does not know it cannot choose keys that crowd a level.
  explicit BSkipList(uint64_t seed = 0) : seed_(seed) {
    for (int level = 0; level < kLevels; ++level) {
      heads_[level] = NewNode();
      heads_[level]->Begin(Key{}, level == 0 ? 0 : WordOf(heads_[level - 1]));
    }
  }
  BSkipList(const BSkipList&) = delete;
  BSkipList& operator=(const BSkipList&) = delete;

  // All are thread-safe, and each but ForEach takes effect at one moment between its call and its return.

  // True when the key is new; else its value is replaced.
  bool Put(const Key& key, Value value);
  // False when there is no such key.
  bool Remove(const Key& key);
  std::optional<Value> Find(const Key& key) const;
  std::optional<std::pair<Key, Value>> First() const;
  // Calls visit(key, value) in order, for the keys from `from` on, until it returns false. What changes
  // meanwhile may be seen or not; every other key is seen once.
  template <typename Visit>
  void ForEachFrom(const Key& from, Visit&& visit) const {
    Walk(from, visit);
  }
  template <typename Visit>
  void ForEach(Visit&& visit) const {
    Walk(std::nullopt, visit);
  }

 private:
  static constexpr int kLevels = 8;
  static constexpr int kFanoutBits = std::bit_width(static_cast<unsigned>(kCapacity)) - 2;

  // Entry 0 of a level's first node stands before all keys.
  using Node = BSkipNode<Key, kCapacity>;
  struct Place {
    Node* node = nullptr;
    uint64_t version = 0;  // at which it was seen
    bool Unchanged() const { return node->Unchanged(version); }
  };

  static uint64_t WordOf(Node* node) { return reinterpret_cast<uintptr_t>(node); }
  static uint64_t WordOf(Value value) {
    uint64_t word = 0;
    std::memcpy(&word, &value, sizeof(Value));
    return word;
  }
  static Value ValueOf(uint64_t word) {
    Value value;
    std::memcpy(&value, &word, sizeof(Value));
    return value;
  }
  static Node* Child(const Node& node, int i) { return reinterpret_cast<Node*>(node.below(i)); }
  static Place Look(Node* node) { return {node, node->WaitUnlocked()}; }

  bool Holds(const Node& node, int level, int i, const Key& key) const {
    return (i > 0 || &node != heads_[level]) && node.key(i) == key;
  }
  int LevelOf(const Key& key) const {
    uint64_t hash = seed_;
    for (const uint64_t word : std::bit_cast<typename SharedKey<Key>::Words>(key)) {
      hash = SplitMix(hash ^ word);
    }
    return std::min(std::countr_zero(hash) / kFanoutBits, kLevels - 1);
  }

  // Nodes never go back to the system: who comes with an old pointer finds a node, and a version that tells.
  Node* NewNode();
  void Free(Node* node);

  template <bool strictly>
  std::optional<Place> Seek(const Key& key, int level) const;
  template <bool strictly>
  Node* SeekLocked(const Key& key, int level) const;
  template <bool strictly>
  static Node* GoRightLocked(Node* node, const Key& key);

  void InsertBehind(Node& node, int i, const Key& key, uint64_t below);
  bool EraseBehind(Node& node, int i, const Key& key);
  bool Assign(const Key& key, Value value);
  template <typename Visit>
  void Walk(std::optional<Key> from, Visit&& visit) const;

  const uint64_t seed_;
  std::array<Node*, kLevels> heads_{};
  std::atomic<int> top_{0};  // no key is on a higher level
  std::mutex nodes_mutex_;   // guards what follows
  std::vector<std::unique_ptr<Node[]>> slabs_;
  std::vector<Node*> free_;
};

// Locks are taken from higher levels to lower ones and from left to right, and a lock is let go only when the
// next one is held. So a change never overtakes one that went the same way before it, and two never wait for
// each other.

template <typename Key, typename Value, int kCapacity>
bool BSkipList<Key, Value, kCapacity>::Put(const Key& key, Value value) {
  int level = LevelOf(key);
  for (int top = top_.load(); top < level && !top_.compare_exchange_weak(top, level);) {
  }
  Node* node = SeekLocked<false>(key, level);
  int i = node->template IndexOf<false>(key);
  if (Holds(*node, level, i, key)) {
    if (level == 0) node->SetBelow(i, WordOf(value));
    node->Unlock();
    return level > 0 && !Assign(key, value) && Put(key, value);
  }
  // On every level below its highest the key begins a node. These are locked until they are complete.
  const auto begin = [&](int on_level) -> Node* {
    if (on_level < 0) return nullptr;
    Node* begun = NewNode();
    begun->Lock();
    return begun;
  };
  const auto below = [&](Node* begun) { return begun == nullptr ? WordOf(value) : WordOf(begun); };
  Node* begun = begin(level - 1);
  Node* down = level > 0 ? Child(*node, i) : nullptr;
  InsertBehind(*node, i, key, below(begun));
  for (Node* right = nullptr;;) {
    if (down != nullptr) down->Lock();
    node->Unlock();
    if (right != nullptr) right->Unlock();
    if (down == nullptr) return true;
    --level;
    node = GoRightLocked<false>(down, key);
    i = node->template IndexOf<false>(key);
    down = level > 0 ? Child(*node, i) : nullptr;
    right = std::exchange(begun, begin(level - 1));
    right->Begin(key, below(begun));
    node->Split(i + 1, *right);
  }
}

template <typename Key, typename Value, int kCapacity>
bool BSkipList<Key, Value, kCapacity>::Remove(const Key& key) {
  int level = LevelOf(key);
  Node* node = SeekLocked<true>(key, level);
  while (true) {
    const int i = node->template IndexOf<true>(key);
    Node* down = level > 0 ? Child(*node, i) : nullptr;
    const bool erased = EraseBehind(*node, i, key);
    if (!erased || level == 0) {
      node->Unlock();
      return erased;
    }
    down->Lock();
    node->Unlock();
    node = GoRightLocked<true>(down, key);
    --level;
  }
}

template <typename Key, typename Value, int kCapacity>
std::optional<Value> BSkipList<Key, Value, kCapacity>::Find(const Key& key) const {
  while (true) {
    const auto place = Seek<false>(key, 0);
    if (!place) continue;
    const Node& node = *place->node;
    const int i = node.template IndexOf<false>(key);
    const bool found = Holds(node, 0, i, key);
    const uint64_t word = node.below(i);
    if (!place->Unchanged()) continue;
    return found ? std::optional(ValueOf(word)) : std::nullopt;
  }
}

template <typename Key, typename Value, int kCapacity>
std::optional<std::pair<Key, Value>> BSkipList<Key, Value, kCapacity>::First() const {
  std::optional<std::pair<Key, Value>> first;
  ForEach([&](const Key& key, Value value) {
    first.emplace(key, value);
    return false;
  });
  return first;
}

// Node after node is copied and then visited, so `visit` may take its time, and change the list.
template <typename Key, typename Value, int kCapacity>
template <typename Visit>
void BSkipList<Key, Value, kCapacity>::Walk(std::optional<Key> from, Visit&& visit) const {
  std::array<std::pair<Key, uint64_t>, kCapacity> seen;
  const auto begin = [&] { return from ? Seek<false>(*from, 0) : Look(heads_[0]); };
  for (std::optional<Place> place = begin();;) {
    int count = 0;
    Node* next = nullptr;
    Key high{};
    std::optional<Place> following;
    if (place) {
      const Node& node = *place->node;
      next = node.next();
      if (next != nullptr) next->Prefetch();
      for (int i = from ? node.template IndexOf<false>(*from) : 0; i < node.count(); ++i) {
        if (i == 0 && &node == heads_[0]) continue;
        const Key key = node.key(i);
        if (!from || !(key < *from)) seen[count++] = {key, node.below(i)};
      }
      high = node.high();
      if (place->Unchanged() && next != nullptr) following = Look(next);
    }
    if (!place || !place->Unchanged()) {
      place = begin();
      continue;
    }
    for (int i = 0; i < count; ++i) {
      if (!visit(seen[i].first, ValueOf(seen[i].second))) return;
    }
    if (next == nullptr) return;
    from = high;
    place = following;
  }
}

// -- Ways ---------------------------------------------------------------------------------------------------

// The node of `level` that the key is in, or would be; nothing when what was read changed meanwhile.
template <typename Key, typename Value, int kCapacity>
template <bool strictly>
auto BSkipList<Key, Value, kCapacity>::Seek(const Key& key, int level) const -> std::optional<Place> {
  int at = std::max(level, top_.load(std::memory_order_relaxed));
  Place place = Look(heads_[at]);
  while (true) {
    const Node& node = *place.node;
    const bool is_left = node.template IsLeftOf<strictly>(key);
    if (!is_left && at == level) return place;
    Node* to = is_left ? node.next() : Child(node, node.template IndexOf<strictly>(key));
    if (!place.Unchanged()) return std::nullopt;
    to->Prefetch();
    const Place next = Look(to);
    if (!place.Unchanged()) return std::nullopt;  // else `to` was a part of the list when it was looked at
    place = next;
    at -= is_left ? 0 : 1;
  }
}

template <typename Key, typename Value, int kCapacity>
template <bool strictly>
auto BSkipList<Key, Value, kCapacity>::SeekLocked(const Key& key, int level) const -> Node* {
  while (true) {
    const auto place = Seek<strictly>(key, level);
    if (place && place->node->LockUnchanged(place->version)) return place->node;
  }
}

template <typename Key, typename Value, int kCapacity>
template <bool strictly>
auto BSkipList<Key, Value, kCapacity>::GoRightLocked(Node* node, const Key& key) -> Node* {
  while (node->template IsLeftOf<strictly>(key)) {
    Node* next = node->next();
    next->Lock();
    node->Unlock();
    node = next;
  }
  return node;
}

// -- Changes of locked nodes --------------------------------------------------------------------------------

// A full node first gives its upper half to a new neighbour.
template <typename Key, typename Value, int kCapacity>
void BSkipList<Key, Value, kCapacity>::InsertBehind(Node& node, int i, const Key& key, uint64_t below) {
  constexpr int kHalf = kCapacity / 2;
  if (node.count() < kCapacity) return node.Insert(i + 1, key, below);
  Node& right = *NewNode();
  node.Split(kHalf, right);
  if (i < kHalf) {
    node.Insert(i + 1, key, below);
  } else {
    right.Insert(i + 1 - kHalf, key, below);
  }
}

// Erases the key, which is behind entry i if it is there. Where it began a node, no key of the level above
// leads to that node any more, so it may be absorbed.
template <typename Key, typename Value, int kCapacity>
bool BSkipList<Key, Value, kCapacity>::EraseBehind(Node& node, int i, const Key& key) {
  if (i + 1 < node.count()) {
    const bool found = node.key(i + 1) == key;
    if (found) node.Erase(i + 1);
    return found;
  }
  Node* next = node.next();
  if (next == nullptr || !(node.high() == key)) return false;
  next->Lock();
  next->Erase(0);
  const bool absorbed = node.AbsorbNext();
  next->Unlock();
  if (absorbed) Free(next);
  return true;
}

// False when the key is not there.
template <typename Key, typename Value, int kCapacity>
bool BSkipList<Key, Value, kCapacity>::Assign(const Key& key, Value value) {
  Node* node = SeekLocked<false>(key, 0);
  const int i = node->template IndexOf<false>(key);
  const bool found = Holds(*node, 0, i, key);
  if (found) node->SetBelow(i, WordOf(value));
  node->Unlock();
  return found;
}

// -- Nodes --------------------------------------------------------------------------------------------------

template <typename Key, typename Value, int kCapacity>
auto BSkipList<Key, Value, kCapacity>::NewNode() -> Node* {
  constexpr int kSlab = 64;
  const std::lock_guard lock(nodes_mutex_);
  if (free_.empty()) {
    slabs_.push_back(std::make_unique<Node[]>(kSlab));
    for (int i = kSlab - 1; i >= 0; --i) free_.push_back(&slabs_.back()[i]);
  }
  Node* node = free_.back();
  free_.pop_back();
  node->Clear();
  return node;
}

template <typename Key, typename Value, int kCapacity>
void BSkipList<Key, Value, kCapacity>::Free(Node* node) {
  const std::lock_guard lock(nodes_mutex_);
  free_.push_back(node);
}

}  // namespace quire

#endif  // QUIRE_BASE_BSKIP_LIST_H_
