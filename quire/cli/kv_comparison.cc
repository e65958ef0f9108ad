#include "quire/cli/kv_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "quire/cli/progress.h"
#include "quire/cli/text_table.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

constexpr double kGib = 1 << 30;
constexpr int64_t kQuestions = TaskMaker::kQuestions;

std::vector<QualityTask> KeyTasks(const TaskMaker& tasks, const KvWork& work) {
  std::vector<QualityTask> made;
  for (int i = 0; i < work.samples; ++i) made.push_back(tasks.PassKey(work.key_tokens, i));
  return made;
}

// A text's facts are all asked, so there are fewer texts than samples.
std::vector<QualityTask> FactTasks(const TaskMaker& tasks, const KvWork& work) {
  std::vector<QualityTask> made;
  for (int i = 0; i < (work.samples + kQuestions - 1) / kQuestions; ++i) {
    made.push_back(tasks.Facts(work.fact_tokens, i));
  }
  return made;
}

std::vector<QualityQuestion> QuestionsOf(const std::vector<QualityTask>& tasks) {
  std::vector<QualityQuestion> questions;
  for (const QualityTask& task : tasks) {
    questions.insert(questions.end(), task.questions.begin(), task.questions.end());
  }
  return questions;
}

std::string Counted(const AnswerCount& count) { return fmt::format("{}/{}", count.right, count.asked); }
std::string Kept(const AnswerCount& count) { return fmt::format("{}/{}", count.kept, count.full_solved); }

ordered_json CountJson(const AnswerCount& count) {
  return {{"asked", count.asked},   {"right", count.right},
          {"solved", count.solved}, {"full_solved", count.full_solved},
          {"kept", count.kept},     {"kept_share", count.kept_share()}};
}

Spread SpreadOrNone(const std::vector<double>& values) {
  return values.empty() ? Spread{} : SpreadOf(values);
}

}  // namespace

Mean MeanOf(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  if (values.empty()) return {};
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() > 1 ? std::sqrt(squares / (n - 1) / n) : 0};
}

CapFigures KvRow::figures() const {
  AnswerCount all = keys;
  all += facts;
  const Spread speed = SpreadOrNone(tokens_per_second);
  return {.tokens_per_gib = kGib / bytes_per_token,
          .solved = all.solved_share(),
          .nll_change = nll_change.value,
          .nll_error = nll_change.error,
          .speed_least = speed.min,
          .speed_most = speed.max};
}

Status KvComparison::Measure(const std::vector<KvVariant>& variants, const KvWork& work) {
  ProgressBar bar("measuring");
  for (const KvVariant& variant : variants) {
    bar.Set(static_cast<double>(rows_.size()) / static_cast<double>(variants.size() + 1), variant.name);
    KvRow row;
    row.variant = variant;
    QUIRE_TRY(MeasureAnswers(row, work));
    rows_.push_back(std::move(row));
    CompareWithFull(rows_.back(), work);
  }
  QUIRE_TRY(MeasureSpeed(work));
  for (KvRow& row : rows_) row.verdict = JudgeCap(full().figures(), row.figures());
  bar.Finish();
  return {};
}

Status KvComparison::MeasureAnswers(KvRow& row, const KvWork& work) {
  QUIRE_ASSIGN(const auto model, bench_.Load(row.variant));
  row.bytes_per_token = static_cast<double>(model->kv_layout().BytesPerToken()) * row.variant.kept_share;
  const std::vector<QualityTask> keys = KeyTasks(bench_.tasks(), work),
                                 facts = FactTasks(bench_.tasks(), work);
  int64_t longest = work.tokens + 1;
  for (const auto* tasks : {&keys, &facts}) {
    for (const QualityTask& task : *tasks) longest = std::max(longest, LongestTokens(task));
  }
  QUIRE_ASSIGN(KvSession session, KvSession::Create(*model, row.variant, longest, QualityBench::kStepTokens));
  row.nlls = bench_.TextNlls(session, work.texts, work.tokens);
  const auto ask = [&](const std::vector<QualityTask>& tasks, std::vector<AnswerScore>& scores) {
    for (const QualityTask& task : tasks) {
      std::ranges::move(AskAll(session, task, TurnMode::kRequests), std::back_inserter(scores));
    }
  };
  ask(keys, row.key_scores);
  ask(facts, row.fact_scores);
  return {};
}

void KvComparison::CompareWithFull(KvRow& row, const KvWork& work) const {
  std::vector<double> changes;
  for (size_t i = 0; i < row.nlls.size(); ++i) changes.push_back(row.nlls[i] - full().nlls[i]);
  row.nll_change = MeanOf(changes);
  row.keys = CountAnswers(QuestionsOf(KeyTasks(bench_.tasks(), work)), full().key_scores, row.key_scores);
  row.facts = CountAnswers(QuestionsOf(FactTasks(bench_.tasks(), work)), full().fact_scores, row.fact_scores);
}

