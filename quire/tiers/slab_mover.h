// Moves pages between memory and the slots of a slab file in the background, and keeps the catalog: what was
// written is named there after it is on disk. Pages that lie next to each other are moved by one read or
// write.
#ifndef QUIRE_TIERS_SLAB_MOVER_H_
#define QUIRE_TIERS_SLAB_MOVER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "quire/base/clock.h"
#include "quire/tiers/page_catalog.h"
#include "quire/tiers/page_seal.h"
#include "quire/tiers/slab_file.h"

namespace quire {

// What there is to do: move a page, or only write changes of the catalog.
struct SlabMove {
  enum class Kind { kRead, kWrite, kChanges };
  Kind kind = Kind::kChanges;
  PageKey key = {};
  PagePlace place = {};
  uint64_t tag = 0;
  std::span<std::byte> to = {};             // of a read
  std::span<const std::byte> from = {};     // of a write
  std::vector<CatalogChange> changes = {};  // beside
  bool ok = false;
  int error = 0;  // errno of what is not ok; 0: not what was written
  TimePoint ended{};
};

class SlabMover {
 public:
  // REQUIRES: all three outlive it.
  SlabMover(SlabFile& slab, const PageSeal& seal, PageCatalog& catalog);
  // Finishes what was started.
  ~SlabMover();

  // `wake` is called when reads or writes have ended. To be called once, before the first move.
  void Begin(int threads, std::function<void()> wake);

  void Start(SlabMove move);
  // Appends the reads and writes that ended.
  void TakeDone(std::vector<SlabMove>& done);
  // Until nothing is under way.
  void Wait();

 private:
  // Moves of one kind to or from slots that follow each other.
  struct Run {
    std::vector<SlabMove> moves;
    std::vector<SlabPage> pages;                // by move
    std::vector<std::vector<std::byte>> rooms;  // of encrypted pages
    SlabTransfer transfer;
  };

  std::vector<SlabMove> NextMoves();
  bool waiting() const { return !reads_.empty() || !others_.empty(); }
  bool Prepare(Run& run);
  void Finish(Run& run, bool moved, int error);
  void Commit(std::vector<SlabMove> written);
  void Complete(std::vector<SlabMove> moves);

  void Work();

  SlabFile& slab_;
  const PageSeal& seal_;
  PageCatalog& catalog_;
  std::function<void()> wake_ = [] {};

  std::mutex mutex_;  // guards what follows
  std::condition_variable work_, idle_;
  std::deque<SlabMove> reads_, others_;  // somebody waits for reads: they go first
  std::vector<SlabMove> written_;        // to be committed
  std::vector<SlabMove> done_;
  int64_t under_way_ = 0;  // started and not done
  bool stopping_ = false;
  std::mutex commit_mutex_;  // held while written moves are committed
  std::vector<std::thread> threads_;
};

}  // namespace quire

#endif  // QUIRE_TIERS_SLAB_MOVER_H_
