// `quire bench saliency MODEL --text FILE`: which pages of a prompt its answer leans on.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "quire/cli/bar_chart.h"
#include "quire/cli/bench_report.h"
#include "quire/cli/progress.h"
#include "quire/cli/quality_bench.h"
#include "quire/cli/verb.h"
#include "quire/sim/quality/quality_run.h"
#include "quire/sim/quality/saliency.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

constexpr int kBarWidth = 40;
constexpr int kShownBytes = 48;

// What one prompt's map shows.
struct SaliencyRow {
  SaliencyMap map;
  bool evidence_first = false;
  bool solved = false;
  double twin_rise = 0;  // where the prompt is computed anew without the largest bar's tokens
};

class BenchSaliencyVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags(
        "bench saliency", "MODEL --text FILE [flags]",
        "Shows which pages of a prompt its answer leans on: how much less likely it gets without them.");
    bench_.AddModelAndText(flags);
    flags.Add(
        {"--ask", &ask_, "TEXT", "a question about the whole text, instead of pass keys hidden in it", {}});
    flags.Add({"--answer", &answer_, "TEXT", "its answer, with the space in front that it needs", {}});
    flags.Add({"--samples", &samples_, "N", "pass keys hidden in the text", {.min = 1, .max = 1e5}});
    flags.Add({"--tokens", &tokens_, "N", "that hide a pass key", {.min = 128, .max = 1e6}});
    flags.Add({"--group", &group_pages_, "N", "pages that are left out together", {.min = 1, .max = 1e4}});
    flags.Add({"--stride",
               &stride_,
               "N",
               "pages from one group to the next; default: half",
               {.min = 0, .max = 1e4}});
    bench_.AddMachineAndResults(flags);
    return flags;
  }

  Result<int> Run() override {
    if (ask_.empty() != answer_.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "--ask and --answer belong together; give both or none");
    }
    QUIRE_TRY(bench_.Open());
    QUIRE_TRY(MakeTasks());
    const KvVariant full = KvVariants().front();
    int64_t longest = 0;
    for (const QualityTask& task : tasks_) longest = std::max(longest, LongestTokens(task));
    QUIRE_ASSIGN(const auto model, bench_.Load(full));
    QUIRE_ASSIGN(KvSession session, KvSession::Create(*model, full, longest, QualityBench::kStepTokens));
    std::vector<SaliencyRow> rows;
    ProgressBar bar("leaving pages out");
    for (const QualityTask& task : tasks_) {
      bar.Set(static_cast<double>(rows.size()) / static_cast<double>(tasks_.size()));
      rows.push_back(Look(session, task));
    }
    bar.Finish();
    page_tokens_ = session.page_tokens();
    ordered_json json = BenchReport("saliency", bench_.model_name(), bench_.pool(), Settings());
    for (size_t i = 0; i < rows.size(); ++i) json["results"].push_back(RowJson(tasks_[i], rows[i]));
    QUIRE_TRY(bench_.WriteResults(View(rows), json, Chart(rows.front())));
    return 0;
  }

 private:
  Status MakeTasks() {
    if (ask_.empty()) {
      QUIRE_TRY(bench_.NeedTokens(tokens_, "--tokens"));
      for (int i = 0; i < samples_; ++i) tasks_.push_back(bench_.tasks().PassKey(tokens_, i));
      return {};
    }
    QualityTask& task = tasks_.emplace_back();
    task.context = bench_.tokenizer().Encode("", {});
    const std::vector<Token>& text = bench_.tasks().filler();
    task.context.insert(task.context.end(), text.begin(), text.end());
    QualityQuestion& question = task.questions.emplace_back();
    question.ask = bench_.tokenizer().Encode(ask_, {.add_special = false});
    question.answers.push_back(bench_.tokenizer().Encode(answer_, {.add_special = false}));
    if (question.ask.empty() || question.answers[0].empty() ||
        std::ssize(question.ask) + std::ssize(question.answers[0]) >= KvSession::kQuestionTokens) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--ask and --answer together must have fewer than {} tokens, and each at least one",
                  KvSession::kQuestionTokens);
    }
    return {};
  }

  SaliencyRow Look(KvSession& session, const QualityTask& task) const {
    const QualityQuestion& question = task.questions.front();
    SaliencyRow row;
    session.Read(task.context);
    row.solved = IsSolved(question, session.Ask(question));
    const int64_t stride = stride_ > 0 ? stride_ : std::max<int64_t>(1, group_pages_ / 2);
    const std::vector<PageRange> groups = PageGroups(session.full_pages(), group_pages_, stride);
    row.map = MakeSaliencyMap(session, question, groups);
    session.Forget();
    if (row.map.bars.empty()) return row;
    const PageRange& largest = row.map.largest().pages;
    row.evidence_first = Overlaps(largest, session.page_tokens(), question.evidence);
    row.twin_rise = TwinNll(session, task, largest) - row.map.nll;
    return row;
  }

  // Of the answer, when the tokens of `pages` were never there.
  static double TwinNll(KvSession& session, const QualityTask& task, const PageRange& pages) {
    std::vector<Token> partial = task.context;
    partial.erase(partial.begin() + pages.begin * session.page_tokens(),
                  partial.begin() + pages.end * session.page_tokens());
    session.Read(partial);
    const PageRange nothing{};
    const double nll = session.AskWithout(task.questions.front(), {&nothing, 1}).front();
    session.Forget();
    return nll;
  }

  ordered_json Settings() const {
    return {{"text", bench_.text()}, {"ask", ask_},           {"answer", answer_},
            {"tokens", tokens_},     {"group", group_pages_}, {"page_tokens", page_tokens_}};
  }

  ordered_json RowJson(const QualityTask& task, const SaliencyRow& row) const {
    ordered_json bars = ordered_json::array(), evidence = ordered_json::array();
    for (const SaliencyBar& bar : row.map.bars) {
      bars.push_back({{"page", bar.pages.begin}, {"end", bar.pages.end}, {"nll_rise", bar.nll_rise}});
    }
    for (const Passage& passage : task.questions.front().evidence) {
      evidence.push_back({{"token", passage.begin}, {"end", passage.end}});
    }
    return {{"nll", row.map.nll},   {"solved", row.solved},       {"evidence_first", row.evidence_first},
            {"evidence", evidence}, {"twin_rise", row.twin_rise}, {"bars", bars}};
  }

  // The first prompt's map, and how often the evidence comes first.
  std::string View(const std::vector<SaliencyRow>& rows) {
    const SaliencyRow& first = rows.front();
    std::string text = fmt::format("{}; nll of the answer {:.3f}, and what is added without the pages of\n",
                                   BenchHeading(bench_.model_name(), bench_.pool()), first.map.nll);
    double most = 1e-9;
    for (const SaliencyBar& bar : first.map.bars) most = std::max(most, bar.nll_rise);
    for (const SaliencyBar& bar : first.map.bars) {
      const auto width = static_cast<size_t>(std::lround(kBarWidth * std::max(0.0, bar.nll_rise) / most));
      text += fmt::format("  {:>5}..{:<5}{:>8.3f}  {:<{}}  {}\n", bar.pages.begin, bar.pages.end - 1,
                          bar.nll_rise, std::string(width, '#'), kBarWidth, Shown(bar.pages));
    }
    if (!first.map.bars.empty()) {
      text += fmt::format("the prompt without the tokens of the largest: {:+.3f}\n", first.twin_rise);
    }
    if (!ask_.empty()) return text;
    const auto solved = std::ranges::count_if(rows, &SaliencyRow::solved);
    const auto found =
        std::ranges::count_if(rows, [](const SaliencyRow& row) { return row.solved && row.evidence_first; });
    return text +
           fmt::format("the pass key's pages come first in {} of the {} prompts, of {}, that are solved\n",
                       found, solved, rows.size());
  }

  // The beginning of what stands there in the first prompt, on one line.
  std::string Shown(const PageRange& pages) const {
    const std::span<const Token> tokens(tasks_.front().context);
    std::string text = bench_.tokenizer().Decode(
        tokens.subspan(pages.begin * page_tokens_, (pages.end - pages.begin) * page_tokens_), true);
    std::string line;
    for (const char c : text) {
      if (std::ssize(line) >= kShownBytes) break;
      line += static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) > 126 ? ' ' : c;
    }
    return line;
  }

  std::string Chart(const SaliencyRow& row) const {
    std::vector<Bar> bars;
    for (const SaliencyBar& bar : row.map.bars) {
      bars.push_back({fmt::format("pages {}..{}", bar.pages.begin, bar.pages.end - 1),
                      std::max(0.0, bar.nll_rise), 0, 0});
    }
    return RenderBars(bench_.model_name() + ": what the answer loses without pages", "nats", bars);
  }

  QualityBench bench_;
  std::string ask_, answer_;
  int samples_ = 1;
  int64_t tokens_ = 1024, group_pages_ = 4, stride_ = 0, page_tokens_ = 16;
  std::vector<QualityTask> tasks_;
};

}  // namespace

std::unique_ptr<Verb> MakeBenchSaliency() { return std::make_unique<BenchSaliencyVerb>(); }

}  // namespace quire
