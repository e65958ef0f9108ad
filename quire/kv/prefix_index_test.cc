#include "quire/kv/prefix_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace quire {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;
using Tokens = std::vector<Token>;

class PrefixIndexTest : public testing::Test {
 protected:
  // Puts `tokens` below `parent` with the page in every group, idle, as after the end of a sequence.
  PrefixNode& Cache(PrefixNode& parent, const Tokens& tokens, std::vector<PageId> state) {
    PrefixNode& node = index_.Put(parent, tokens, dropped_);
    for (size_t g = 0; g < state.size(); ++g) {
      if (state[g] == kNoPage) continue;
      index_.Forget(state[g]);
      index_.Attach(node, g, state[g]);
      index_.SetIdle(state[g], true);
    }
    index_.Touch(node);
    return node;
  }
  std::vector<PageId> Evict() {
    std::vector<PageId> dropped;
    index_.Evict(dropped);
    return dropped;
  }

  // Pages of four tokens, a group of full attention and one with a window.
  PrefixIndex index_{{{.windows = {0, 8}, .page_tokens = 4}}};
  std::vector<PageId> dropped_;
};

TEST_F(PrefixIndexTest, FindsTheChildThatAgreesTheLongest) {
  PrefixNode& root = *index_.MakeRoot("");
  PrefixNode& a = Cache(root, {1, 2, 3, 4}, {0, 1});
  PrefixNode& b = Cache(root, {1, 2, 5, 6}, {2, 3});
  PrefixNode& c = Cache(root, {1, 7, 0, 0}, {4, 5});
  const auto longest = [&](const Tokens& tokens) {
    const PrefixIndex::Step step = index_.Longest(root, tokens);
    return std::pair(step.node, step.tokens);
  };
  EXPECT_EQ(longest({1, 2, 3, 4}), std::pair(&a, int64_t{4}));
  EXPECT_EQ(longest({1, 2, 3, 4, 9, 9}), std::pair(&a, int64_t{4}));
  EXPECT_EQ(longest({1, 2, 3, 9}), std::pair(&a, int64_t{3}));
  EXPECT_EQ(longest({1, 2, 5}), std::pair(&b, int64_t{3}));
  EXPECT_EQ(longest({1, 2, 5, 0}), std::pair(&b, int64_t{3}));
  EXPECT_EQ(longest({1, 7, 1}), std::pair(&c, int64_t{2}));
  EXPECT_EQ(longest({1, 3}).second, 1);
  EXPECT_EQ(longest({2}), std::pair(static_cast<PrefixNode*>(nullptr), int64_t{0}));
  EXPECT_EQ(longest({}), std::pair(static_cast<PrefixNode*>(nullptr), int64_t{0}));
}

TEST_F(PrefixIndexTest, SaltsAreTreesOfTheirOwn) {
  EXPECT_EQ(index_.FindRoot(""), nullptr);
  PrefixNode& plain = *index_.MakeRoot("");
  PrefixNode& salted = *index_.MakeRoot("s");
  EXPECT_NE(&plain, &salted);
  EXPECT_EQ(index_.MakeRoot("s"), &salted);
  Cache(plain, {1, 2, 3, 4}, {0, 1});
  EXPECT_EQ(index_.Longest(salted, Tokens{1, 2, 3, 4}).node, nullptr);
  Cache(salted, {1, 2, 3, 4}, {2, 3});
  EXPECT_EQ(index_.nodes(), 4);
  while (index_.idle_pages() > 0) Evict();
  EXPECT_EQ(index_.nodes(), 0) << "a root without children stays";
  EXPECT_EQ(index_.FindRoot("s"), nullptr);
}

TEST_F(PrefixIndexTest, ALongerPageReplacesItsBeginning) {
  PrefixNode& root = *index_.MakeRoot("");
  Cache(root, {1, 2}, {0, 1});
  EXPECT_EQ(index_.Put(root, Tokens{1}, dropped_).tokens, (Tokens{1, 2}));
  EXPECT_THAT(dropped_, ElementsAre());
  PrefixNode& longer = Cache(root, {1, 2, 3}, {2, 3});
  EXPECT_THAT(dropped_, ElementsAre(0, 1));
  EXPECT_FALSE(index_.Holds(0));
  EXPECT_THAT(root.children, ElementsAre(&longer));
  EXPECT_EQ(&index_.Put(root, Tokens{1, 2}, dropped_), &longer);
  EXPECT_EQ(index_.idle_pages(), 2);
}

