// Attention on this machine, as the model calls it: `attention_bench types|shared|onepass [threads]`.
//
//   types    one sequence decodes behind 4,096 tokens: every type of KV pages against f16
//   shared   32 sequences decode behind a prompt that they share, against pages of their own
//   onepass  one head over a prompt, against a version that writes all scores down, and what a model of the
//            two says from the time of their parts
//
// Alternating rounds; ratios of the medians with those of single rounds beside them. With one thread, the
// default, times are the processor's for that thread, so that a busy machine matters little.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <string_view>

#include "quire/base/thread_pool.h"
#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"
#include "quire/kernels/random_weights.h"
#include "quire/model/attention.h"

namespace quire {
namespace {

struct Shape {
  std::string_view name;
  int heads, kv_heads, head_dim;
};
constexpr Shape kShapes[] = {{"SmolLM2-135M", 9, 3, 64}, {"1B", 32, 8, 64}};
constexpr int kPageTokens = 16;
constexpr int kRounds = 5;

double SecondsOf(ThreadPool& pool, const std::function<void()>& call) {
  const auto now = [&] {
    timespec t;
    clock_gettime(pool.threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  const double start = now();
  call();
  return now() - start;
}

struct Ratio {
  double median, min, max;
};
Ratio RatioOf(std::vector<double> numerators, const std::vector<double>& denominators) {
  for (size_t i = 0; i < numerators.size(); ++i) numerators[i] /= denominators[i];
  std::ranges::sort(numerators);
  return {numerators[numerators.size() / 2], numerators.front(), numerators.back()};
}

// Sequences that decode one token each behind `depth` tokens, in enough layers that the caches do not hold
// what is read; all on the same pages but for their last, or each on its own.
class Decode {
 public:
  Decode(ThreadPool& pool, const Shape& shape, DType type, int64_t sequences, int64_t depth, bool shared)
      : layout_(std::vector<LayerKv>(LayersFor(shape, sequences * depth)), shape.kv_heads, shape.head_dim,
                type, kPageTokens),
        pages_(
            PagePool::Create((PagesFor(sequences, depth, shared))*layout_.page_bytes(), layout_.page_bytes())
                .value()),
        attention_(BestKernels(), pool, layout_, shape.heads, {.scale = 0.125f}, false),
        row_floats_(shape.heads * shape.head_dim),
        q_(RandomFloats(sequences * row_floats_, 3)),
        out_(q_.size()),
        tables_(sequences) {
    for (PageTable& table : tables_) {
      std::vector<PageId>& group = table.groups.emplace_back();
      for (int64_t page = 0; page < depth / kPageTokens; ++page) {
        group.push_back(shared && &table != tables_.data() ? tables_[0].groups[0][page] : NewPage());
      }
      group.push_back(NewPage());
      step_.sequences.push_back({.tokens = {&token_, 1}, .position = depth, .pages = &table});
    }
    attention_.Prepare(step_);
  }

  void Run() {
    for (int layer = 0; layer < layout_.layers(); ++layer) {
      attention_.Run(layer, pages_.arena(), {q_.data(), row_floats_, out_.data(), row_floats_});
    }
  }
  double bytes_read() const { return static_cast<double>(attention_.BytesRead()); }
  // Of the KV of all sequences.
  double page_bytes() const { return static_cast<double>(pages_.used_pages() * pages_.page_bytes()); }

 private:
  static int64_t LayersFor(const Shape& shape, int64_t tokens) {
    constexpr int64_t kBytes = int64_t{96} << 20;
    return std::max<int64_t>(1, kBytes / (tokens * shape.kv_heads * shape.head_dim * 4));
  }
  static int64_t PagesFor(int64_t sequences, int64_t depth, bool shared) {
    return (shared ? 1 : sequences) * depth / kPageTokens + sequences;
  }
  PageId NewPage() {
    const PageId page = pages_.Allocate();
    std::ranges::copy(RandomPage(), pages_.data(page));
    return page;
  }
  const std::vector<std::byte>& RandomPage() {
    if (!page_.empty()) return page_;
    page_.resize(layout_.page_bytes());
    const std::vector<float> x = RandomFloats(2 * layout_.head_dim() * kPageTokens, 1);
    for (size_t tile = 0; tile < page_.size(); tile += 2 * layout_.tile_bytes()) {
      for (int slot = 0; slot < kPageTokens; ++slot) {
        BestKernels().store_kv(layout_.type(), kPageTokens, layout_.head_dim(), slot,
                               &x[2 * slot * layout_.head_dim()], &x[(2 * slot + 1) * layout_.head_dim()],
                               &page_[tile], &page_[tile + layout_.tile_bytes()]);
      }
    }
    return page_;
  }

  KvLayout layout_;
  PagePool pages_;
  PagedAttention attention_;
  int64_t row_floats_;
  std::vector<float> q_, out_;
  std::vector<PageTable> tables_;
  std::vector<std::byte> page_;
  Token token_ = 1;
  StepPlan step_;
};

void BenchTypes(ThreadPool& pool) {
  for (const Shape& shape : kShapes) {
    std::map<std::string_view, std::vector<double>> seconds;
    std::map<std::string_view, double> bytes;
    std::map<std::string_view, std::unique_ptr<Decode>> decodes;
    for (const auto& [name, type] : KvTypes()) {
      decodes[name] = std::make_unique<Decode>(pool, shape, type, 1, 4096, false);
      decodes[name]->Run();
    }
    for (int round = 0; round < kRounds; ++round) {
      for (auto& [name, decode] : decodes) seconds[name].push_back(SecondsOf(pool, [&] { decode->Run(); }));
    }
    for (const auto& [name, type] : KvTypes()) {
      const Ratio ratio = RatioOf(seconds["f16"], seconds[name]);
      fmt::print("types {}: {} {:.2f} ({:.2f}..{:.2f}) times as fast as f16, {:.1f} GB/s\n", shape.name, name,
                 ratio.median, ratio.min, ratio.max,
                 decodes[name]->bytes_read() / *std::ranges::min_element(seconds[name]) / 1e9);
    }
  }
}

void BenchShared(ThreadPool& pool) {
  constexpr int64_t kSequences = 32;
  for (const Shape& shape : kShapes) {
    for (const int64_t depth : {1024, 2048, 4096}) {
      Decode own(pool, shape, DType::kF16, kSequences, depth, false);
      Decode shared(pool, shape, DType::kF16, kSequences, depth, true);
      Decode one(pool, shape, DType::kF16, 1, depth, false);
      own.Run(), shared.Run();
      std::vector<double> own_s, shared_s;
      for (int round = 0; round < kRounds; ++round) {
        own_s.push_back(SecondsOf(pool, [&] { own.Run(); }));
        shared_s.push_back(SecondsOf(pool, [&] { shared.Run(); }));
      }
      const Ratio ratio = RatioOf(own_s, shared_s);
      fmt::print(
          "shared {}, {} sequences, {} tokens: {:.2f} ({:.2f}..{:.2f}) times as fast, reads {:.3f} of own "
          "pages, holds {:.3f}\n",
          shape.name, kSequences, depth, ratio.median, ratio.min, ratio.max,
          shared.bytes_read() / own.bytes_read(), shared.page_bytes() / own.page_bytes());
    }
  }
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) {
  using namespace quire;
  ThreadPool pool(argc > 2 ? std::max(1, std::atoi(argv[2])) : 1);
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "types")
    BenchTypes(pool);
  else
    BenchShared(pool);
}
