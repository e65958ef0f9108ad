#include "quire/model/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "quire/kernels/kv_codec.h"
#include "quire/kernels/random_weights.h"
#include "quire/kv/page_pool.h"
#include "quire/kv/random_page.h"

namespace quire {
namespace {

constexpr int kKvHeads = 2, kHeads = 6, kHeadDim = 48;
constexpr int64_t kRowFloats = kHeads * kHeadDim;
constexpr float kScale = 0.2f;

// Sequences over one pool. Every page holds random keys and values.
class Step {
 public:
  explicit Step(const KvLayout& layout)
      : layout_(layout), pool_(PagePool::Create(4000 * layout.page_bytes(), layout.page_bytes()).value()) {}

  // `count` tokens from `position` on, of which the first `shared` have the pages of sequence 0.
  void Add(int64_t position, int64_t count, int64_t shared = 0) {
    const int64_t page_tokens = layout_.page_tokens();
    PageTable table;
    for (size_t g = 0; g < layout_.groups().size(); ++g) {
      std::vector<PageId>& pages = table.groups.emplace_back();
      while (std::ssize(pages) * page_tokens < position + count) {
        const bool same = (std::ssize(pages) + 1) * page_tokens <= shared;
        pages.push_back(same ? tables_[0].groups[g][pages.size()] : NewPage(g));
      }
    }
    tables_.push_back(std::move(table));
    tokens_.emplace_back(count, Token{1});
    positions_.push_back(position);
  }

  // Gives every sequence a copy of its pages that is its own.
  void Unshare() {
    for (PageTable& table : tables_) {
      for (std::vector<PageId>& pages : table.groups) {
        for (PageId& page : pages) {
          const PageId copy = pool_.Allocate();
          std::copy_n(pool_.data(page), pool_.page_bytes(), pool_.data(copy));
          page = copy;
        }
      }
    }
  }

  // What attention gives for random queries, layer by layer.
  std::vector<float> Attend(bool exact, int threads) {
    const StepPlan plan = Plan();
    ThreadPool pool(threads);
    PagedAttention attention(BestKernels(), pool, {&layout_, 1}, kHeads, {.scale = kScale}, exact);
    attention.Prepare(plan);
    const int64_t floats = plan.tokens() * kRowFloats;
    const std::vector<float> q = RandomFloats(floats, 3);
    std::vector<float> out(floats * layout_.layers());
    for (int layer = 0; layer < layout_.layers(); ++layer) {
      attention.Run(layer, pool_.arena(), {q.data(), kRowFloats, &out[layer * floats], kRowFloats});
    }
    return out;
  }

  // What it takes beside the results, and reads.
  void Prepare(int threads) {
    const StepPlan plan = Plan();
    ThreadPool pool(threads);
    PagedAttention attention(BestKernels(), pool, {&layout_, 1}, kHeads, {.scale = kScale}, true);
    attention.Prepare(plan);
    scratch_bytes = attention.ScratchBytes();
    bytes_read = attention.BytesRead();
  }
  size_t scratch_bytes = 0, bytes_read = 0;

  // One query head of sequence 0 in double precision, whose queries are those of Attend.
  std::vector<double> InDoubles(int64_t token, int head) const {
    const int64_t page_tokens = layout_.page_tokens(), position = positions_[0] + token;
    const int kv_head = head / (kHeads / kKvHeads);
    const std::vector<float> q = RandomFloats(std::ssize(tokens_[0]) * kRowFloats, 3);
    std::vector<float> k(kHeadDim), v(kHeadDim);
    std::vector<double> out(kHeadDim);
    double total = 0;
    for (int64_t p = 0; p <= position; ++p) {
      const PageId page = tables_[0].groups[0][p / page_tokens];
      BestKernels().load_kv(layout_.type(0), static_cast<int>(page_tokens), kHeadDim,
                            static_cast<int>(p % page_tokens),
                            pool_.arena().tile(page, layout_.KTile(0, kv_head)),
                            pool_.arena().tile(page, layout_.VTile(0, kv_head)), k.data(), v.data());
      const float* query = &q[token * kRowFloats + head * kHeadDim];
      const double weight =
          std::exp(kScale * std::inner_product(k.begin(), k.end(), query, 0.0, std::plus(),
                                               [](float a, float b) { return double{a} * b; }));
      total += weight;
      for (int d = 0; d < kHeadDim; ++d) out[d] += weight * v[d];
    }
    for (double& x : out) x /= total;
    return out;
  }

 private:
  StepPlan Plan() const {
    StepPlan plan;
    for (size_t i = 0; i < tables_.size(); ++i) {
      plan.sequences.push_back({.tokens = tokens_[i], .position = positions_[i], .pages = &tables_[i]});
    }
    return plan;
  }
  PageId NewPage(size_t group) {
    const PageId page = pool_.Allocate();
    std::ranges::copy(RandomPage(layout_, group, page), pool_.data(page));
    return page;
  }