TEST_F(PrefixIndexTest, LeavesGoInTheOrderOfTheirUse) {
  PrefixNode& root = *index_.MakeRoot("");
  PrefixNode& a = Cache(root, {1, 1, 1, 1}, {0, kNoPage});
  Cache(root, {2, 2, 2, 2}, {1, kNoPage});
  PrefixNode& below = Cache(a, {1, 1, 1, 1}, {2, kNoPage});
  Cache(root, {3, 3}, {3, kNoPage});
  index_.Touch(below);
  EXPECT_THAT(Evict(), ElementsAre(1));
  EXPECT_THAT(Evict(), ElementsAre(3));
  EXPECT_THAT(Evict(), ElementsAre(2));
  EXPECT_THAT(Evict(), ElementsAre(0));
  EXPECT_EQ(index_.idle_pages(), 0);
}

TEST_F(PrefixIndexTest, WhatIsHeldAndAllAboveItStays) {
  PrefixNode& root = *index_.MakeRoot("");
  PrefixNode& a = Cache(root, {1, 1, 1, 1}, {0, kNoPage});
  PrefixNode& b = Cache(a, {2, 2, 2, 2}, {1, kNoPage});
  Cache(b, {3, 3, 3, 3}, {2, kNoPage});
  Cache(root, {4, 4, 4, 4}, {3, kNoPage});
  index_.Hold(b);
  index_.SetIdle(0, false);
  index_.SetIdle(1, false);
  EXPECT_THAT(Evict(), ElementsAre(2));
  EXPECT_THAT(Evict(), ElementsAre(3));
  EXPECT_EQ(index_.idle_pages(), 0);
  index_.SetIdle(0, true);
  index_.SetIdle(1, true);
  index_.LetGo(b);
  EXPECT_THAT(Evict(), ElementsAre(1));
}

// Pages that their window passed go first, wherever they are; those that a hit is expected to need stay as
// long as other things of their age.
TEST_F(PrefixIndexTest, WindowPagesThatNobodyExpectsGoFirst) {
  PrefixNode& root = *index_.MakeRoot("");
  Cache(root, {9, 9, 9, 9}, {8, kNoPage});  // the oldest of all
  PrefixNode& a = Cache(root, {1, 1, 1, 1}, {0, 1});
  PrefixNode& b = Cache(a, {2, 2, 2, 2}, {2, 3});
  PrefixNode& c = Cache(b, {3, 3, 3, 3}, {4, 5});
  index_.Expect(5);
  index_.Hold(c);
  for (PageId page : {0, 2, 4}) index_.SetIdle(page, false);
  EXPECT_THAT(Evict(), ElementsAre(1));
  EXPECT_THAT(Evict(), ElementsAre(3));
  EXPECT_EQ(a.state, (SeqState{0, kNoPage}));
  EXPECT_THAT(Evict(), ElementsAre(8));
  EXPECT_THAT(Evict(), ElementsAre(5)) << "although the node is held";
  EXPECT_EQ(index_.idle_pages(), 0);
}

TEST_F(PrefixIndexTest, DisownTakesTheSubtreeOfAFullPageAndAWindowPageAlone) {
  PrefixNode& root = *index_.MakeRoot("");
  PrefixNode& a = Cache(root, {1, 1, 1, 1}, {0, 1});
  PrefixNode& b = Cache(a, {2, 2, 2, 2}, {2, 3});
  Cache(b, {3, 3, 3, 3}, {4, 5});
  Cache(b, {4, 4, 4, 4}, {6, kNoPage});
  std::vector<PageId> dropped;
  index_.Disown(3, dropped);
  EXPECT_THAT(dropped, ElementsAre(3));
  dropped.clear();
  index_.Disown(2, dropped);
  EXPECT_THAT(dropped, UnorderedElementsAre(2, 4, 5, 6));
  EXPECT_EQ(index_.nodes(), 2);
  EXPECT_EQ(index_.idle_pages(), 2);
  EXPECT_THAT(Evict(), ElementsAre(1));
  EXPECT_THAT(Evict(), ElementsAre(0));
}

TEST_F(PrefixIndexTest, AModelOfWindowsAloneLeavesNoEmptyNodes) {
  PrefixIndex index({{.windows = {8}, .page_tokens = 4}});
  PrefixNode* node = index.MakeRoot("");
  std::vector<PageId> dropped;
  for (PageId page = 0; page < 6; ++page) {
    node = &index.Put(*node, Tokens(4, static_cast<Token>(page)), dropped);
    index.Forget(page);
    index.Attach(*node, 0, page);
    index.SetIdle(page, true);
  }
  index.Touch(*node);
  for (int i = 0; i < 6; ++i) index.Evict(dropped);
  EXPECT_EQ(dropped.size(), 6u);
  EXPECT_EQ(index.idle_pages(), 0);
  EXPECT_EQ(index.nodes(), 0);
}