// Every round takes all variants in turn, each loaded anew: only then can their speeds be compared on a
// machine whose neighbours come and go.
Status KvComparison::MeasureSpeed(const KvWork& work) {
  for (int round = 0; round < work.rounds; ++round) {
    for (KvRow& row : rows_) {
      const BenchCase prompt{.prompt_tokens = work.prompt_tokens};
      const auto depth = static_cast<int64_t>(static_cast<double>(work.depth) * row.variant.kept_share);
      const BenchCase decode{.output_tokens = work.output_tokens, .depth = depth};
      QUIRE_ASSIGN(const auto model, bench_.Load(row.variant));
      QUIRE_ASSIGN(ForwardBench bench,
                   ForwardBench::Create(*model, {prompt, decode}, QualityBench::kStepTokens));
      bench.Run({.prompt_tokens = 16}, 1, [] {});  // memory and threads are warm afterwards
      if (work.prompt_tokens > 0) {
        const double speed = bench.Run(prompt, 1, [] {}).tokens_per_second.front();
        row.first_token_s.push_back(static_cast<double>(work.prompt_tokens) / speed);
      }
      if (work.output_tokens > 0) {
        row.tokens_per_second.push_back(bench.Run(decode, 1, [] {}).tokens_per_second.front());
      }
    }
  }
  return {};
}

std::vector<KvVariant> KvComparison::TooGood() const {
  std::vector<KvVariant> variants;
  for (const KvRow& row : rows_) {
    if (row.verdict.all() && !row.measured_again) variants.push_back(row.variant);
  }
  return variants;
}

void KvComparison::Replace(const KvComparison& again) {
  for (const KvRow& measured : again.rows()) {
    if (measured.variant.kv_class == KvClass::kFull) continue;
    KvRow& row =
        *std::ranges::find(rows_, measured.variant.name, [](const KvRow& r) { return r.variant.name; });
    row = measured;
    row.measured_again = true;
  }
}

std::string KvComparison::Table() const {
  TextTable table({"KV", "class", "bytes/token", "of full", "NLL", "change", "+-", "perplexity %",
                   "pass keys", "kept", "facts", "kept", "first token s", "tokens/s", "min", "max",
                   "tokens/GiB", "CAP"});
  for (const KvRow& row : rows_) {
    const Spread speed = SpreadOrNone(row.tokens_per_second);
    table.Add({row.variant.name, std::string(NameOf(row.variant.kv_class)),
               fmt::format("{:.0f}", row.bytes_per_token),
               fmt::format("{:.3f}", row.bytes_per_token / full().bytes_per_token),
               fmt::format("{:.4f}", MeanOf(row.nlls).value), fmt::format("{:+.5f}", row.nll_change.value),
               fmt::format("{:.5f}", row.nll_change.error),
               fmt::format("{:+.2f}", 100 * std::expm1(row.nll_change.value)), Counted(row.keys),
               Kept(row.keys), Counted(row.facts), Kept(row.facts),
               fmt::format("{:.3f}", SpreadOrNone(row.first_token_s).median),
               fmt::format("{:.1f}", speed.median), fmt::format("{:.1f}", speed.min),
               fmt::format("{:.1f}", speed.max), fmt::format("{:.0f}", row.figures().tokens_per_gib),
               row.verdict.Letters() + (row.measured_again ? " again" : "")});
  }
  return table.Render();
}

ordered_json KvComparison::Results() const {
  ordered_json results = ordered_json::array();
  for (const KvRow& row : rows_) {
    const Spread speed = SpreadOrNone(row.tokens_per_second);
    results.push_back({{"kv", row.variant.name},
                       {"class", NameOf(row.variant.kv_class)},
                       {"bytes_per_token", row.bytes_per_token},
                       {"share_of_full", row.bytes_per_token / full().bytes_per_token},
                       {"tokens_per_gib", row.figures().tokens_per_gib},
                       {"nll", MeanOf(row.nlls).value},
                       {"nll_change", row.nll_change.value},
                       {"nll_change_error", row.nll_change.error},
                       {"perplexity_change", std::expm1(row.nll_change.value)},
                       {"pass_keys", CountJson(row.keys)},
                       {"facts", CountJson(row.facts)},
                       {"first_token_seconds", row.first_token_s},
                       {"tokens_per_second", speed.median},
                       {"min", speed.min},
                       {"max", speed.max},
                       {"rounds", row.tokens_per_second},
                       {"improves",
                        {{"context", row.verdict.context},
                         {"accuracy", row.verdict.accuracy},
                         {"performance", row.verdict.performance}}},
                       {"measured_again", row.measured_again}});
  }
  return results;
}

}  // namespace quire
