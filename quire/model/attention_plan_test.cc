#include "quire/model/attention_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>

namespace quire {
namespace {

constexpr int kPageTokens = 32;
constexpr int64_t kPagesPerSplit = kAttentionSplit / kPageTokens;
constexpr int64_t kAnyTasks = 1000;  // enough_blocks that cuts every block at its splits

KvLayout LayoutOf(std::vector<int64_t> windows) {
  std::vector<LayerKv> layers;
  for (const int64_t window : windows) layers.push_back({window});
  return {layers, 1, 16, kPageTokens};
}

// Sequences whose tables are alike in the first pages that they share, in every layer group.
class Sequences {
 public:
  explicit Sequences(const KvLayout& layout) : layout_(layout) {}
  Sequences(const Sequences&) = delete;

  // `count` tokens from `position` on. The first `shared_tokens` are on the pages of sequence `like`, if it
  // is another.
  void Add(int64_t position, int64_t count, int64_t shared_tokens = 0, size_t like = 0) {
    PageTable& table = tables_.emplace_back();
    tokens_.emplace_back(count, Token{1});
    const int64_t pages = (position + count + kPageTokens - 1) / kPageTokens;
    const int64_t shared = like + 1 < tables_.size() ? shared_tokens / kPageTokens : 0;
    for (size_t g = 0; g < layout_.groups().size(); ++g) {
      std::vector<PageId>& group = table.groups.emplace_back();
      for (int64_t page = 0; page < pages; ++page) {
        group.push_back(page < shared ? tables_[like].groups[g][page] : next_page_++);
      }
    }
    positions_.push_back(position);
  }

  PageTable& table(size_t i) { return tables_[i]; }

  const StepPlan& plan() {
    plan_.sequences.clear();
    for (size_t i = 0; i < tables_.size(); ++i) {
      plan_.sequences.push_back({.tokens = tokens_[i], .position = positions_[i], .pages = &tables_[i]});
    }
    return plan_;
  }

  // The pages of a split, in the group.
  std::vector<PageId> PagesOf(int sequence, int64_t split, size_t group = 0) const {
    const std::vector<PageId>& pages = tables_[sequence].groups[group];
    const auto at = [&](int64_t page) { return pages.begin() + std::min(page, std::ssize(pages)); };
    return {at(split * kPagesPerSplit), at((split + 1) * kPagesPerSplit)};
  }

