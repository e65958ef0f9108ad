// A node of a BSkipList: many keys side by side, each with what lies below it. A reader takes no lock: it
// reads the node's version before and after, and what it read is good if the version is still the same.
#ifndef QUIRE_BASE_BSKIP_NODE_H_
#define QUIRE_BASE_BSKIP_NODE_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace quire {

// Shared words that are read while they are written: never torn words, but perhaps of several keys.
template <typename Key>
class SharedKey {
 public:
  using Words = std::array<uint64_t, sizeof(Key) / sizeof(uint64_t)>;

  Key Load() const {
    Words words;
    for (size_t i = 0; i < words.size(); ++i) words[i] = words_[i].load(std::memory_order_relaxed);
    return std::bit_cast<Key>(words);
  }
  void Store(const Key& key) {
    const auto words = std::bit_cast<Words>(key);
    for (size_t i = 0; i < words.size(); ++i) words_[i].store(words[i], std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<uint64_t>, sizeof(Key) / sizeof(uint64_t)> words_{};
};

template <typename Key, int kCapacity>
class BSkipNode {
 public:
  // -- The lock, which is a part of the version.

  uint64_t WaitUnlocked() const {
    for (int spins = 0;; ++spins) {
      const uint64_t version = version_.load(std::memory_order_acquire);
      if (version % 2 == 0) return version;
      if (spins > 100) std::this_thread::yield();  // its holder may not be running
    }
  }
  bool Unchanged(uint64_t version) const {
    std::atomic_thread_fence(std::memory_order_acquire);
    return version_.load(std::memory_order_relaxed) == version;
  }
  bool LockUnchanged(uint64_t version) {
    if (!version_.compare_exchange_strong(version, version + 1, std::memory_order_acquire)) return false;
    std::atomic_thread_fence(std::memory_order_release);
    return true;
  }
  void Lock() {
    while (!LockUnchanged(WaitUnlocked())) {
    }
  }
  void Unlock() { version_.fetch_add(1, std::memory_order_release); }

  // Fetches it from memory in one go, not line by line as the search would.
  void Prefetch() const {
    constexpr size_t kLine = 64;
    for (size_t at = 0; at < sizeof(*this); at += kLine) {
      __builtin_prefetch(reinterpret_cast<const std::byte*>(this) + at);
    }
  }

  // -- What it holds. Entries are in the order of their keys; those of the next node come after them.

  int count() const { return count_.load(std::memory_order_relaxed); }
  Key key(int i) const { return keys_[i].Load(); }
  uint64_t below(int i) const { return below_[i].load(std::memory_order_relaxed); }
  BSkipNode* next() const { return next_.load(std::memory_order_relaxed); }
  Key high() const { return high_.Load(); }  // the first key of the next node

  // The last entry whose key is at most `key`, or less than it where `strictly`. REQUIRES: that of entry 0
  // is.
  template <bool strictly>
  int IndexOf(const Key& key) const {
    int at = 0;
    for (int left = count(); left > 1;) {
      const int half = left / 2;
      const Key other = keys_[at + half].Load();
      at += (strictly ? other < key : !(key < other)) ? half : 0;
      left -= half;
    }
    return at;
  }
  // True when IndexOf is to be asked of a node to the right.
  template <bool strictly>
  bool IsLeftOf(const Key& key) const {
    if (next() == nullptr) return false;
    return strictly ? high() < key : !(key < high());
  }

  // -- Changes. REQUIRES: locked, or known to nobody else.

  void SetBelow(int i, uint64_t below) { below_[i].store(below, std::memory_order_relaxed); }
  // Makes it the only node of its level, with one entry.
  void Begin(const Key& key, uint64_t below) {
    keys_[0].Store(key);
    SetBelow(0, below);
    count_.store(1, std::memory_order_relaxed);
    next_.store(nullptr, std::memory_order_relaxed);
  }
  // REQUIRES: it is not full.
  void Insert(int at, const Key& key, uint64_t below) {
    for (int i = count(); i > at; --i) Copy(*this, i - 1, i);
    keys_[at].Store(key);
    SetBelow(at, below);
    count_.store(count() + 1, std::memory_order_relaxed);
  }
  void Erase(int at) {
    for (int i = at + 1; i < count(); ++i) Copy(*this, i, i - 1);
    count_.store(count() - 1, std::memory_order_relaxed);
  }
  // Gives the entries from `from` on to `right`, behind those it has, and makes it the next one.
  // REQUIRES: `right` then has entries, and room for them.
  void Split(int from, BSkipNode& right) {
    int at = right.count();
    for (int i = from; i < count(); ++i) right.Copy(*this, i, at++);
    right.count_.store(at, std::memory_order_relaxed);
    right.next_.store(next(), std::memory_order_relaxed);
    right.high_.Store(high());
    count_.store(from, std::memory_order_relaxed);
    next_.store(&right, std::memory_order_relaxed);
    high_.Store(right.key(0));
  }
  // The next one lost its first entry; if there is room for the others they are taken in, and it is left out.
  // REQUIRES: the next one is locked.
  bool AbsorbNext() {
    const BSkipNode& right = *next();
    const int left = count(), more = right.count();
    if (left + more > kCapacity) {
      high_.Store(right.key(0));
      return false;
    }
    for (int i = 0; i < more; ++i) Copy(right, i, left + i);
    count_.store(left + more, std::memory_order_relaxed);
    next_.store(right.next(), std::memory_order_relaxed);
    high_.Store(right.high());
    return true;
  }
  void Clear() { count_.store(0, std::memory_order_relaxed); }

 private:
  void Copy(const BSkipNode& other, int from, int to) {
    keys_[to].Store(other.key(from));
    SetBelow(to, other.below(from));
  }

  alignas(64) std::atomic<uint64_t> version_{0};  // odd: locked; every change makes it another
  std::atomic<BSkipNode*> next_{nullptr};
  std::atomic<int> count_{0};
  SharedKey<Key> high_;
  std::array<SharedKey<Key>, kCapacity> keys_;
  std::array<std::atomic<uint64_t>, kCapacity> below_{};  // a node of the level below, or a value
};

}  // namespace quire

#endif  // QUIRE_BASE_BSKIP_NODE_H_
