// `quire bench turns MODEL --text FILE`: what each way to keep KV has left of a text at the first question
// and at the fifth.
#include <fmt/format.h>

#include <array>

#include "quire/cli/bar_chart.h"
#include "quire/cli/bench_report.h"
#include "quire/cli/progress.h"
#include "quire/cli/quality_bench.h"
#include "quire/cli/text_table.h"
#include "quire/cli/verb.h"
#include "quire/sim/quality/quality_run.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

constexpr size_t kTurns = TaskMaker::kQuestions;
constexpr TurnMode kModes[] = {TurnMode::kConversation, TurnMode::kRequests};

struct Kind {
  std::string name;
  std::vector<QualityTask> tasks;
};

// One variant at one kind of task in one mode.
struct TurnRow {
  std::string variant, kv_class, kind;
  TurnMode mode;
  std::vector<AnswerScore> scores;  // task by task, turn by turn
  std::array<AnswerCount, kTurns> turns;
  AnswerCount all;

  // How much of what the full cache solves is kept at the last turn, against the first.
  double last_to_first() const {
    const double first = turns.front().kept_share();
    return first > 0 ? turns.back().kept_share() / first : 0;
  }
};

class BenchTurnsVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("bench turns", "MODEL --text FILE [flags]",
                "Asks five questions about a text, and measures what each way to keep KV still knows.");
    bench_.AddModelAndText(flags);
    bench_.AddExamples(flags);
    bench_.AddVariants(flags);
    flags.Add({"--samples", &samples_, "N", "texts of each kind of task", {.min = 1, .max = 1e5}});
    flags.Add({"--tokens", &tokens_, "N", "of each text", {.min = 512, .max = 1e6}});
    bench_.AddMachineAndResults(flags);
    return flags;
  }

  Result<int> Run() override {
    QUIRE_TRY(bench_.Open());
    QUIRE_TRY(bench_.NeedTokens(tokens_, "--tokens"));
    QUIRE_ASSIGN(const std::vector<KvVariant> variants, bench_.Variants());
    QUIRE_ASSIGN(const std::vector<Kind> kinds, MakeKinds());
    std::vector<TurnRow> rows;
    ProgressBar bar("asking");
    for (size_t i = 0; i < variants.size(); ++i) {
      bar.Set(static_cast<double>(i) / static_cast<double>(variants.size()), variants[i].name);
      QUIRE_TRY(Measure(variants[i], kinds, rows));
    }
    bar.Finish();
    ordered_json json = BenchReport("turns", bench_.model_name(), bench_.pool(),
                                    {{"text", bench_.text()}, {"samples", samples_}, {"tokens", tokens_}});
    json["results"] = Results(rows);
    QUIRE_TRY(bench_.WriteResults(Table(rows), json, Chart(rows)));
    return 0;
  }

 private:
  Result<std::vector<Kind>> MakeKinds() const {
    std::vector<Kind> kinds = {{"facts", {}}, {"articles", {}}, {"mixed", {}}};
    if (bench_.has_examples()) kinds.push_back({"examples", {}});
    const TaskMaker& make = bench_.tasks();
    for (int i = 0; i < samples_; ++i) {
      kinds[0].tasks.push_back(make.Facts(tokens_, i));
      QUIRE_ASSIGN(kinds[1].tasks.emplace_back(), make.Articles(tokens_, i));
      QUIRE_ASSIGN(kinds[2].tasks.emplace_back(), make.Mixed(tokens_, i));
      if (kinds.size() > 3) {
        QUIRE_ASSIGN(kinds[3].tasks.emplace_back(), make.Examples(tokens_, i));
      }
    }
    return kinds;
  }

  // Adds the variant's rows; the first variant's are those of the full cache.
  Status Measure(const KvVariant& variant, const std::vector<Kind>& kinds, std::vector<TurnRow>& rows) {
    int64_t longest = 0;
    for (const Kind& kind : kinds) {
      for (const QualityTask& task : kind.tasks) longest = std::max(longest, LongestTokens(task));
    }
    QUIRE_ASSIGN(const auto model, bench_.Load(variant));
    QUIRE_ASSIGN(KvSession session, KvSession::Create(*model, variant, longest, QualityBench::kStepTokens));
    const size_t cases = kinds.size() * std::size(kModes);
    for (const Kind& kind : kinds) {
      for (const TurnMode mode : kModes) {
        TurnRow row{variant.name, std::string(NameOf(variant.kv_class)), kind.name, mode, {}, {}, {}};
        for (const QualityTask& task : kind.tasks) {
          std::ranges::move(AskAll(session, task, mode), std::back_inserter(row.scores));
        }
        const std::vector<AnswerScore> own = row.scores;
        Count(kind, rows.size() < cases ? own : rows[rows.size() % cases].scores, row);
        rows.push_back(std::move(row));
      }
    }
    return {};
  }

  static void Count(const Kind& kind, const std::vector<AnswerScore>& full, TurnRow& row) {
    for (size_t i = 0; i < row.scores.size(); ++i) {
      const QualityQuestion& question = kind.tasks[i / kTurns].questions[i % kTurns];
      row.turns[i % kTurns].Add(question, full[i], row.scores[i]);
    }
    for (const AnswerCount& turn : row.turns) row.all += turn;
  }

  std::string Table(const std::vector<TurnRow>& rows) {
    TextTable table({"KV", "class", "task", "mode", "right 1", "2", "3", "4", "5", "kept 1", "kept 5",
                     "5 to 1", "kept of full's"});
    for (const TurnRow& row : rows) {
      std::vector<std::string> cells = {row.variant, row.kv_class, row.kind, std::string(NameOf(row.mode))};
      for (const AnswerCount& turn : row.turns) cells.push_back(fmt::format("{:.2f}", turn.right_share()));
      cells.push_back(fmt::format("{}/{}", row.turns.front().kept, row.turns.front().full_solved));
      cells.push_back(fmt::format("{}/{}", row.turns.back().kept, row.turns.back().full_solved));
      cells.push_back(fmt::format("{:.2f}", row.last_to_first()));
      cells.push_back(fmt::format("{:.3f} of {}", row.all.kept_share(), row.all.full_solved));
      table.Add(std::move(cells));
    }
    return fmt::format("{}; {} texts of {} tokens for each kind of task, five questions each\n",
                       BenchHeading(bench_.model_name(), bench_.pool()), samples_, tokens_) +
           table.Render();
  }

  static ordered_json Results(const std::vector<TurnRow>& rows) {
    ordered_json results = ordered_json::array();
    for (const TurnRow& row : rows) {
      ordered_json turns = ordered_json::array();
      for (const AnswerCount& turn : row.turns) {
        turns.push_back({{"asked", turn.asked},
                         {"right", turn.right},
                         {"solved", turn.solved},
                         {"full_solved", turn.full_solved},
                         {"kept", turn.kept}});
      }
      results.push_back({{"kv", row.variant},
                         {"class", row.kv_class},
                         {"task", row.kind},
                         {"mode", NameOf(row.mode)},
                         {"turns", turns},
                         {"right_share", row.all.right_share()},
                         {"kept_share", row.all.kept_share()},
                         {"full_solved", row.all.full_solved},
                         {"last_to_first", row.last_to_first()}});
    }
    return results;
  }

  std::string Chart(const std::vector<TurnRow>& rows) const {
    std::vector<Bar> bars;
    for (const TurnRow& row : rows) {
      bars.push_back(
          {fmt::format("{} {} {}", row.variant, row.kind, row.mode == TurnMode::kRequests ? "req." : "conv."),
           100 * row.all.kept_share(), 0, 0});
    }
    return RenderBars(bench_.model_name() + ": answers of the full cache that are kept", "%", bars);
  }

  QualityBench bench_;
  int samples_ = 10;
  int64_t tokens_ = 1024;
};

}  // namespace

std::unique_ptr<Verb> MakeBenchTurns() { return std::make_unique<BenchTurnsVerb>(); }

}  // namespace quire
