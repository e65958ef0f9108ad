#include "quire/model/selected_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>

#include "quire/kernels/kv_codec.h"
#include "quire/kernels/page_summary.h"
#include "quire/kernels/random_weights.h"
#include "quire/kv/page_pool.h"
#include "quire/kv/random_page.h"
#include "quire/model/model_testing.h"

namespace quire {
namespace {

constexpr int kKvHeads = 2, kHeads = 6, kHeadDim = 48;
constexpr int64_t kRowFloats = kHeads * kHeadDim;

std::shared_ptr<const SelectionPolicy> Policy(const std::string& spec) {
  return std::move(MakeSelectionPolicy(spec).value());
}

// One layer that selects and one that has a window, over pages of random keys and values.
class Step {
 public:
  // For the row of the table that `policy` names.
  Step(const std::string& policy, DType type, int page_tokens)
      : policy_(policy),
        layout_({{.type = type, .summaries = Policy(policy)->summaries()}, {.window = 700, .type = type}},
                kKvHeads, kHeadDim, page_tokens),
        pool_(PagePool::Create(2000 * layout_.page_bytes(), layout_.page_bytes()).value()) {}

  // `count` tokens from `position` on, of which those from `selects_from` on select.
  void Add(int64_t position, int64_t count, int64_t selects_from) {
    PageTable& table = tables_.emplace_back();
    for (size_t g = 0; g < layout_.groups().size(); ++g) {
      std::vector<PageId>& pages = table.groups.emplace_back();
      while (std::ssize(pages) < layout_.PageCount(position + count)) pages.push_back(NewPage(g));
    }
    tokens_.emplace_back(count, Token{1});
    plan_.sequences.push_back({.tokens = {}, .position = position, .selects_from = selects_from});
  }

  // What attention gives, layer by layer, where queries that select read a share of the pages.
  std::vector<float> Attend(const std::string& budget, bool exact, int threads) {
    return Attend(plan_, policy_ + ":budget=" + budget, exact, threads);
  }
  // Where all read all.
  std::vector<float> AttendInFull(bool exact, int threads) {
    StepPlan plan = plan_;
    for (SequenceStep& step : plan.sequences) step.selects_from = INT64_MAX;
    return Attend(plan, policy_, exact, threads);
  }

  // Gives a token of the first sequence the key in every KV head, and its page the summary of that.
  void PlantKey(int64_t position, const std::vector<float>& key) {
    const PageId page = tables_[0].groups[layout_.group_of(0)][position / layout_.page_tokens()];
    const std::vector<float> v(kHeadDim, 1.0f);
    for (int head = 0; head < kKvHeads; ++head) {
      BestKernels().store_kv(layout_.type(0), layout_.page_tokens(), kHeadDim,
                             static_cast<int>(position % layout_.page_tokens()), key.data(), v.data(),
                             pool_.arena().tile(page, layout_.KTile(0, head)),
                             pool_.arena().tile(page, layout_.VTile(0, head)));
    }
    Summarize(page);
  }

  std::vector<float> queries;  // random where there are none

 private:
  std::vector<float> Attend(StepPlan plan, const std::string& policy, bool exact, int threads) {
    for (size_t i = 0; i < tables_.size(); ++i) {
      plan.sequences[i].tokens = tokens_[i];
      plan.sequences[i].pages = &tables_[i];
    }
    ThreadPool pool(threads);
    const AttentionParams params{.scale = 0.2f};
    PagedAttention attention(BestKernels(), pool, {&layout_, 1}, kHeads, params, exact);
    SelectedAttention selected(BestKernels(), pool, {&layout_, 1}, kHeads, params, exact, Policy(policy));
    attention.Prepare(plan);
    selected.Prepare(plan);
    const int64_t floats = plan.tokens() * kRowFloats;
    const std::vector<float> q = queries.empty() ? RandomFloats(floats, 3) : queries;
    std::vector<float> out(floats * layout_.layers());
    for (int layer = 0; layer < layout_.layers(); ++layer) {
      const AttentionIo io{q.data(), kRowFloats, &out[layer * floats], kRowFloats};
      attention.Run(layer, pool_.arena(), io);
      selected.Run(layer, pool_.arena(), io);
    }
    return out;
  }