 private:
  const KvLayout& layout_;
  std::vector<std::vector<Token>> tokens_;
  std::vector<int64_t> positions_;
  std::vector<PageTable> tables_;
  PageId next_page_ = 0;
  StepPlan plan_;
};

// How many sequences each task has, split by split.
std::map<int64_t, std::multiset<int>> SharersOf(const AttentionPlan& plan) {
  std::map<int64_t, std::multiset<int>> sharers;
  for (const AttentionTask& task : plan.tasks()) {
    for (int64_t split = task.split_begin; split < task.split_end; ++split) {
      sharers[split].insert(task.member_count);
    }
  }
  return sharers;
}
using Sharers = std::map<int64_t, std::multiset<int>>;

// How often each (row, position) is computed by the plan's tasks.
std::map<std::pair<int64_t, int64_t>, int> Covered(const AttentionPlan& plan) {
  std::map<std::pair<int64_t, int64_t>, int> covered;
  for (const AttentionTask& task : plan.tasks()) {
    for (const int b : plan.BlocksOf(task)) {
      const AttentionBlock& block = plan.blocks()[b];
      for (int64_t split = task.split_begin; split < task.split_end; ++split) {
        for (int64_t t = 0; t < block.tokens; ++t) {
          const PositionRange part = VisibleRange(block.position + t, plan.window()).InSplit(split);
          for (int64_t p = part.begin; p < part.end; ++p) ++covered[{block.first_row + t, p}];
        }
      }
    }
  }
  return covered;
}

std::map<std::pair<int64_t, int64_t>, int> Visible(const StepPlan& step, int64_t window) {
  std::map<std::pair<int64_t, int64_t>, int> visible;
  int64_t row = 0;
  for (const SequenceStep& s : step.sequences) {
    for (int64_t i = 0; i < std::ssize(s.tokens); ++i, ++row) {
      const PositionRange seen = VisibleRange(s.position + i, window);
      for (int64_t p = seen.begin; p < seen.end; ++p) visible[{row, p}] = 1;
    }
  }
  return visible;
}

// What must hold of every plan: blocks count their tasks, and those that share one have the same pages there
// in every layer group of the window.
void ExpectSound(const AttentionPlan& plan, const Sequences& step, size_t groups, int64_t block_tokens) {
  std::vector<int> tasks_of(plan.blocks().size());
  for (const AttentionTask& task : plan.tasks()) {
    const std::span<const int> members = plan.BlocksOf(task);
    int64_t tokens = 0;
    for (const int b : members) {
      ++tasks_of[b];
      tokens += plan.blocks()[b].tokens;
    }
    EXPECT_LE(tokens, block_tokens);
    if (members.size() == 1) continue;
    EXPECT_EQ(task.split_end, task.split_begin + 1);
    EXPECT_EQ(task.positions, kAttentionSplit);
    const int first = plan.blocks()[members.front()].sequence;
    for (const int b : members) {
      for (size_t g = 0; g < groups; ++g) {
        EXPECT_EQ(step.PagesOf(plan.blocks()[b].sequence, task.split_begin, g),
                  step.PagesOf(first, task.split_begin, g));
      }
    }
  }
  for (size_t b = 0; b < tasks_of.size(); ++b) EXPECT_EQ(tasks_of[b], plan.blocks()[b].tasks) << b;
}

TEST(AttentionPlan, EveryQueryMeetsEveryVisibleKeyOnce) {
  std::mt19937 random(1);
  for (int round = 0; round < 30; ++round) {
    const int64_t window = round % 3 == 0 ? 0 : 1 + static_cast<int64_t>(random() % 700);
    const KvLayout layout = LayoutOf({window});
    Sequences step(layout);
    for (int s = 0; s < 3; ++s) {
      const int64_t position = random() % 1500;
      step.Add(position, 1 + random() % (s == 0 ? 1 : 90));
    }
    AttentionPlan plan({&layout, 1}, window);
    plan.Build(step.plan(), 1 + random() % 32, round % 2 == 0 ? 0 : kAnyTasks);
    EXPECT_EQ(Covered(plan), Visible(step.plan(), window));
  }
}

// Sequences that branch off each other at random, as a tree of prompts does; some compute prompts.
TEST(AttentionPlan, SharingChangesNeitherWhatIsComputedNorByWhom) {
  std::mt19937 random(2);
  int shared = 0;
  for (int round = 0; round < 50; ++round) {
    const int64_t window = round % 4 == 0 ? 1 + static_cast<int64_t>(random() % 1500) : 0;
    const KvLayout layout = LayoutOf({window, window});
    Sequences step(layout);
    const size_t count = 2 + random() % 8;
    std::vector<int64_t> positions;
    for (size_t s = 0; s < count; ++s) {
      positions.push_back(400 + random() % 1800);
      const size_t like = random() % (s + 1);
      const int64_t common = std::min(positions[s], positions[like]);
      step.Add(positions[s], 1 + random() % (s % 3 == 2 ? 40 : 1),
               common - static_cast<int64_t>(random() % 3) * kPageTokens, like);
    }
    const int64_t block_tokens = 1 + static_cast<int64_t>(random() % 40);
    AttentionPlan plan({&layout, 1}, window);
    plan.Build(step.plan(), block_tokens, round % 2 == 0 ? 0 : kAnyTasks);
    EXPECT_EQ(Covered(plan), Visible(step.plan(), window));
    ExpectSound(plan, step, layout.groups().size(), block_tokens);
    shared +=
        static_cast<int>(std::ranges::count_if(plan.tasks(), [](auto& t) { return t.member_count > 1; }));
  }
  EXPECT_GT(shared, 50);  // or nothing was tested
}

// Tokens that are decoded one each share as far as anything allows: as few tasks per split as there are
// different pages, times what block_tokens cuts them to.
TEST(AttentionPlan, NothingThatCouldBeSharedIsReadTwice) {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    const KvLayout layout = LayoutOf({0});
    Sequences step(layout);
    const size_t count = 2 + random() % 30;
    step.Add(3 * kAttentionSplit, 1);
    for (size_t s = 1; s < count; ++s) {
      step.Add(3 * kAttentionSplit, 1, static_cast<int64_t>(random() % (3 * kAttentionSplit)), random() % s);
    }
    const int64_t block_tokens = 1 + static_cast<int64_t>(random() % 16);
    AttentionPlan plan({&layout, 1}, 0);
    plan.Build(step.plan(), block_tokens, 0);
    for (int64_t split = 0; split < 3; ++split) {
      std::map<std::vector<PageId>, int64_t> sequences_of;
      for (size_t s = 0; s < count; ++s) ++sequences_of[step.PagesOf(static_cast<int>(s), split)];
      size_t expected = 0;
      for (const auto& [pages, n] : sequences_of) expected += (n + block_tokens - 1) / block_tokens;
      EXPECT_EQ(SharersOf(plan)[split].size(), expected);
    }
  }
}

TEST(AttentionPlan, SequencesWithTheSamePagesShareATask) {
  const KvLayout layout = LayoutOf({0});
  Sequences step(layout);
  step.Add(1100, 1);
  step.Add(1300, 1, 1024);
  step.Add(700, 1, 512);
  AttentionPlan plan({&layout, 1}, 0);
  plan.Build(step.plan(), 16, 0);
  EXPECT_EQ(SharersOf(plan), (Sharers{{0, {3}}, {1, {2, 1}}, {2, {1, 1}}}));
}

TEST(AttentionPlan, PagesThatDifferAreNotShared) {
  const KvLayout layout = LayoutOf({0});
  Sequences step(layout);
  for (int i = 0; i < 4; ++i) step.Add(1023, 1, 1023);
  step.table(3).groups[0][0] = 1000;                       // the first page of split 0
  step.table(2).groups[0][2 * kPagesPerSplit - 1] = 1001;  // the last of split 1
  AttentionPlan plan({&layout, 1}, 0);
  plan.Build(step.plan(), 16, 0);
  const Sharers sharers = SharersOf(plan);
  EXPECT_EQ(sharers.at(0), (std::multiset<int>{3, 1}));
  ExpectSound(plan, step, 1, 16);
}

TEST(AttentionPlan, AllLayerGroupsOfTheWindowMustAgree) {
  // Windows 0, 0, 300, 0: pages of two layers of no window each would leave one over, so each has its own.
  const KvLayout layout = LayoutOf({0, 0, 300, 0});
  ASSERT_GT(layout.groups().size(), 2u);
  size_t last = 0;
  for (size_t g = 0; g < layout.groups().size(); ++g) last = layout.groups()[g].window == 0 ? g : last;
  Sequences step(layout);
  step.Add(600, 1);
  step.Add(600, 1, 512);
  AttentionPlan plan({&layout, 1}, 0);
  plan.Build(step.plan(), 16, 0);
  EXPECT_EQ(SharersOf(plan).at(0), (std::multiset<int>{2}));
  step.table(1).groups[last][3] = 1000;
  plan.Build(step.plan(), 16, 0);
  EXPECT_EQ(SharersOf(plan).at(0), (std::multiset<int>{1, 1}));
}

TEST(AttentionPlan, SplitsThatAWindowCutsAreNotShared) {
  const KvLayout layout = LayoutOf({700});
  Sequences step(layout);
  step.Add(1100, 1);  // sees [401, 1101)
  step.Add(1100, 1, 1024);
  step.Add(1400, 1, 1024);  // sees [701, 1401)
  AttentionPlan plan({&layout, 1}, 700);
  plan.Build(step.plan(), 16, 0);
  EXPECT_EQ(SharersOf(plan), (Sharers{{0, {1, 1}}, {1, {2, 1}}, {2, {1, 1, 1}}}));
}

TEST(AttentionPlan, PagesThatAWindowGaveBackAreNotLookedAt) {
  const KvLayout layout = LayoutOf({600});
  Sequences step(layout);
  step.Add(2000, 1);
  step.Add(2000, 1, 2000);
  for (size_t s = 0; s < 2; ++s) {
    std::fill_n(step.table(s).groups[0].begin(), 1400 / kPageTokens, kNoPage);
  }
  AttentionPlan plan({&layout, 1}, 600);
  plan.Build(step.plan(), 16, 0);
  EXPECT_EQ(SharersOf(plan), (Sharers{{2, {1, 1}}, {3, {1, 1}}}));
}

TEST(AttentionPlan, BlocksThatShareHaveTogetherAtMostSoManyTokens) {
  const KvLayout layout = LayoutOf({0});
  Sequences step(layout);
  for (int i = 0; i < 5; ++i) step.Add(512, 1, 512);
  AttentionPlan plan({&layout, 1}, 0);
  plan.Build(step.plan(), 2, 0);
  EXPECT_EQ(SharersOf(plan).at(0), (std::multiset<int>{2, 2, 1}));
  EXPECT_EQ(SharersOf(plan).at(1), (std::multiset<int>{1, 1, 1, 1, 1}));
}

// 16 sequences that share 2,048 tokens: a step reads them once.
TEST(AttentionPlan, ASharedPromptIsReadOnce) {
  const KvLayout layout = LayoutOf({0});
  constexpr int64_t kShared = 2048, kOwn = 40, kSequences = 16;
  Sequences step(layout);
  for (int i = 0; i < kSequences; ++i) step.Add(kShared + kOwn - 1, 1, kShared);
  AttentionPlan plan({&layout, 1}, 0);
  plan.Build(step.plan(), 32, 0);
  EXPECT_EQ(plan.positions(), kShared + kSequences * kOwn);
  // What is not shared is read by each.
  Sequences apart(layout);
  for (int i = 0; i < kSequences; ++i) apart.Add(kShared + kOwn - 1, 1);
  plan.Build(apart.plan(), 32, 0);
  EXPECT_EQ(plan.positions(), kSequences * (kShared + kOwn));
}

TEST(AttentionPlan, APromptsKeysAreReadOncePerBlock) {
  const KvLayout layout = LayoutOf({0});
  Sequences step(layout);
  step.Add(1000, 64);
  AttentionPlan plan({&layout, 1}, 0);
  for (const int64_t enough_blocks : {int64_t{0}, kAnyTasks}) {
    plan.Build(step.plan(), 32, enough_blocks);
    EXPECT_EQ(plan.positions(), 1032 + 1064);
  }
}

TEST(AttentionPlan, ADecodedTokenIsCutAtItsSplits) {
  const KvLayout layout = LayoutOf({0});
  Sequences step(layout);
  step.Add(3 * kAttentionSplit + 5, 1);
  AttentionPlan plan({&layout, 1}, 0);
  plan.Build(step.plan(), 16, 0);
  ASSERT_EQ(plan.blocks().size(), 1u);
  EXPECT_EQ(plan.blocks()[0].tasks, 4);
  EXPECT_EQ(plan.tasks().size(), 4u);
  EXPECT_EQ(plan.shared_slots(), 4);
}

TEST(AttentionPlan, APromptIsCutOnlyWhereTasksAreFew) {
  const KvLayout layout = LayoutOf({0});
  Sequences step(layout);
  step.Add(kAttentionSplit - 8, 16);
  AttentionPlan plan({&layout, 1}, 0);
  plan.Build(step.plan(), 16, /*enough_blocks=*/1);
  EXPECT_EQ(plan.tasks().size(), 1u);
  EXPECT_EQ(plan.shared_slots(), 0);
  plan.Build(step.plan(), 16, /*enough_blocks=*/2);
  EXPECT_EQ(plan.tasks().size(), 2u);
  EXPECT_EQ(plan.shared_slots(), 32);
}

TEST(AttentionPlan, TokensThatSelectAreLeftOut) {
  const KvLayout layout = LayoutOf({0});
  Sequences step(layout);
  step.Add(100, 10);
  step.Add(500, 20);
  step.Add(900, 1);
  StepPlan selecting = step.plan();
  selecting.sequences[1].selects_from = 505;
  selecting.sequences[2].selects_from = 0;
  AttentionPlan plan({&layout, 1}, 0, true);
  plan.Build(selecting, 16, 0);
  ASSERT_EQ(plan.blocks().size(), 2u);
  EXPECT_EQ(plan.blocks()[0].tokens, 10);
  EXPECT_EQ(plan.blocks()[1].tokens, 5);
  EXPECT_EQ(plan.blocks()[1].first_row, 10);
  AttentionPlan all({&layout, 1}, 0);
  all.Build(selecting, 16, 0);
  EXPECT_EQ(Covered(all), Visible(selecting, 0));
}

TEST(AttentionPlan, SplitsBelowTheWindowAreSkipped) {
  const KvLayout layout = LayoutOf({100});
  Sequences step(layout);
  step.Add(10 * kAttentionSplit, 1);
  AttentionPlan plan({&layout, 1}, 100);
  plan.Build(step.plan(), 16, 0);
  EXPECT_EQ(plan.blocks()[0].first_split, 9);
  EXPECT_EQ(plan.blocks()[0].splits, 2);
}

}  // namespace
}  // namespace quire
