#include "quire/kv/prefix_index.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include "quire/base/check.h"
#include "quire/kv/kv_layout.h"

// Invariants:
// - A node with children holds a whole page of tokens, and no child is the beginning of a sibling.
// - The eviction order holds every leaf without holders, and every idle page of a group with a window. So all
//   idle pages can be had: who holds a node holds its pages of full attention and of all nodes above it, so
//   an idle one is in a part of the tree without holders.
// - A node without state, children and holders does not exist.
// - A page that pins need is in the index, and so is the node where such a pin ends: both leave only
// unpinned.

namespace quire {
namespace {

bool Less(std::span<const Token> a, std::span<const Token> b) {
  return std::ranges::lexicographical_compare(a, b);
}

int64_t Agreement(std::span<const Token> a, std::span<const Token> b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

}  // namespace

bool ByTokens::operator()(const PrefixNode* a, const PrefixNode* b) const {
  return Less(a->tokens, b->tokens);
}
bool ByTokens::operator()(const PrefixNode* a, std::span<const Token> b) const { return Less(a->tokens, b); }
bool ByTokens::operator()(std::span<const Token> a, const PrefixNode* b) const { return Less(a, b->tokens); }

PrefixIndex::PrefixIndex(std::vector<IndexedLayout> layouts)
    : layouts_(std::move(layouts)), roots_(layouts_.size()), idle_pages_of_(layouts_.size()) {
  QUIRE_CHECK(!layouts_.empty());
}

// -- The tree -----------------------------------------------------------------------------------------------

PrefixNode* PrefixIndex::FindRoot(std::string_view salt, int layout) {
  const auto root = roots_[layout].find(salt);
  return root == roots_[layout].end() ? nullptr : root->second;
}

PrefixNode* PrefixIndex::MakeRoot(std::string_view salt, int layout) {
  if (PrefixNode* root = FindRoot(salt, layout)) return root;
  const auto root = roots_[layout].emplace(salt, &NewNode(nullptr, layout)).first;
  root->second->salt = root->first;
  return root->second;
}

PrefixIndex::Step PrefixIndex::Longest(PrefixNode& parent, std::span<const Token> tokens) const {
  tokens = tokens.first(std::min(tokens.size(), page_tokens(parent)));
  Step best;
  const auto consider = [&](PrefixNode* child) {
    const int64_t agreement = Agreement(child->tokens, tokens);
    if (agreement > best.tokens) best = {child, agreement};
  };
  const auto next = parent.children.lower_bound(tokens);
  if (next != parent.children.end()) consider(*next);
  if (next != parent.children.begin()) consider(*std::prev(next));
  return best;
}

PrefixNode& PrefixIndex::Put(PrefixNode& parent, std::span<const Token> tokens,
                             std::vector<PageId>& dropped) {
  QUIRE_CHECK(!tokens.empty() && tokens.size() <= page_tokens(parent));
  const Step like = Longest(parent, tokens);
  if (like.tokens == std::ssize(tokens)) return *like.node;
  if (like.node != nullptr && like.tokens == std::ssize(like.node->tokens)) Remove(*like.node, dropped);
  Unsettle(parent);
  PrefixNode& node = NewNode(&parent, parent.layout);
  node.tokens.assign(tokens.begin(), tokens.end());
  node.state.assign(layouts_[node.layout].windows.size(), kNoPage);
  parent.children.insert(&node);
  return node;
}

PrefixNode& PrefixIndex::NewNode(PrefixNode* parent, int layout) {
  if (unused_.empty()) {
    unused_.push_back(&nodes_.emplace_back());
    nodes_.back().id = static_cast<uint32_t>(nodes_.size() - 1);
  }
  PrefixNode& node = *unused_.back();
  unused_.pop_back();
  node.parent = parent;
  node.layout = layout;
  node.depth = parent == nullptr ? 0 : parent->depth + 1;
  return node;
}

void PrefixIndex::Recycle(PrefixNode& node) {
  QUIRE_CHECK(node.children.empty() && node.holders == 0 && node.pins == 0 && !node.evictable);
  node.tokens.clear();
  node.state.clear();
  node.last_use = 0;
  node.salt = {};
  node.key = {};
  unused_.push_back(&node);
}

// The caller settles the parent.
void PrefixIndex::Remove(PrefixNode& node, std::vector<PageId>& dropped) {
  Unsettle(node);
  for (const PageId page : node.state) {
    if (page == kNoPage) continue;
    TellLeaves(page);
    dropped.push_back(page);
    Detach(page);
  }
  node.parent->children.erase(&node);
  Recycle(node);
}

void PrefixIndex::RemoveSubtree(PrefixNode& top, std::vector<PageId>& dropped) {
  PrefixNode* const above = top.parent;
  for (PrefixNode* node = &top; node != above;) {
    while (!node->children.empty()) node = *node->children.begin();
    PrefixNode* const parent = node->parent;
    Remove(*node, dropped);
    node = parent;
  }
  Settle(above);
}

int64_t PrefixIndex::bytes() const {
  constexpr int64_t kChild = 48;  // a node of std::set
  size_t content = 0;             // of the layout with the largest
  for (const IndexedLayout& layout : layouts_) {
    content = std::max(content, layout.page_tokens * sizeof(Token) + layout.windows.size() * sizeof(PageId));
  }
  const int64_t of_node = static_cast<int64_t>(sizeof(PrefixNode) + content) + kChild;
  return std::ssize(nodes_) * of_node + std::ssize(facts_) * static_cast<int64_t>(sizeof(PageFacts));
}

// -- Pages --------------------------------------------------------------------------------------------------

void PrefixIndex::Forget(PageId page) {
  if (page >= facts_.size()) facts_.resize(size_t{page} + 1);
  facts_[page] = {};
}

void PrefixIndex::Attach(PrefixNode& node, size_t group, PageId page) {
  QUIRE_CHECK(node.state[group] == kNoPage && !Holds(page));
  node.state[group] = page;
  facts_[page].node = &node;
  facts_[page].group = static_cast<uint32_t>(group);
}

// Names are made when they are asked for, from that of the next node above that has one.
const PageKey& PrefixIndex::KeyOf(PrefixNode& node) const {
  std::vector<PrefixNode*> nameless;
  for (PrefixNode* above = &node; above != nullptr && !above->key; above = above->parent) {
    nameless.push_back(above);
  }
  for (PrefixNode* const next : nameless | std::views::reverse) {
    next->key = next->parent == nullptr ? KeyOfRoot(next->salt, next->layout)
                                        : ChildKey(*next->parent->key, next->tokens);
  }
  return *node.key;
}

void PrefixIndex::TellLeaves(PageId page) {
  PrefixNode& node = NodeOf(page);
  if (leaves_ && node.tokens.size() == page_tokens(node))
    leaves_(page, KeyOfGroup(KeyOf(node), GroupOf(page)));
}

void PrefixIndex::Detach(PageId page) {
  if (facts_[page].idle) SetIdle(page, false);
  facts_[page].node->state[facts_[page].group] = kNoPage;
  facts_[page].node = nullptr;
}

void PrefixIndex::SetIdle(PageId page, bool idle) {
  PageFacts& facts = facts_[page];
  QUIRE_CHECK(facts.node != nullptr && facts.idle != idle);
  if (!idle && windowed(page)) order_.Remove(FactsOfPage(page));
  facts.idle = idle;
  facts.idle_since = ++uses_;
  idle_pages_ += idle ? 1 : -1;
  idle_pages_of_[facts.node->layout] += idle ? 1 : -1;
  if (facts.holding_back > 0) held_back_pages_ += idle ? 1 : -1;
  if (idle && windowed(page)) order_.Insert(FactsOfPage(page));
}

void PrefixIndex::Expect(PageId page) {
  PageFacts& facts = facts_[page];
  const bool in_order = facts.idle && windowed(page);
  if (in_order) order_.Remove(FactsOfPage(page));
  facts.expected = true;
  facts.idle_since = ++uses_;
  if (in_order) order_.Insert(FactsOfPage(page));
}

// -- Who stays ----------------------------------------------------------------------------------------------

void PrefixIndex::Hold(PrefixNode& node) {
  Unsettle(node);
  ++node.holders;
}

void PrefixIndex::LetGo(PrefixNode& node) {
  QUIRE_CHECK(node.holders > 0);
  --node.holders;
  Touch(node);
}

void PrefixIndex::Touch(PrefixNode& node) {
  Unsettle(node);
  node.last_use = ++uses_;
  Settle(&node);
}

std::vector<PageId> PrefixIndex::Pin(PrefixNode& node, bool holds_back) {
  const auto page_tokens = static_cast<int64_t>(this->page_tokens(node));
  QUIRE_CHECK(std::ssize(node.tokens) == page_tokens);
  Unsettle(node);
  ++node.pins;
  std::vector<PageId> pages;
  const std::vector<int64_t>& windows = layouts_[node.layout].windows;
  for (size_t g = 0; g < windows.size(); ++g) {
    // What a query at the end of the node sees.
    const int64_t first = FirstVisible(node.depth * page_tokens, windows[g]) / page_tokens;
    for (const PrefixNode* at = &node; at->depth > first; at = at->parent) {
      if (at->state[g] == kNoPage) continue;
      CountPin(at->state[g], holds_back, 1);
      pages.push_back(at->state[g]);
    }
  }
  Settle(&node);
  return pages;
}

void PrefixIndex::Unpin(PrefixNode& node, bool holds_back, std::span<const PageId> pages) {
  QUIRE_CHECK(node.pins > 0);
  Unsettle(node);
  --node.pins;
  for (const PageId page : pages) CountPin(page, holds_back, -1);
  Settle(&node);
}

void PrefixIndex::CountPin(PageId page, bool holds_back, int change) {
  PageFacts& facts = facts_[page];
  const bool in_order = facts.idle && windowed(page);
  if (in_order) order_.Remove(FactsOfPage(page));
  const bool held = facts.holding_back > 0;
  pinned_pages_ -= static_cast<int>(facts.pins > 0);
  facts.pins += change;
  pinned_pages_ += static_cast<int>(facts.pins > 0);
  if (holds_back) facts.holding_back += change;
  QUIRE_CHECK(facts.node != nullptr && facts.holding_back >= 0 && facts.pins >= facts.holding_back);
  if (facts.idle) held_back_pages_ += static_cast<int>(facts.holding_back > 0) - static_cast<int>(held);
  if (in_order) order_.Insert(FactsOfPage(page));
}

// Puts a leaf without holders into the eviction order, or removes it, and then what is above it, when there
// is nothing left in it.
void PrefixIndex::Settle(PrefixNode* node) {
  while (node->children.empty() && node->holders == 0 && !node->evictable) {
    if (node->parent == nullptr) {
      roots_[node->layout].erase(roots_[node->layout].find(node->salt));
      return Recycle(*node);
    }
    if (std::ranges::any_of(node->state, [](PageId page) { return page != kNoPage; })) {
      node->evictable = true;
      return order_.Insert(FactsOfLeaf(*node));
    }
    PrefixNode* const parent = node->parent;
    parent->children.erase(node);
    Recycle(*node);
    node = parent;
  }
}

void PrefixIndex::Unsettle(PrefixNode& node) {
  if (std::exchange(node.evictable, false)) order_.Remove(FactsOfLeaf(node));
}

EvictionFacts PrefixIndex::FactsOfPage(PageId page) const {
  return {.pinned = pinned(page),
          .expected = facts_[page].expected,
          .last_use = facts_[page].idle_since,
          .leaf = false,
          .id = page};
}

EvictionFacts PrefixIndex::FactsOfLeaf(const PrefixNode& node) {
  return {.pinned = node.pins > 0, .expected = true, .last_use = node.last_use, .leaf = true, .id = node.id};
}

void PrefixIndex::Evict(std::vector<PageId>& dropped) {
  QUIRE_CHECK(!order_.empty() && !OnlyPinnedLeft());
  const EvictionFacts victim = order_.Victim();
  if (victim.leaf) {
    PrefixNode& node = nodes_[victim.id];
    PrefixNode& parent = *node.parent;
    // It was used whenever what lies below it was.
    parent.last_use = std::max(parent.last_use, node.last_use);
    Remove(node, dropped);
    Settle(&parent);
  } else {
    Disown(victim.id, dropped);
  }
}

void PrefixIndex::Disown(PageId page, std::vector<PageId>& dropped) {
  QUIRE_CHECK(!pinned(page));
  PrefixNode* const node = facts_[page].node;
  if (!windowed(page)) return RemoveSubtree(*node, dropped);
  TellLeaves(page);
  Detach(page);
  dropped.push_back(page);
  // A leaf that is left without state goes.
  Unsettle(*node);
  Settle(node);
}

}  // namespace quire
