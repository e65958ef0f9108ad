// What has been computed for which tokens: a tree over token sequences, one node per page of tokens, that
// remembers the state every node's tokens leave behind (today KV pages, one per layer group). Sequences with
// different salts, or with pages of different layouts, live in different trees and never meet.
//
// A node is found by its tokens, or by the first few of them: children are ordered by their tokens, so the
// one that agrees with a sequence the longest is beside the place where the sequence would stand.
//
// The index counts no references: PageCache does, and tells which pages are idle, that is, held by the index
// alone. One owner: only the engine thread calls it.
#ifndef QUIRE_KV_PREFIX_INDEX_H_
#define QUIRE_KV_PREFIX_INDEX_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/token.h"
#include "quire/kv/eviction_order.h"
#include "quire/kv/page_pool.h"
#include "quire/tiers/page_key.h"

namespace quire {

struct PrefixNode;

// Orders siblings by their tokens.
struct ByTokens {
  using is_transparent = void;
  bool operator()(const PrefixNode* a, const PrefixNode* b) const;
  bool operator()(const PrefixNode* a, std::span<const Token> b) const;
  bool operator()(std::span<const Token> a, const PrefixNode* b) const;
};

// The state after a page of tokens: the page of every layer group, kNoPage where a window's page has left.
using SeqState = std::vector<PageId>;

struct PrefixNode {
  uint32_t id = 0;
  PrefixNode* parent = nullptr;  // null for a root
  int layout = 0;                // of its pages, and of all in its tree
  int64_t depth = 0;             // pages of tokens up to its end; 0 for a root
  std::vector<Token> tokens;     // one page of them; fewer only in a leaf; none in a root
  SeqState state;
  std::set<PrefixNode*, ByTokens> children;  // none is the beginning of another
  int holders = 0;                           // page tables that end at this node
  int pins = 0;                              // that end at this node
  uint64_t last_use = 0;
  bool evictable = false;        // a leaf without holders: it is in the eviction order
  std::string_view salt;         // of a root
  std::optional<PageKey> key{};  // see PrefixIndex::KeyOf
};

// What the index knows of a layout.
struct IndexedLayout {
  std::vector<int64_t> windows;  // by layer group; 0: full attention
  size_t page_tokens = 0;
  std::string kind = {};  // see RootKey
};

class PrefixIndex {
 public:
  // REQUIRES: there is a layout.
  explicit PrefixIndex(std::vector<IndexedLayout> layouts);
  struct Step {
    PrefixNode* node = nullptr;
    int64_t tokens = 0;  // of the node's that agree; fewer than a page only at the end of a path
  };
  // The root of `salt`'s tree for pages of the layout, or null where nothing was published under it.
  PrefixNode* FindRoot(std::string_view salt, int layout = 0);
  PrefixNode* MakeRoot(std::string_view salt, int layout = 0);
  // The child of `parent` that agrees with `tokens` the longest; a null node when none begins like it.
  Step Longest(PrefixNode& parent, std::span<const Token> tokens) const;
  // The child of `parent` whose tokens are `tokens` or begin with them; a new one, without state, when there
  // is none. A leaf that is the beginning of a new child goes; its pages are appended to `dropped`.
  PrefixNode& Put(PrefixNode& parent, std::span<const Token> tokens, std::vector<PageId>& dropped);
  // REQUIRES: the node has no page for the group; the page began a life, and is in no node.
  void Attach(PrefixNode& node, size_t group, PageId page);

  // A table ends at the node from now on, or no longer. A node that is held, or is above one, stays.
  void Hold(PrefixNode& node);
  void LetGo(PrefixNode& node);
  void Touch(PrefixNode& node);

  // What a hit at the end of the node needs is evicted after all else: its pages, which are returned. With
  // `holds_back` they also count as held back while they are idle.
  // REQUIRES: the node has a whole page of tokens.
  std::vector<PageId> Pin(PrefixNode& node, bool holds_back);
  // REQUIRES: the node was pinned so, and these are the pages that Pin returned.
  void Unpin(PrefixNode& node, bool holds_back, std::span<const PageId> pages);
  bool pinned(PageId page) const { return facts_[page].pins > 0; }
  int64_t pinned_pages() const { return pinned_pages_; }
  int64_t held_back_pages() const { return held_back_pages_; }

