#include "quire/tiers/slab_mover.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

// Invariants:
// - A write is done after the catalog names it, so the next move of its slot starts after that.
// - A run that fails is moved page by page: one that is bad takes no neighbour with it.

namespace quire {
namespace {

constexpr size_t kRunBytes = 4 << 20;  // beyond which a longer run gains nothing
constexpr size_t kRunPages = 256;      // three parts each; the system takes 1,024 parts

}  // namespace

SlabMover::SlabMover(SlabFile& slab, const PageSeal& seal, PageCatalog& catalog)
    : slab_(slab), seal_(seal), catalog_(catalog) {}

void SlabMover::Begin(int threads, std::function<void()> wake) {
  wake_ = std::move(wake);
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

SlabMover::~SlabMover() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    work_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

// -- The owner ----------------------------------------------------------------------------------------------

void SlabMover::Start(SlabMove move) {
  const std::lock_guard lock(mutex_);
  ++under_way_;
  (move.kind == SlabMove::Kind::kRead ? reads_ : others_).push_back(std::move(move));
  work_.notify_one();
}

void SlabMover::TakeDone(std::vector<SlabMove>& done) {
  const std::lock_guard lock(mutex_);
  std::ranges::move(std::exchange(done_, {}), std::back_inserter(done));
}

void SlabMover::Wait() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [&] { return under_way_ == 0; });
}

// -- The threads --------------------------------------------------------------------------------------------

// The oldest move, and those behind it that continue it. REQUIRES: the mutex is held, and some are waiting.
std::vector<SlabMove> SlabMover::NextMoves() {
  std::deque<SlabMove>& queue = reads_.empty() ? others_ : reads_;
  const size_t most = std::clamp<size_t>(kRunBytes / slab_.slot_bytes(), 1, kRunPages);
  std::vector<SlabMove> moves;
  do {
    moves.push_back(std::move(queue.front()));
    queue.pop_front();
  } while (!queue.empty() && moves.back().kind != SlabMove::Kind::kChanges && moves.size() < most &&
           queue.front().kind == moves.back().kind &&
           queue.front().place.slot == moves.back().place.slot + 1);
  return moves;
}

void SlabMover::Work() {
  while (true) {
    Run run;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] { return stopping_ || waiting(); });
      if (!waiting()) return;
      run.moves = NextMoves();
    }
    if (!Prepare(run)) continue;
    const bool moved = slab_.Move(run.transfer);
    Finish(run, moved, errno);
  }
}

// Makes the run ready to be moved. False when there is nothing to move: then it is finished.
bool SlabMover::Prepare(Run& run) {
  if (run.moves[0].kind == SlabMove::Kind::kChanges) {
    catalog_.Write(run.moves[0].changes);  // what is lost is the order of eviction
    Complete(std::move(run.moves));
    return false;
  }
  const bool writes = run.moves[0].kind == SlabMove::Kind::kWrite;
  run.rooms.resize(run.moves.size());
  run.pages.resize(run.moves.size());
  bool sealed = true;
  for (size_t i = 0; i < run.moves.size(); ++i) {
    const SlabMove& move = run.moves[i];
    SlabPage& page = run.pages[i];
    page.bytes = move.to;
    if (!writes) continue;
    const auto closed = seal_.Close(move.key, move.from, run.rooms[i], page.trailer);
    sealed &= closed.has_value();
    // A transfer's parts are not const whichever way the bytes go.
    if (closed) page.bytes = {const_cast<std::byte*>(closed->data()), closed->size()};
  }
  errno = EIO;
  if (sealed) {
    run.transfer = slab_.Plan(writes, run.moves[0].place.slot, run.pages);
    if (!writes || slab_.TakeRoomFor(run.transfer, run.pages.size())) return true;
  }
  Finish(run, false, errno);
  return false;
}

void SlabMover::Finish(Run& run, bool moved, int error) {
  if (!moved && run.moves.size() > 1) {
    for (SlabMove& move : run.moves) {
      Run alone;
      alone.moves.push_back(std::move(move));
      if (!Prepare(alone)) continue;
      const bool one_moved = slab_.Move(alone.transfer);
      Finish(alone, one_moved, errno);
    }
    return;
  }
  const bool writes = run.moves[0].kind == SlabMove::Kind::kWrite;
  for (size_t i = 0; i < run.moves.size(); ++i) {
    SlabMove& move = run.moves[i];
    move.ended = Clock::System().Now();
    move.ok = moved;
    move.error = moved ? 0 : error;
    if (writes && moved) move.changes.push_back({move.key, move.place});
    if (!writes && moved) move.ok = seal_.Open(move.key, move.to, run.pages[i].trailer);
  }
  writes ? Commit(std::move(run.moves)) : Complete(std::move(run.moves));
}

// Whoever comes first commits for all that wait.
void SlabMover::Commit(std::vector<SlabMove> moves) {
  {
    const std::lock_guard lock(mutex_);
    std::ranges::move(moves, std::back_inserter(written_));
  }
  const std::lock_guard one(commit_mutex_);
  std::vector<SlabMove> written;
  {
    const std::lock_guard lock(mutex_);
    written.swap(written_);
  }
  if (written.empty()) return;
  std::vector<CatalogChange> changes;
  for (const SlabMove& move : written)
    changes.insert(changes.end(), move.changes.begin(), move.changes.end());
  if (!catalog_.Write(changes)) {
    for (SlabMove& move : written) {
      move.ok = false;
      move.error = EIO;
    }
  }
  Complete(std::move(written));
}

void SlabMover::Complete(std::vector<SlabMove> moves) {
  const bool asked_for = moves[0].kind != SlabMove::Kind::kChanges;
  {
    const std::lock_guard lock(mutex_);
    under_way_ -= std::ssize(moves);
    if (asked_for) std::ranges::move(moves, std::back_inserter(done_));
    if (under_way_ == 0) idle_.notify_all();
  }
  if (asked_for) wake_();
}

}  // namespace quire