// A deep path does not need a deep stack.
TEST_F(PrefixIndexTest, DepthIsNoDanger) {
  PrefixIndex index({{.windows = {0}, .page_tokens = 4}});
  std::vector<PageId> dropped;
  PrefixNode* node = index.MakeRoot("");
  for (PageId page = 0; page < 200'000; ++page) {
    node = &index.Put(*node, Tokens(4, 1), dropped);
    index.Forget(page);
    index.Attach(*node, 0, page);
    index.SetIdle(page, true);
  }
  index.Touch(*node);
  index.Disown(100, dropped);
  EXPECT_EQ(dropped.size(), 199'900u);
  EXPECT_EQ(index.nodes(), 101);
}

// Random sequences against a plain list of all that was put.
TEST_F(PrefixIndexTest, AgreesWithAPlainSearch) {
  std::mt19937 random(5);
  PrefixIndex index({{.windows = {0}, .page_tokens = 4}});
  std::vector<PageId> dropped;
  std::vector<Tokens> known;
  PageId next = 0;
  for (int round = 0; round < 2000; ++round) {
    Tokens tokens(1 + random() % 14);
    for (Token& token : tokens) token = static_cast<Token>(random() % 3);
    int64_t best = 0;
    for (const Tokens& other : known) {
      best = std::max<int64_t>(best, std::ranges::mismatch(tokens, other).in1 - tokens.begin());
    }
    PrefixNode* const root = index.MakeRoot("");
    int64_t found = 0;
    for (PrefixNode* node = root;;) {
      const auto step = index.Longest(*node, std::span(tokens).subspan(found));
      found += step.tokens;
      if (step.tokens < 4) break;
      node = step.node;
    }
    ASSERT_EQ(found, best);
    PrefixNode* node = root;
    for (size_t at = 0; at < tokens.size(); at += 4) {
      const size_t count = std::min<size_t>(4, tokens.size() - at);
      node = &index.Put(*node, std::span(tokens).subspan(at, count), dropped);
      if (node->state[0] != kNoPage) continue;
      index.Forget(next);
      index.Attach(*node, 0, next++);
    }
    known.push_back(std::move(tokens));
  }
}

TEST(PrefixIndexOfTwoLayouts, KeepsThemApart) {
  PrefixIndex index(
      {{.windows = {0}, .page_tokens = 4}, {.windows = {0, 0}, .page_tokens = 2, .kind = "int8"}});
  std::vector<PageId> dropped;
  PrefixNode &first = *index.MakeRoot("s"), &second = *index.MakeRoot("s", 1);
  EXPECT_NE(&first, &second);
  EXPECT_EQ(index.FindRoot("s", 1), &second);
  PrefixNode& a = index.Put(first, Tokens{1, 2, 3, 4}, dropped);
  PrefixNode& b = index.Put(second, Tokens{1, 2}, dropped);
  EXPECT_EQ(a.state.size(), 1u);
  EXPECT_EQ(b.state.size(), 2u);
  EXPECT_EQ(index.Longest(second, Tokens{1, 2, 3, 4}).tokens, 2);
  EXPECT_NE(index.KeyOf(first), index.KeyOf(second));
  EXPECT_EQ(index.KeyOf(first), RootKey("s"));
  EXPECT_EQ(index.KeyOf(second), index.KeyOfRoot("s", 1));
  for (const PageId page : {0, 1, 2}) index.Forget(page);
  index.Attach(a, 0, 0);
  index.Attach(b, 0, 1);
  index.Attach(b, 1, 2);
  for (const PageId page : {0, 1, 2}) index.SetIdle(page, true);
  EXPECT_EQ(index.idle_pages_of(0), 1);
  EXPECT_EQ(index.idle_pages_of(1), 2);
  index.Touch(a);
  index.Touch(b);
  index.Evict(dropped);  // the one that was used longer ago, whatever its layout
  EXPECT_THAT(dropped, ElementsAre(0));
  EXPECT_EQ(index.FindRoot("s"), nullptr);
  dropped.clear();
  index.Evict(dropped);
  EXPECT_THAT(dropped, UnorderedElementsAre(1, 2));
  EXPECT_EQ(index.idle_pages(), 0);
  EXPECT_EQ(index.FindRoot("s", 1), nullptr);
}

}  // namespace
}  // namespace quire