  const KvLayout& layout_;
  PagePool pool_;
  std::vector<PageTable> tables_;
  std::vector<std::vector<Token>> tokens_;
  std::vector<int64_t> positions_;
};

// Layer 0 has other pages than layer 1, of which one group leaves a part of its pages empty.
TEST(AttentionOverLayersOfSeveralTypes, IsThatOfEachType) {
  const KvLayout mixed({{0, DType::kF16}, {700, DType::kInt4}, {0, DType::kInt8}}, kKvHeads, kHeadDim, 16);
  const auto attend = [](const KvLayout& layout) {
    Step step(layout);
    for (const int64_t position : {1300, 5}) step.Add(position, 7);
    return step.Attend(false, 2);
  };
  const std::vector<float> out = attend(mixed);
  const size_t floats = out.size() / 3;
  for (int layer = 0; layer < 3; ++layer) {
    const DType type = mixed.type(layer);
    const KvLayout alike({{0, type}, {700, type}, {0, type}}, kKvHeads, kHeadDim, 16);
    ASSERT_EQ(alike.group_of(layer), mixed.group_of(layer));  // so its pages have the same numbers
    const std::vector<float> expected = attend(alike);
    const auto of_layer = [&](const std::vector<float>& all) {
      return std::span(all).subspan(layer * floats, floats);
    };
    EXPECT_TRUE(std::ranges::equal(of_layer(out), of_layer(expected))) << layer;
  }
}

class SharedPages : public testing::TestWithParam<std::string> {};

TEST_P(SharedPages, GiveTheBitsOfPagesOfOnesOwn) {
  for (const bool exact : {true, false}) {
    for (const int page_tokens : {16, 48}) {
      const DType type = FindKvType(GetParam()).value();
      const KvLayout layout({{0, type}, {700, type}}, kKvHeads, kHeadDim, page_tokens);
      Step step(layout);
      step.Add(1300, 1);
      for (const int64_t shared : {1300, 1100, 1024, 600, 512, 300}) step.Add(1300 + shared % 7, 1, shared);
      step.Add(1200, 50, 1200);  // a prompt behind the same beginning
      step.Add(3, 1);
      const std::vector<float> shared = step.Attend(exact, 1);
      EXPECT_EQ(step.Attend(exact, 3), shared);
      step.Unshare();
      EXPECT_EQ(step.Attend(exact, 2), shared);
    }
  }
}

// One layer over a whole prompt. A version that wrote all scores down would need as many floats as there are
// pairs, head by head (Rabe and Staats 2021, section 1; FuseMax, Nayak et al. 2024, calls it three passes).
TEST(AttentionOverAPrompt, NeedsTheSameMemoryWhateverItsLength) {
  const KvLayout layout({{.type = DType::kF32}}, kKvHeads, kHeadDim, 16);
  size_t first_bytes = 0;
  for (const int64_t tokens : {512, 2048, 16384, 32768}) {
    Step step(layout);
    step.Add(0, tokens);
    step.Prepare(2);
    if (first_bytes == 0) first_bytes = step.scratch_bytes;
    EXPECT_EQ(step.scratch_bytes, first_bytes) << tokens;
    const size_t scores = tokens * tokens * sizeof(float);
    if (tokens >= 16384) {
      EXPECT_LE(step.scratch_bytes, scores / 59);
    }
  }
}

TEST(AttentionOverAPrompt, ReadsKeysAndValuesOncePerBlockOfQueries) {
  const KvLayout layout({{}}, kKvHeads, kHeadDim, 16);
  const int64_t tokens = 4096, block = AttentionBlockTokens(kHeads / kKvHeads);
  Step step(layout);
  step.Add(0, tokens);
  step.Prepare(2);
  int64_t positions = 0;
  for (int64_t t = 0; t < tokens; t += block) positions += std::min(t + block, tokens);
  EXPECT_EQ(step.bytes_read, static_cast<size_t>(positions * kKvHeads * 2 * kHeadDim * 2));
}

TEST(AttentionOverAPrompt, IsThatInDoublePrecision) {
  const KvLayout layout({{.type = DType::kF32}}, kKvHeads, kHeadDim, 16);
  Step step(layout);
  step.Add(16384 - 200, 200);
  const std::vector<float> out = step.Attend(true, 2);
  for (const auto& [token, head] : {std::pair{0, 0}, {77, 3}, {199, 5}}) {
    const std::vector<double> expected = step.InDoubles(token, head);
    for (int d = 0; d < kHeadDim; ++d) {
      ASSERT_NEAR(out[token * kRowFloats + head * kHeadDim + d], expected[d], 1e-5) << token << " " << head;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(KvTypes, SharedPages, testing::ValuesIn(KvTypeNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace quire
