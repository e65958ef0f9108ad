// KV memory as the scheduler sees it: finds what is computed already of a sequence, reserves pages for the
// tokens it is about to compute, publishes what it has computed, and takes pages back. Running out is a
// verdict, not an error.
//
//   cache.Match(table, salt, tokens);                       table.tokens of them need no computing
//   cache.Reserve(table, n);                                ... compute n tokens ...
//   cache.Publish(table, salt, tokens.first(computed));     others can match them now
//   cache.Release(table, salt, tokens.first(computed));     the pages stay cached until somebody needs the
//   room
//
// PageCache shares pages among sequences; RegionCache lets every sequence lie in one piece.
//
// One owner: only the engine thread calls it.
#ifndef QUIRE_KV_KV_CACHE_H_
#define QUIRE_KV_KV_CACHE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "quire/base/result.h"
#include "quire/base/token.h"
#include "quire/kv/kv_layout.h"
#include "quire/kv/page_arena.h"
#include "quire/kv/page_pins.h"
#include "quire/kv/page_table.h"

namespace quire {

enum class Verdict {
  kGranted,  // the pages are in the table
  kWait,     // not now: nothing changed; pages must be released first
  kNever,    // more than the whole size
};

// How far Reserve may go.
enum class Room {
  kOfSize,     // as the size says
  kBeyondSize  // further, for who is alone
};

// Where the KV bytes are. All in bytes; free + cached + used = total.
struct KvUsage {
  int64_t limit = 0;      // the size that was set
  int64_t total = 0;      // the same, or more while used pages are more than that
  int64_t committed = 0;  // that have main memory: used, cached, and the part of free that is kept warm
  int64_t free = 0;
  int64_t cached = 0;   // in pages that only the prefix index holds: given up as soon as somebody needs them
  int64_t used = 0;     // in pages of live sequences, shared pages once
  int64_t filled = 0;   // the part of `used` that reserved tokens occupy; used - filled is waste
  double commit_s = 0;  // seconds that were spent on taking and giving back main memory, where it is counted
};

// In bytes.
struct LayoutUsage {
  int64_t cached = 0;
  int64_t used = 0;
};

struct IndexUsage {
  int64_t nodes = 0;
  int64_t bytes = 0;  // of main memory, about
  int64_t pinned_pages = 0;
  int64_t held_back_pages = 0;  // idle, and not for who does not run yet
};

class KvCache {
 public:
  virtual ~KvCache() = default;

  // Of pages that lie side by side and have equal bytes; what a table's have is its own choice.
  virtual std::span<const KvLayout> layouts() const = 0;
  const KvLayout& LayoutOf(const PageTable& table) const { return layouts()[table.layout]; }
  const KvLayout& layout() const { return layouts().front(); }
  virtual const PageArena& arena() const = 0;
  // The size, in pages, and those that Reserve can take: free ones, and cached ones that nobody uses.
  virtual int64_t pages() const = 0;
  virtual int64_t available_pages() const = 0;

  // From now on the size is `kv_bytes`. What it has to give up are free and cached pages; what live tables
  // have they keep, and the cache is over its size until they are released.
  // Errors: kInvalidArgument when not even one page fits, or more than there may be; then nothing changed.
  virtual Status Resize(size_t kv_bytes) = 0;
  virtual bool OverSize() const = 0;

  // Extends the table by what is cached of `tokens` under `salt`, and returns by how many tokens.
  virtual int64_t Match(PageTable& table, std::string_view salt, std::span<const Token> tokens) = 0;

  // Lets others match the full pages of the table, which have been computed for `tokens`.
  virtual void Publish(PageTable& table, std::string_view salt, std::span<const Token> tokens) = 0;

  // A later request is likely to go on from `position`. REQUIRES: the table was published up to there.
  virtual void ExpectReturn(const PageTable& table, int64_t position) = 0;

  // Pins what others can match of the table's first `tokens`, whole pages, in place of the pin of that name.
  // Returns the tokens that are pinned; 0: there was no page. A pin that was not asked for holds its pages
  // back from who does not run yet: see index_usage().
  virtual int64_t Pin(const std::string& name, const PageTable& table, int64_t tokens, PinFacts facts) {
    return 0;
  }
  virtual bool Unpin(const std::string& name) { return false; }
  // See PagePins.
  virtual bool YieldOldestPin(std::string_view owner, std::string_view beginning, std::string_view but) {
    return false;
  }
  virtual void ExpirePins(double now_s) {}
  bool RenewPin(const std::string& name, double expiry_s) { return pins_.Renew(name, expiry_s); }
  void SetRetention(std::unique_ptr<RetentionPolicy> policy) { pins_.SetPolicy(std::move(policy)); }
  RetentionPolicy& retention() { return pins_.policy(); }
  const PagePins& pins() const { return pins_; }

  // Makes positions [table.tokens, table.tokens + tokens) writable. All or nothing. A granted table has
  // advanced by `tokens`.
  virtual Verdict Reserve(PageTable& table, int64_t tokens, Room room = Room::kOfSize) = 0;

  // Returns the pages of sliding-window groups that no query at `position` or later can see.
  virtual void TrimWindows(PageTable& table, int64_t position) = 0;

  // A second sequence over the same tokens (parallel sampling, n > 1). It may have fewer tokens, or none,
  // where there is no room for pages of its own: these are computed again.
  virtual PageTable Fork(const PageTable& table) = 0;

  // Returns all pages; the table is empty afterwards. The second publishes first, to the last of `tokens`.
  virtual void Release(PageTable& table) = 0;
  virtual void Release(PageTable& table, std::string_view salt, std::span<const Token> tokens) = 0;

  // Pages a fresh sequence of `tokens` tokens needs at its largest moment, when prompts are computed in
  // chunks of at most `chunk_tokens` and its pages have the layout.
  virtual int64_t PagesFor(int64_t tokens, int64_t chunk_tokens, int layout = 0) const = 0;

  // Over all live tables.
  virtual KvUsage Usage() const = 0;
  // What of used and cached pages has the layout.
  virtual LayoutUsage UsageOf(int layout) const = 0;
  virtual IndexUsage index_usage() const { return {}; }

 protected:
  PagePins pins_;  // empty where nothing is shared
};

}  // namespace quire

#endif  // QUIRE_KV_KV_CACHE_H_
