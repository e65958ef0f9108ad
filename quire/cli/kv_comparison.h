// What each way to keep KV costs, how fast it is, and what it does to answers: measured beside the full f16
// cache, and judged by what it improves over that.
#ifndef QUIRE_CLI_KV_COMPARISON_H_
#define QUIRE_CLI_KV_COMPARISON_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "quire/cli/forward_bench.h"
#include "quire/cli/quality_bench.h"
#include "quire/sim/quality/cap_verdict.h"
#include "quire/sim/quality/kv_variant.h"
#include "quire/sim/quality/quality_run.h"

namespace quire {

struct Mean {
  double value = 0;
  double error = 0;  // standard error
};
Mean MeanOf(const std::vector<double>& values);

struct KvWork {
  int64_t texts = 8, tokens = 1024;  // for likelihoods
  int64_t samples = 20;              // of pass keys, and of facts asked
  int64_t key_tokens = 2048, fact_tokens = 1024;
  int64_t prompt_tokens = 512;               // to the first token
  int64_t output_tokens = 64, depth = 4096;  // decoded behind
  int rounds = 3;                            // of both, alternating
};

struct KvRow {
  KvVariant variant;
  double bytes_per_token = 0;  // of a long text, with what leaves counted as gone
  std::vector<double> nlls;    // by token of all texts
  Mean nll_change;             // against the full cache, token by token
  std::vector<AnswerScore> key_scores, fact_scores;
  AnswerCount keys, facts;
  std::vector<double> first_token_s, tokens_per_second;  // by round
  CapVerdict verdict;                                    // against the full cache of the same measurement
  bool measured_again = false;

  CapFigures figures() const;
};

// The full cache first.
class KvComparison {
 public:
  explicit KvComparison(QualityBench& bench) : bench_(bench) {}

  // Measures `variants`, whose first is the full cache. Errors: those of loading and of KvSession.
  Status Measure(const std::vector<KvVariant>& variants, const KvWork& work);

  const std::vector<KvRow>& rows() const { return rows_; }
  const KvRow& full() const { return rows_.front(); }
  // The variants that seem to improve all three, and were not measured again.
  std::vector<KvVariant> TooGood() const;
  // Puts in what was measured again with more work.
  void Replace(const KvComparison& again);

  std::string Table() const;
  nlohmann::ordered_json Results() const;

 private:
  Status MeasureAnswers(KvRow& row, const KvWork& work);
  Status MeasureSpeed(const KvWork& work);
  void CompareWithFull(KvRow& row, const KvWork& work) const;

  QualityBench& bench_;
  std::vector<KvRow> rows_;
};

}  // namespace quire

#endif  // QUIRE_CLI_KV_COMPARISON_H_
