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
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/base/thread_pool.h"
#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"
#include "quire/kernels/random_weights.h"
#include "quire/kv/page_pool.h"
#include "quire/kv/random_page.h"
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
      : layout_(std::vector<LayerKv>(LayersFor(shape, sequences * depth), {.type = type}), shape.kv_heads,
                shape.head_dim, kPageTokens),
        page_(RandomPage(layout_, 0)),
        pages_(
            PagePool::Create(PagesFor(sequences, depth, shared) * layout_.page_bytes(), layout_.page_bytes())
                .value()),
        attention_(BestKernels(), pool, {&layout_, 1}, shape.heads, {.scale = 0.125f}, false),
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
    std::ranges::copy(page_, pages_.data(page));
    return page;
  }

  KvLayout layout_;
  std::vector<std::byte> page_;  // what every page holds
  PagePool pages_;
  PagedAttention attention_;
  int64_t row_floats_;
  std::vector<float> q_, out_;
  std::vector<PageTable> tables_;
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

// -- One pass against three -------------------------------------------------------------------------------
constexpr int kHeadDim = 64;
constexpr float kScale = 0.125f;

// x[i] = exp(kScale * (x[i] - max)) / their sum, in vectors: the compiler may not reorder sums, so there are
// as many as a vector has lanes. REQUIRES: n is a multiple of kLanes.
constexpr int64_t kLanes = 16;
__attribute__((target_clones("avx512f", "avx2,fma", "default"), optimize("O3"))) void SoftmaxRow(float* x,
                                                                                                 int64_t n) {
  float maxima[kLanes], sums[kLanes] = {};
  for (int64_t l = 0; l < kLanes; ++l) maxima[l] = x[l];
  for (int64_t i = 0; i < n; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) maxima[l] = x[i + l] > maxima[l] ? x[i + l] : maxima[l];
  }
  const float max = *std::max_element(maxima, maxima + kLanes);
  for (int64_t i = 0; i < n; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) {
      float t = (x[i + l] - max) * (kScale * 1.44269504f);
      t = t > -126.0f ? t : -126.0f;
      const auto whole = static_cast<int32_t>(t - 0.5f);
      const float f = t - static_cast<float>(whole);
      const float p =
          0.99999926f + f * (0.69312181f + f * (0.24024745f + f * (5.591786e-2f + f * 9.57009e-3f)));
      x[i + l] = p * __builtin_bit_cast(float, (whole + 127) << 23);
      sums[l] += x[i + l];
    }
  }
  float total = 0;
  for (const float sum : sums) total += sum;
  const float inverse = 1 / total;
  for (int64_t i = 0; i < n; ++i) x[i] *= inverse;
}

__attribute__((target_clones("avx512f", "avx2,fma", "default"), optimize("O3"))) void ScaleAll(float* x,
                                                                                               int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= 0.5f;
}

// One head of causal attention over a prompt, all scores of it written down: a pass for them, one for the
// softmax and one for the values. The products are those of the weights, on keys and values packed as such. A
// row of scores ends a line after the next one begins to be a power of two away, or all rows would share a
// few sets of the caches; the values are taken in parts whose scores stay in the cache for all dimensions.
class ThreePasses {
 public:
  explicit ThreePasses(int64_t tokens)
      : tokens_(tokens),
        stride_(tokens + kLanes),
        q_(RandomFloats(tokens * kHeadDim, 3)),
        out_(q_.size()),
        scores_(AlignedBuffer::Allocate(tokens * stride_ * sizeof(float)).value()) {
    k_ = Packed(RandomFloats(tokens * kHeadDim, 1), tokens, kHeadDim);
    for (int64_t t = 0; t < tokens; t += kPart) {
      v_.push_back(Packed(RandomFloats(kPart * kHeadDim, 2 + t), kHeadDim, kPart));
    }
  }

  void Run() { Scores(), Softmax(), Values(); }
  void Scores() {
    const PackedMatrix k{DType::kF32, tokens_, kHeadDim, k_.data()};
    for (int64_t t = 0; t < tokens_; t += kRows) {
      BestKernels().matmul_f32(k, 0, (t + kRows) / kPanelRows, &q_[t * kHeadDim], kHeadDim, kRows, row(t),
                               stride_);
    }
  }
  // Behind its own position a row has weights of zero, as far as the values are multiplied.
  void Softmax() {
    for (int64_t t = 0; t < tokens_; ++t) {
      const int64_t lanes = (t / kLanes + 1) * kLanes, end = (t / kPart + 1) * kPart;
      std::fill(row(t) + t + 1, row(t) + lanes, -1e30f);
      SoftmaxRow(row(t), lanes);
      std::fill(row(t) + lanes, row(t) + end, 0.0f);
    }
  }
  void Values() {
    std::vector<float> part(kRows * kHeadDim);
    for (int64_t t = 0; t < tokens_; t += kRows) {
      float* out = &out_[t * kHeadDim];
      std::fill_n(out, part.size(), 0.0f);
      for (int64_t p = 0; p * kPart < t + kRows; ++p) {
        const PackedMatrix v{DType::kF32, kHeadDim, kPart, v_[p].data()};
        BestKernels().matmul_f32(v, 0, v.panels(), row(t) + p * kPart, stride_, kRows, part.data(), kHeadDim);
        for (size_t i = 0; i < part.size(); ++i) out[i] += part[i];
      }
    }
  }
  // That the passes go through.
  double scores() const { return static_cast<double>(tokens_) * static_cast<double>(tokens_ + kRows) / 2; }

