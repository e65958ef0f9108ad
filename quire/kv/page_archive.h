// What has been computed, kept in a tier below the page pool: writes pages there soon after they were
// published or when they leave the pool, whichever the tier wants, and brings pages back for a sequence that
// is about to need them. What was brought back is in the prefix index as if it had been computed here, so who
// restores goes on with PageCache::Match.
//
//   archive.Restore(id, salt, tokens, matched)   true: worth waiting for
//   archive.Advance()                            between steps, until ...
//   archive.Restoring(id)                        ... is false
//
// Moving pages this way is both halves of swapping (vLLM, section 4.5): a preempted sequence's pages are
// cached when it leaves, below when others took their room, and restored when it is its turn again.
#ifndef QUIRE_KV_PAGE_ARCHIVE_H_
#define QUIRE_KV_PAGE_ARCHIVE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/base/token.h"
#include "quire/kv/page_cache.h"
#include "quire/policies/restoring.h"
#include "quire/tiers/page_tier.h"

namespace quire {

class PageArchive {
 public:
  // At most `moves` pages are on their way at once; each takes the memory of a page.
  // REQUIRES: the cache outlives it, and nobody else calls cache.TakePublished or OnLeave.
  PageArchive(PageCache& cache, std::unique_ptr<PageTier> tier, int moves);
  ~PageArchive();
  PageArchive(const PageArchive&) = delete;
  PageArchive& operator=(const PageArchive&) = delete;

  // Takes what has arrived, and starts the next moves.
  void Advance();

  // How many of these pages, which the tier has, to bring back.
  using Choose = std::function<size_t(std::span<const PageBelow> pages, std::span<const TierFacts> tiers)>;
  // Begins to bring back what `choose` takes of what the tier has of `tokens` behind `matched`, which the
  // cache has of them. False when that is nothing, or more than there is room for. REQUIRES: !Restoring(id).
  bool Restore(uint64_t id, std::string_view salt, std::span<const Token> tokens, const PageTable& matched,
               const Choose& choose);
  // What the tier has of the tokens counts as used just now; what it lacks and the cache has is written.
  void Keep(std::string_view salt, int layout, std::span<const Token> tokens);
  bool Restoring(uint64_t id) const { return restores_.contains(id); }
  bool restoring() const { return !restores_.empty(); }
  // Ends a restore early; what has arrived of it is lost.
  void Abandon(uint64_t id);
  // Makes room: abandons the youngest restore. False when there is none.
  bool AbandonYoungest();

  // Of every place of the tier, the fastest first.
  std::vector<TierUsage> TierUsages() const;
  // That should have gone down and did not: the tier took none, or too many were on their way.
  int64_t pages_lost() const { return pages_lost_; }
  // In pages of the pool that restores hold.
  int64_t restoring_bytes() const;
  // Of main memory beside the pool, for pages on their way.
  int64_t move_bytes() const;

 private:
  struct Piece {
    int64_t index = 0;  // of the page in the sequence
    size_t group = 0;
    PageKey key = {};
    size_t tier = 0;  // when it was chosen
  };
  struct Restoration {
    uint64_t number = 0;  // they are counted
    std::string salt;
    std::vector<Token> tokens;  // whole pages
    PageTable pages;            // of all the tokens; what has not arrived is not published
    std::vector<Piece> pieces;  // by index
    size_t started = 0;
    size_t ended = 0;
    int64_t good_pages = 0;  // of tokens: the first that failed, or all
  };
  struct Move {
    AlignedBuffer page;  // allocated when it is first used
    bool writes = false;
    Piece piece;          // of a write only its key
    uint64_t id = 0;      // of a read: whose restore,
    uint64_t number = 0;  // and which one of theirs
  };

  using Restores = std::map<uint64_t, Restoration>;

  // Pages of tokens, with the names of their states.
  struct Below {
    std::vector<PageKey> keys;
    std::vector<PageBelow> pages;
  };
  Below FindBelow(std::string_view salt, std::span<const Token> tokens, const PageTable& matched) const;
  std::vector<TierFacts> FactsOfTiers() const;
  bool Grow(PageTable& pages, int64_t end);
  void Arrive(Move& move, bool ok);
  void StartReads(uint64_t id, Restoration& restoration);
  void StartWrites();
  void Leave(PageId page, const PageKey& key);
  bool StartWrite(PageId page);
  bool StartWrite(PageId page, const PageKey& key, Moment moment);
  bool StartRead(uint64_t id, Restoration& restoration);
  Move* NextMove();
  bool Refused() const { return free_moves_.size() == moves_.size(); }
  void Finish(Restores::iterator which);
  bool BeingWritten(const PageKey& key) const;

  PageCache& cache_;
  std::vector<Move> moves_;
  std::unique_ptr<PageTier> tier_;  // ends before the pages that it moves
  std::vector<size_t> free_moves_;
  std::deque<PageId> unwritten_;  // published, in that order
  Restores restores_;             // by whose they are
  uint64_t restores_begun_ = 0;
  int64_t pages_lost_ = 0;
};

}  // namespace quire

#endif  // QUIRE_KV_PAGE_ARCHIVE_H_