  PageId NewPage(size_t group) {
    const PageId page = pool_.Allocate();
    std::ranges::copy(RandomPage(layout_, group, page), pool_.data(page));
    return page;
  }
  void Summarize(PageId page) {
    std::vector<float> scratch(SummaryScratchFloats(layout_.page_tokens(), kHeadDim));
    for (int head = 0; head < kKvHeads; ++head) {
      const FullPageTiles tiles{layout_.type(0), layout_.page_tokens(), kHeadDim,
                                pool_.arena().tile(page, layout_.KTile(0, head)),
                                pool_.arena().tile(page, layout_.VTile(0, head))};
      SummarizeKeys(BestKernels(), layout_.summaries(0), tiles, scratch.data(),
                    pool_.arena().tile(page, layout_.Summary(0, head)));
    }
  }

  const std::string policy_;
  const KvLayout layout_;
  PagePool pool_;
  std::vector<PageTable> tables_;
  std::vector<std::vector<Token>> tokens_;
  StepPlan plan_;
};

std::vector<std::string> Policies() {
  std::vector<std::string> names;
  for (const SelectionRow* row : SelectionTable()) names.emplace_back(row->name);
  return names;
}

class SelectedPages : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(SelectedPages, AllOfThemGiveTheBitsOfFullAttention) {
  const auto& [policy, type] = GetParam();
  for (const bool exact : {true, false}) {
    for (const int page_tokens : {16, 48}) {
      Step step(policy, FindKvType(type).value(), page_tokens);
      step.Add(1300, 1, 0);
      step.Add(1024, 1, 1024);
      step.Add(0, 1, 0);
      step.Add(500, 40, 520);  // both in one step
      step.Add(700, 9, INT64_MAX);
      step.Add(3, 20, 3);
      const std::vector<float> full = step.AttendInFull(exact, 2);
      EXPECT_EQ(step.Attend("1", exact, 1), full);
      EXPECT_EQ(step.Attend("1", exact, 3), full);
      EXPECT_NE(step.Attend("0.1", exact, 1), full);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, SelectedPages,
                         ::testing::Combine(::testing::ValuesIn(Policies()),
                                            ::testing::ValuesIn(KvTypeNames())),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + std::get<1>(info.param);
                         });

class SelectingPolicy : public ::testing::TestWithParam<std::string> {};

// Somewhere in the middle lies a key like the query: its page is among the chosen, and the answer its value.
TEST_P(SelectingPolicy, FindsAPlantedKey) {
  for (const int64_t at : {100, 555, 1001}) {
    Step step(GetParam(), DType::kF16, 16);
    step.Add(1200, 1, 0);
    std::vector<float> direction = RandomFloats(kHeadDim, 5);
    for (int h = 0; h < kHeads; ++h) {
      step.queries.insert(step.queries.end(), direction.begin(), direction.end());
    }
    const std::vector<float> before = step.Attend("0.1", true, 1);
    std::vector<float> key = direction;
    for (float& x : key) x *= 4;
    step.PlantKey(at, key);
    const std::vector<float> full = step.AttendInFull(true, 1), some = step.Attend("0.1", true, 1);
    for (int64_t i = 0; i < kRowFloats; ++i) {
      EXPECT_NEAR(some[i], 1, 1e-3) << i;
      EXPECT_NEAR(some[i], full[i], 1e-3) << i;
    }
    EXPECT_GT(std::abs(before[0] - 1), 0.01);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, SelectingPolicy, ::testing::ValuesIn(Policies()),
                         [](const auto& info) { return info.param; });

// -- With a model and its cache ---------------------------------------------------------------------------

class SelectingModel : public ::testing::TestWithParam<std::string> {
 protected:
  static constexpr int64_t kTextTokens = 150;  // ends inside a page

  SelectingModel() : pool_(2), model_(Load(), size_t{64} << 20) {}

  std::unique_ptr<LanguageModel> Load() {
    const std::string path = std::string(QUIRE_SOURCE_DIR) + "/tests/data/families/llama/model.gguf";
    const ModelOptions options{.selection = Policy(GetParam() + ":budget=0.25,dense_layers=0")};
    return std::move(testing::LoadModel(path, options, pool_).value());
  }

  static std::vector<Token> Text(int64_t tokens, int salt) {
    std::vector<Token> text;
    for (int64_t i = 0; i < tokens; ++i) text.push_back(static_cast<Token>((i * 7 + salt * 5 + i / 9) % 61));
    return text;
  }
  std::span<const Token> Tokens() const { return text_; }

  void Compute(PageTable& table, std::span<const Token> tokens, int64_t chunk = 512) {
    for (size_t at = 0; at < tokens.size(); at += static_cast<size_t>(chunk)) {
      const auto piece = tokens.subspan(at, std::min(tokens.size() - at, static_cast<size_t>(chunk)));
      model_.Step(table, piece, LogitsWanted::kNone);
    }
  }
  // The logits of a few tokens that select, decoded one by one.
  std::vector<std::vector<float>> Decode(PageTable& table, bool selects = true) {
    std::vector<std::vector<float>> logits;
    for (const Token token : {5, 17, 3, 40}) {
      StepPlan plan;
      plan.sequences.push_back(model_.Append(table, {&token, 1}));
      if (selects) plan.sequences[0].selects_from = kTextTokens;
      logits.push_back(model_.Run(plan)[0][0]);
    }
    return logits;
  }

  // Whether the summaries of the table's full pages are those of their keys.
  void ExpectSummaries(const PageTable& table) {
    const KvLayout& layout = model_.model().kv_layout();
    const PageArena& arena = model_.cache().arena();
    std::vector<float> scratch(SummaryScratchFloats(layout.page_tokens(), layout.head_dim()));
    for (int layer = 0; layer < layout.layers(); ++layer) {
      for (int head = 0; head < layout.kv_heads(); ++head) {
        const TilePlace place = layout.Summary(layer, head);
        std::vector<std::byte> summary(place.bytes);
        for (int64_t i = 0; i < table.tokens / layout.page_tokens(); ++i) {
          const PageId page = table.groups[layout.group_of(layer)][i];
          const FullPageTiles tiles{layout.type(layer), layout.page_tokens(), layout.head_dim(),
                                    arena.tile(page, layout.KTile(layer, head)),
                                    arena.tile(page, layout.VTile(layer, head))};
          SummarizeKeys(BestKernels(), layout.summaries(layer), tiles, scratch.data(), summary.data());
          ASSERT_EQ(std::memcmp(summary.data(), arena.tile(page, place), place.bytes), 0)
              << "layer " << layer << " page " << i;
        }
      }
    }
  }

  ThreadPool pool_;
  testing::TestModel model_;
  const std::vector<Token> text_ = Text(kTextTokens, 1);
};

TEST_P(SelectingModel, SelectsWhatItsOwnTokensSay) {
  PageTable table;
  Compute(table, Tokens());
  ExpectSummaries(table);
  PageTable all = model_.cache().Fork(table);
  const auto expected = Decode(table);
  EXPECT_NE(Decode(all, false), expected) << "a quarter is not all";
  model_.cache().Release(table);
  model_.cache().Release(all);

  // In pieces, over pages that others had before, beside others.
  PageTable other, pieces;
  Compute(other, Text(300, 4));
  model_.cache().Release(other);
  Compute(pieces, Tokens(), 7);
  ExpectSummaries(pieces);
  Compute(other, Text(40, 9));
  EXPECT_EQ(Decode(pieces), expected);
}

TEST_P(SelectingModel, SummariesFollowForksAndCopies) {
  PageTable alone;
  Compute(alone, Tokens());
  const auto expected = Decode(alone);
  // A fork writes into a copy of the page that both were in the middle of.
  PageTable table;
  Compute(table, Tokens());
  PageTable fork = model_.cache().Fork(table);
  Compute(fork, Text(60, 8));
  EXPECT_EQ(Decode(table), expected);
  Compute(table, Text(60, 2));
  ExpectSummaries(fork);
  ExpectSummaries(table);
}

TEST_P(SelectingModel, SummariesComeWithCachedPages) {
  PageTable table;
  Compute(table, Tokens());
  const auto expected = Decode(table);
  PageTable first;
  Compute(first, Tokens());
  model_.cache().Release(first, "", Tokens());
  PageTable hit;
  EXPECT_EQ(model_.cache().Match(hit, "", Tokens()), kTextTokens);
  ExpectSummaries(hit);
  EXPECT_EQ(Decode(hit), expected);
  Compute(hit, Text(40, 3));
  ExpectSummaries(hit);
  // One that ends inside a page of another text.
  std::vector<Token> branch(Tokens().begin(), Tokens().begin() + 75);
  branch.resize(120, 2);
  PageTable part;
  const int64_t matched = model_.cache().Match(part, "", branch);
  EXPECT_EQ(matched, 75);
  Compute(part, std::span(branch).subspan(matched));
  ExpectSummaries(part);
}

INSTANTIATE_TEST_SUITE_P(Policies, SelectingModel, ::testing::ValuesIn(Policies()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace quire
