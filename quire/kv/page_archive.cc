#include "quire/kv/page_archive.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "quire/base/check.h"
#include "quire/kv/unbroken_pages.h"

// Invariants:
// - A move has a buffer of its own, so pages may leave the pool and restores may be abandoned while moves are
//   under way.
// - A restoration's table holds pages for all its tokens, and only those before `good_pages` that have all
//   arrived are ever published.
// - The tier is asked before every write, so what it has already, brought back or not, is not written again.

namespace quire {

PageArchive::PageArchive(PageCache& cache, std::unique_ptr<PageTier> tier, int moves)
    : cache_(cache), moves_(moves), tier_(std::move(tier)) {
  QUIRE_CHECK(moves > 0);
  for (size_t i = moves_.size(); i-- > 0;) free_moves_.push_back(i);
  cache_.RecordPublished();
  cache_.OnLeave([this](PageId page, const PageKey& key) { Leave(page, key); });
}

PageArchive::~PageArchive() { cache_.OnLeave({}); }

void PageArchive::Advance() {
  std::vector<PageTier::Completion> completed;
  tier_->TakeCompleted(completed);
  for (const PageTier::Completion& completion : completed) {
    Arrive(moves_[completion.tag], completion.ok);
    free_moves_.push_back(completion.tag);
  }
  for (auto& [id, restoration] : restores_) StartReads(id, restoration);
  for (auto next = restores_.begin(); next != restores_.end();) {
    const auto which = next++;
    const Restoration& restoration = which->second;
    if (restoration.ended == restoration.pieces.size()) Finish(which);
  }
  StartWrites();
}

// -- Down ---------------------------------------------------------------------------------------------------

void PageArchive::StartWrites() {
  for (const PageId page : cache_.TakePublished()) unwritten_.push_back(page);
  while (!unwritten_.empty() && StartWrite(unwritten_.front())) unwritten_.pop_front();
}

// False when it has to be tried again. A page that has left the index by now was offered when it left.
bool PageArchive::StartWrite(PageId page) {
  const PrefixIndex& index = cache_.index();
  if (!index.Holds(page)) return true;
  PrefixNode& node = index.NodeOf(page);
  if (node.tokens.size() < index.page_tokens(node)) return true;
  return StartWrite(page, KeyOfGroup(index.KeyOf(node), index.GroupOf(page)), Moment::kPublished);
}

// There is no later time for it.
void PageArchive::Leave(PageId page, const PageKey& key) {
  pages_lost_ += !StartWrite(page, key, Moment::kEvicted);
}

// False when no move is to be had.
bool PageArchive::StartWrite(PageId page, const PageKey& key, Moment moment) {
  if (!tier_->Wants(key, moment) || BeingWritten(key)) return true;
  Move* const move = NextMove();
  if (move == nullptr) return false;
  const size_t bytes = cache_.pool().page_bytes();
  std::memcpy(move->page.data(), cache_.pool().data(page), bytes);
  if (!tier_->StartWrite(key, moment, {move->page.data(), bytes}, cache_.FormOf(page), free_moves_.back())) {
    pages_lost_ += Refused();
    return Refused();
  }
  move->writes = true;
  move->piece.key = key;
  free_moves_.pop_back();
  return true;
}

bool PageArchive::BeingWritten(const PageKey& key) const {
  return std::ranges::any_of(moves_, [&](const Move& move) { return move.writes && move.piece.key == key; });
}

// The move that free_moves_ ends with, or null: all are under way, or there is no memory for one.
PageArchive::Move* PageArchive::NextMove() {
  if (free_moves_.empty()) return nullptr;
  Move& move = moves_[free_moves_.back()];
  if (move.page.bytes() == 0) {
    auto buffer = AlignedBuffer::Allocate(cache_.pool().page_bytes());
    if (!buffer) return nullptr;
    move.page = std::move(*buffer);
  }
  return &move;
}

void PageArchive::Keep(std::string_view salt, int layout, std::span<const Token> tokens) {
  const int64_t page_tokens = cache_.layouts()[layout].page_tokens();
  PageTable table{.layout = layout};
  cache_.Match(table, salt, tokens);
  PageKey key = cache_.index().KeyOfRoot(salt, layout);
  for (int64_t i = 0; (i + 1) * page_tokens <= std::ssize(tokens); ++i) {
    key = ChildKey(key, tokens.subspan(i * page_tokens, page_tokens));
    for (size_t g = 0; g < table.groups.size(); ++g) {
      tier_->Touch(KeyOfGroup(key, g));
      const bool cached = i < std::ssize(table.groups[g]) && table.groups[g][i] != kNoPage;
      if (cached) unwritten_.push_back(table.groups[g][i]);
    }
  }
  cache_.Release(table);
}

// -- Up -----------------------------------------------------------------------------------------------------

bool PageArchive::Restore(uint64_t id, std::string_view salt, std::span<const Token> tokens,
                          const PageTable& matched, const Choose& choose) {
  QUIRE_CHECK(!Restoring(id));
  const int64_t page_tokens = cache_.LayoutOf(matched).page_tokens(), first = matched.tokens / page_tokens;
  const Below below = FindBelow(salt, tokens, matched);
  if (below.keys.empty()) return false;
  const auto chosen = static_cast<int64_t>(choose(below.pages, FactsOfTiers()));
  if (chosen == 0) return false;

  Restoration restoration;
  restoration.number = ++restores_begun_;
  restoration.salt = salt;
  const int64_t end = first + chosen;
  PageTable& pages = restoration.pages;
  pages = cache_.Fork(matched);
  if (!Grow(pages, end * page_tokens)) {
    cache_.Release(pages);
    return false;
  }
  for (int64_t i = first; i < end; ++i) {
    for (size_t g = 0; g < pages.groups.size(); ++g) {
      if (pages.groups[g][i] == kNoPage) continue;
      restoration.pieces.push_back({.index = i,
                                    .group = g,
                                    .key = KeyOfGroup(below.keys[i - first], g),
                                    .tier = below.pages[i - first].tier});
    }
  }
  restoration.good_pages = end;
  restoration.tokens.assign(tokens.begin(), tokens.begin() + end * page_tokens);
  StartReads(id, restores_.emplace(id, std::move(restoration)).first->second);
  return true;
}

// What follows `matched`, page by page, up to where the tier has all that a query sees.
PageArchive::Below PageArchive::FindBelow(std::string_view salt, std::span<const Token> tokens,
                                          const PageTable& matched) const {
  const KvLayout& layout = cache_.LayoutOf(matched);
  const int64_t page_tokens = layout.page_tokens(), first = matched.tokens / page_tokens;
  UnbrokenPages unbroken(layout, matched, first);
  Below below;
  size_t usable = 0;
  PageKey key = matched.prefix != nullptr ? cache_.index().KeyOf(*matched.prefix)
                                          : cache_.index().KeyOfRoot(salt, matched.layout);
  for (int64_t i = first; (i + 1) * page_tokens <= std::ssize(tokens); ++i) {
    key = ChildKey(key, tokens.subspan(i * page_tokens, page_tokens));
    PageBelow page;
    bool full_ones = true;
    for (size_t g = 0; g < layout.groups().size(); ++g) {
      if (const auto tier = tier_->Find(KeyOfGroup(key, g))) {
        page.tier = std::max(page.tier, *tier);
        page.bytes += static_cast<int64_t>(layout.page_bytes());
        continue;
      }
      unbroken.Lacks(g, i);
      full_ones &= layout.groups()[g].window > 0;
    }
    if (!full_ones) break;
    page.end = unbroken.ReachTo((i + 1) * page_tokens);
    below.keys.push_back(key);
    below.pages.push_back(page);
    if (page.end) usable = below.keys.size();
  }
  below.keys.resize(usable);
  below.pages.resize(usable);
  return below;
}

std::vector<TierFacts> PageArchive::FactsOfTiers() const {
  std::vector<TierFacts> tiers;
  for (const TierUsage& usage : TierUsages()) tiers.push_back({.read_time = usage.read_time});
  for (const auto& [id, restoration] : restores_) {
    for (const Piece& piece : std::span(restoration.pieces).subspan(restoration.ended)) {
      tiers[piece.tier].bytes_before += static_cast<int64_t>(cache_.pool().page_bytes());
    }
  }
  return tiers;
}

std::vector<TierUsage> PageArchive::TierUsages() const {
  std::vector<TierUsage> places;
  tier_->AddUsage(places);
  return places;
}

// Page by page, so that a window never holds more than it needs.
bool PageArchive::Grow(PageTable& pages, int64_t end) {
  const int64_t page_tokens = cache_.LayoutOf(pages).page_tokens();
  while (pages.tokens < end) {
    const int64_t to_next = page_tokens - pages.tokens % page_tokens;
    if (cache_.Reserve(pages, to_next) != Verdict::kGranted) return false;
    cache_.TrimWindows(pages, pages.tokens);
  }
  return true;
}

void PageArchive::StartReads(uint64_t id, Restoration& restoration) {
  while (restoration.started < restoration.pieces.size() && StartRead(id, restoration)) ++restoration.started;
}

// False when it has to be tried again.
bool PageArchive::StartRead(uint64_t id, Restoration& restoration) {
  const Piece& piece = restoration.pieces[restoration.started];
  const auto give_up = [&] {
    restoration.good_pages = std::min(restoration.good_pages, piece.index);
    ++restoration.ended;
    return true;
  };
  if (piece.index >= restoration.good_pages || !tier_->Contains(piece.key)) return give_up();
  Move* const move = NextMove();
  if (move == nullptr) return Refused() && give_up();
  const std::span<std::byte> page(move->page.data(), cache_.pool().page_bytes());
  if (!tier_->StartRead(piece.key, page, free_moves_.back())) return Refused() && give_up();
  move->writes = false;
  move->piece = piece;
  move->id = id;
  move->number = restoration.number;
  free_moves_.pop_back();
  return true;
}

void PageArchive::Arrive(Move& move, bool ok) {
  if (std::exchange(move.writes, false)) return;
  const auto found = restores_.find(move.id);
  if (found == restores_.end() || found->second.number != move.number) return;
  Restoration& restoration = found->second;
  ++restoration.ended;
  if (ok) {
    const PageId page = restoration.pages.groups[move.piece.group][move.piece.index];
    std::memcpy(cache_.pool().data(page), move.page.data(), cache_.pool().page_bytes());
  } else {
    restoration.good_pages = std::min(restoration.good_pages, move.piece.index);
  }
}

void PageArchive::Finish(Restores::iterator which) {
  Restoration& restoration = which->second;
  const int64_t tokens = restoration.good_pages * cache_.LayoutOf(restoration.pages).page_tokens();
  cache_.Release(restoration.pages, restoration.salt, std::span(restoration.tokens).first(tokens));
  restores_.erase(which);
}

void PageArchive::Abandon(uint64_t id) {
  const auto found = restores_.find(id);
  if (found == restores_.end()) return;
  found->second.good_pages = 0;
  Finish(found);
}

int64_t PageArchive::restoring_bytes() const {
  int64_t pages = 0;
  for (const auto& [id, restoration] : restores_) pages += restoration.pages.pages_held;
  return pages * static_cast<int64_t>(cache_.pool().page_bytes());
}

int64_t PageArchive::move_bytes() const {
  int64_t bytes = 0;
  for (const Move& move : moves_) bytes += static_cast<int64_t>(move.page.bytes());
  return bytes;
}

bool PageArchive::AbandonYoungest() {
  if (restores_.empty()) return false;
  const auto by_number = [](const auto& entry) { return entry.second.number; };
  Abandon(std::ranges::max_element(restores_, {}, by_number)->first);
  return true;
}

}  // namespace quire
