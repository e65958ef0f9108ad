#include "quire/model/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "quire/kernels/kv_codec.h"
#include "quire/kernels/random_weights.h"

namespace quire {
namespace {

constexpr int kKvHeads = 2, kHeads = 6, kHeadDim = 48;
constexpr int64_t kRowFloats = kHeads * kHeadDim;

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
        pages.push_back(same ? tables_[0].groups[g][pages.size()] : NewPage());
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
    StepPlan plan;
    for (size_t i = 0; i < tables_.size(); ++i) {
      plan.sequences.push_back({.tokens = tokens_[i], .position = positions_[i], .pages = &tables_[i]});
    }
    ThreadPool pool(threads);
    PagedAttention attention(BestKernels(), pool, layout_, kHeads, {.scale = 0.2f}, exact);
    attention.Prepare(plan);
    const int64_t floats = plan.tokens() * kRowFloats;
    const std::vector<float> q = RandomFloats(floats, 3);
    std::vector<float> out(floats * layout_.layers());
    for (int layer = 0; layer < layout_.layers(); ++layer) {
      attention.Run(layer, pool_.arena(), {q.data(), kRowFloats, &out[layer * floats], kRowFloats});
    }
    return out;
  }

 private:
  PageId NewPage() {
    const PageId page = pool_.Allocate();
    const std::vector<float> x = RandomFloats(2 * kHeadDim * layout_.page_tokens(), page);
    for (size_t tile = 0; tile < layout_.page_bytes(); tile += 2 * layout_.tile_bytes()) {
      for (int slot = 0; slot < layout_.page_tokens(); ++slot) {
        std::byte* at = pool_.data(page) + tile;
        BestKernels().store_kv(layout_.type(), layout_.page_tokens(), kHeadDim, slot, &x[2 * slot * kHeadDim],
                               &x[(2 * slot + 1) * kHeadDim], at, at + layout_.tile_bytes());
      }
    }
    return page;
  }

  const KvLayout& layout_;
  PagePool pool_;
  std::vector<PageTable> tables_;
  std::vector<std::vector<Token>> tokens_;
  std::vector<int64_t> positions_;
};

class SharedPages : public testing::TestWithParam<std::string> {};

TEST_P(SharedPages, GiveTheBitsOfPagesOfOnesOwn) {
  for (const bool exact : {true, false}) {
    for (const int page_tokens : {16, 48}) {
      const KvLayout layout({{0}, {700}}, kKvHeads, kHeadDim, FindKvType(GetParam()).value(), page_tokens);
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

INSTANTIATE_TEST_SUITE_P(KvTypes, SharedPages, testing::ValuesIn(KvTypeNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace quire