  // A page begins a new life. Of one that never began any nothing else may be asked.
  void Forget(PageId page);
  bool Holds(PageId page) const { return facts_[page].node != nullptr; }
  // The name of the state that the node's tokens leave behind.
  const PageKey& KeyOf(PrefixNode& node) const;
  PageKey KeyOfRoot(std::string_view salt, int layout) const { return RootKey(salt, layouts_[layout].kind); }
  // The node and the group whose page it is. REQUIRES: Holds(page).
  PrefixNode& NodeOf(PageId page) const { return *facts_[page].node; }
  size_t GroupOf(PageId page) const { return facts_[page].group; }
  // Whether the index alone holds the page. REQUIRES: Holds(page).
  void SetIdle(PageId page, bool idle);
  int64_t idle_pages() const { return idle_pages_; }
  int64_t idle_pages_of(int layout) const { return idle_pages_of_[layout]; }
  size_t page_tokens(const PrefixNode& node) const { return layouts_[node.layout].page_tokens; }
  // A later request is likely to need the page of a sliding window, although its window has passed. Known of
  // a page until Forget; it need not be in the index yet.
  void Expect(PageId page);
  bool expected(PageId page) const { return facts_[page].expected; }

  // From now on `leaves` is called for every page of a whole page of tokens that the index is about to give
  // up, while its bytes are still there, with the name under which a tier keeps it.
  void OnLeave(std::function<void(PageId page, const PageKey& key)> leaves) { leaves_ = std::move(leaves); }

  // Gives up what is needed least; its pages are appended to `dropped`. Only idle pages and what nobody
  // holds go. REQUIRES: idle_pages() > 0, and !OnlyPinnedLeft().
  void Evict(std::vector<PageId>& dropped);
  // Evict would take what is pinned. REQUIRES: idle_pages() > 0.
  bool OnlyPinnedLeft() const { return order_.Victim().pinned; }
  // Gives up the page: alone where its group has a window, else with its node and all below.
  // REQUIRES: Holds(page), it is not pinned, and nobody holds a node from there on down.
  void Disown(PageId page, std::vector<PageId>& dropped);

  int64_t nodes() const { return std::ssize(nodes_) - std::ssize(unused_); }
  // Of main memory that the index takes beside the pages, about: what allocations cost beyond their size is
  // not known.
  int64_t bytes() const;

 private:
  struct PageFacts {
    PrefixNode* node = nullptr;
    uint64_t idle_since = 0;
    uint32_t group = 0;
    int32_t pins = 0;          // that need it
    int32_t holding_back = 0;  // of them
    bool idle = false;
    bool expected = false;
  };

  PrefixNode& NewNode(PrefixNode* parent, int layout);
  void TellLeaves(PageId page);
  void Detach(PageId page);
  void Recycle(PrefixNode& node);
  void Remove(PrefixNode& node, std::vector<PageId>& dropped);
  void RemoveSubtree(PrefixNode& node, std::vector<PageId>& dropped);
  void Settle(PrefixNode* node);
  void Unsettle(PrefixNode& node);
  void CountPin(PageId page, bool holds_back, int change);
  // REQUIRES: Holds(page).
  bool windowed(PageId page) const {
    const PageFacts& facts = facts_[page];
    return layouts_[facts.node->layout].windows[facts.group] > 0;
  }
  EvictionFacts FactsOfPage(PageId page) const;
  static EvictionFacts FactsOfLeaf(const PrefixNode& node);

  std::vector<IndexedLayout> layouts_;
  std::deque<PrefixNode> nodes_;  // stay where they are
  std::vector<PrefixNode*> unused_;
  std::vector<std::map<std::string, PrefixNode*, std::less<>>> roots_;  // by layout
  std::vector<PageFacts> facts_;                                        // by page
  EvictionOrder order_;
  std::function<void(PageId, const PageKey&)> leaves_;
  uint64_t uses_ = 0;
  int64_t idle_pages_ = 0;
  std::vector<int64_t> idle_pages_of_;  // by layout
  int64_t pinned_pages_ = 0;
  int64_t held_back_pages_ = 0;
};

}  // namespace quire

#endif  // QUIRE_KV_PREFIX_INDEX_H_
