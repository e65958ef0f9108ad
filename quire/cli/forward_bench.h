// Times forward passes of a model on pages of its own, without server, engine or sampler. The tokens that a
// sequence "already has" are random keys and values: attention takes the same time over them, and a depth of
// 100,000 is there at once.
#ifndef QUIRE_CLI_FORWARD_BENCH_H_
#define QUIRE_CLI_FORWARD_BENCH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/base/result.h"
#include "quire/kv/kv_cache.h"
#include "quire/model/language_model.h"

namespace quire {

// One thing to measure: `batch` sequences that already have `depth` tokens each compute a prompt of
// `prompt_tokens`, or decode `output_tokens` one by one, together.
struct BenchCase {
  int64_t batch = 1;
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  int64_t depth = 0;
  int64_t shared_tokens = 0;  // of the depth: so many, in whole pages, are on the same pages for all
  bool flushed = false;  // before every decode step, which is timed without that, the caches lose the weights

  // "prefill 512", "decode 128", "decode 128 x 4", with " at 4096" for the depth, ", 2048
  // shared", " flushed".
  std::string Name() const;
  int64_t tokens() const { return batch * (prompt_tokens + output_tokens); }
  int64_t longest() const { return depth + prompt_tokens + output_tokens; }
};

struct BenchResult {
  BenchCase what;
  std::vector<double> tokens_per_second;  // by repetition
  std::vector<double> step_seconds;       // of all steps that decoded
};

struct Spread {
  double median = 0, min = 0, max = 0;
};
// REQUIRES: there is at least one value.
Spread SpreadOf(std::vector<double> values);

// Pages for `sequences` of a model, `pages` of them in all. Errors: kResourceExhausted where memory lacks.
Result<std::unique_ptr<KvCache>> MakeBenchCache(const LanguageModel& model, const std::string& kv_layout,
                                                int64_t pages, int64_t longest, int64_t sequences);

class ForwardBench {
 public:
  // Makes pages for the largest of `cases`, laid out as `kv_layout` says (see MakeKvCache). `step_tokens` is
  // the largest piece of a prompt. Errors: kInvalidArgument for a case beyond the model's context,
  // kResourceExhausted where memory lacks.
  static Result<ForwardBench> Create(LanguageModel& model, const std::vector<BenchCase>& cases,
                                     int64_t step_tokens, const std::string& kv_layout = "paged");

  // `done` is called after every repetition.
  BenchResult Run(const BenchCase& what, int repetitions, const std::function<void()>& done);

 private:
  ForwardBench(LanguageModel& model, std::unique_ptr<KvCache> cache, int64_t step_tokens);

  // Computes `tokens` more tokens of every table: in pieces, or one by one. Returns the seconds it took.
  double Prefill(std::vector<PageTable>& tables, int64_t tokens);
  double Decode(std::vector<PageTable>& tables, int64_t tokens, bool flushed, BenchResult& result);
  void FlushCaches();
  // A sequence that goes on from `table` to `depth` tokens.
  PageTable Fill(PageTable table, int64_t depth);
  void Reserve(PageTable& table, int64_t tokens);

  LanguageModel& model_;
  std::unique_ptr<KvCache> cache_;
  int64_t step_tokens_;
  std::vector<Token> tokens_;                     // what is computed: any ids serve
  AlignedBuffer other_data_;                      // more than the caches hold; empty while nothing is flushed
  std::vector<std::vector<std::byte>> kv_pages_;  // by layer group: what a page of earlier tokens holds
};

}  // namespace quire

#endif  // QUIRE_CLI_FORWARD_BENCH_H_