 private:
  static constexpr int64_t kRows = 128, kPart = 128;
  static AlignedBuffer Packed(const std::vector<float>& x, int64_t rows, int64_t cols) {
    const auto panels = rows / kPanelRows;
    AlignedBuffer packed = AlignedBuffer::Allocate(panels * PanelBytes(DType::kF32, cols)).value();
    BestKernels().pack(DType::kF32, reinterpret_cast<const std::byte*>(x.data()), rows, cols, 0, panels,
                       packed.data());
    return packed;
  }
  float* row(int64_t t) { return scores_.as<float>() + t * stride_; }

  int64_t tokens_, stride_;
  std::vector<float> q_, out_;
  AlignedBuffer scores_, k_;
  std::vector<AlignedBuffer> v_;  // by part of the positions
};

// The same as the model calls it.
class OnePass {
 public:
  OnePass(ThreadPool& pool, int64_t tokens)
      : layout_({{.type = DType::kF32}}, 1, kHeadDim, kPageTokens),
        pages_(PagePool::Create(tokens / kPageTokens * layout_.page_bytes(), layout_.page_bytes()).value()),
        attention_(BestKernels(), pool, {&layout_, 1}, 1, {.scale = kScale}, true),
        tokens_(tokens, Token{1}),
        q_(RandomFloats(tokens * kHeadDim, 3)),
        out_(q_.size()) {
    std::vector<PageId>& group = table_.groups.emplace_back();
    const std::vector<float> x = RandomFloats(static_cast<int64_t>(layout_.page_bytes() / sizeof(float)), 1);
    for (int64_t page = 0; page < tokens / kPageTokens; ++page) {
      group.push_back(pages_.Allocate());
      std::memcpy(pages_.data(group.back()), x.data(), layout_.page_bytes());
    }
    step_.sequences.push_back({.tokens = tokens_, .position = 0, .pages = &table_});
    attention_.Prepare(step_);
  }
  void Run() { attention_.Run(0, pages_.arena(), {q_.data(), kHeadDim, out_.data(), kHeadDim}); }
  double scratch_bytes() const { return static_cast<double>(attention_.ScratchBytes()); }

 private:
  KvLayout layout_;
  PagePool pages_;
  PagedAttention attention_;
  std::vector<Token> tokens_;
  std::vector<float> q_, out_;
  PageTable table_;
  StepPlan step_;
};

// Seconds to read or to write a byte of memory that no cache holds, in a pass that does both.
double SecondsPerByte(ThreadPool& pool) {
  constexpr int64_t kFloats = int64_t{64} << 20;
  const AlignedBuffer buffer = AlignedBuffer::Allocate(kFloats * sizeof(float)).value();
  float* x = buffer.as<float>();
  std::fill_n(x, kFloats, 1.0f);
  const double seconds = SecondsOf(pool, [&] { ScaleAll(x, kFloats); });
  return seconds / (2.0 * kFloats * sizeof(float));
}

// Both do the same arithmetic, whose cost per score is measured where the scores stay in the cache; three
// passes also fetch and write the line of a score, read and write it, and read it.
void BenchOnePass(ThreadPool& pool) {
  constexpr int64_t kTokens = 16384, kSmall = 512;
  const auto pairs = [](double tokens) { return tokens * (tokens + 1) / 2; };
  const auto fastest = [&](auto& passes) {
    double seconds = 1e9;
    for (int i = 0; i < 20; ++i) seconds = std::min(seconds, SecondsOf(pool, [&] { passes.Run(); }));
    return seconds;
  };
  OnePass one_small(pool, kSmall), one(pool, kTokens);
  ThreePasses three_small(kSmall), three(kTokens);
  one.Run(), three.Run();
  std::vector<double> one_s, three_s, models;
  constexpr double kScoreBytes = 5 * sizeof(float);
  for (int round = 0; round < kRounds; ++round) {
    const double score_s = fastest(three_small) / three_small.scores() + kScoreBytes * SecondsPerByte(pool);
    models.push_back(fastest(one_small) / pairs(kSmall) * pairs(kTokens) / (score_s * three.scores()));
    one_s.push_back(SecondsOf(pool, [&] { one.Run(); }));
    three_s.push_back(SecondsOf(pool, [&] { three.Run(); }));
  }
  std::ranges::sort(models);
  const Ratio ratio = RatioOf(one_s, three_s);
  fmt::print(
      "onepass {} tokens: {:.3f} ({:.3f}..{:.3f}) of the time of three passes, the model says {:.3f} "
      "({:.3f}..{:.3f}); scratch 1/{:.0f}\n",
      kTokens, ratio.median, ratio.min, ratio.max, models[kRounds / 2], models.front(), models.back(),
      static_cast<double>(kTokens) * kTokens * sizeof(float) / one.scratch_bytes());
}

int Main(int argc, char** argv) {
  constexpr std::pair<std::string_view, void (*)(ThreadPool&)> kParts[] = {
      {"types", BenchTypes}, {"shared", BenchShared}, {"onepass", BenchOnePass}};
  ThreadPool pool(argc > 2 ? std::max(1, std::atoi(argv[2])) : 1);
  for (const auto& [name, bench] : kParts) {
    if (argc > 1 && argv[1] == name) return bench(pool), 0;
  }
  fmt::print(stderr, "usage: attention_bench types|shared|onepass [threads]\n");
  return 2;
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) { return quire::Main(argc, argv); }
