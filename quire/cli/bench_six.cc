// `quire bench six MODEL --text FILE`: memory, utilisation, latency, throughput, energy and quality of models
// with weights of several types, each with KV of several types. The six of EfficientLLM (Yuan et al. 2025,
// section 3).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "quire/cli/bar_chart.h"
#include "quire/cli/bench_report.h"
#include "quire/cli/energy_meter.h"
#include "quire/cli/forward_bench.h"
#include "quire/cli/kv_comparison.h"
#include "quire/cli/profile_source.h"
#include "quire/cli/progress.h"
#include "quire/cli/quality_bench.h"
#include "quire/cli/text_table.h"
#include "quire/cli/verb.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

constexpr double kMib = 1 << 20;

// Medians over the rounds are taken when they are shown.
struct SixRow {
  SixRow(std::string file, std::string model, std::string kv)
      : file(std::move(file)), model(std::move(model)), kv(std::move(kv)) {}

  std::string file, model, kv;
  int64_t weight_bytes = 0, parameters = 0;
  double kv_bytes_per_token = 0;
  Mean nll;
  std::vector<double> first_token_s, token_s, tokens_per_second, utilisation, bandwidth_share,
      joules_per_token;
};

class BenchSixVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("bench six", "MODEL --text FILE [flags]",
                "Measures memory, utilisation, latency, throughput, energy and perplexity, side by side.");
    bench_.AddModelAndText(flags);
    flags.Add({"--also", &also_, "MODEL", "another model, or other weights of it; repeat it", {}});
    bench_.AddVariants(flags);
    flags.Add({"--texts", &texts_, "N", "pieces of the text, for perplexity", {.min = 1, .max = 1e5}});
    flags.Add(
        {"--tokens", &tokens_, "N", "of each piece, and of a sequence in memory", {.min = 2, .max = 1e6}});
    flags.Add({"-p,--prompt-tokens", &prompt_, "N", "of a prompt that is timed", {.min = 1, .max = 1e6}});
    flags.Add({"-n,--output-tokens", &outputs_, "N", "decode so many", {.min = 1, .max = 1e6}});
    flags.Add({"-b,--batch", &batch_, "N", "sequences that decode together", {.min = 1, .max = 1e4}});
    flags.Add({"-r,--repetitions", &rounds_, "N", "of what is timed, alternating", {.min = 1, .max = 1000}});
    bench_.AddMachineAndResults(flags);
    return flags;
  }

  Result<int> Run() override {
    QUIRE_TRY(bench_.Open());
    std::vector<std::string> models = {bench_.model};
    models.insert(models.end(), also_.begin(), also_.end());
    QUIRE_ASSIGN(machine_, MeasureProfile(bench_.pool().threads(), ""));
    ProgressBar bar("measuring");
    for (int round = 0; round < rounds_; ++round) {
      size_t row = 0;
      for (const std::string& model : models) {
        QUIRE_TRY(bench_.OpenModel(model));
        QUIRE_TRY(bench_.NeedTokens(texts_ * tokens_, "--texts times --tokens"));
        QUIRE_ASSIGN(const std::vector<KvVariant> variants, bench_.Variants());
        for (const KvVariant& variant : variants) {
          bar.Set((round + static_cast<double>(row) / static_cast<double>(variants.size() * models.size())) /
                      rounds_,
                  model);
          if (round == 0) rows_.emplace_back(model, bench_.model_name(), variant.name);
          QUIRE_TRY(Measure(variant, round == 0, rows_[row++]));
        }
      }
    }
    bar.Finish();
    ordered_json json = BenchReport("six", rows_.front().model, bench_.pool(), Settings());
    for (const SixRow& row : rows_) json["results"].push_back(RowJson(row));
    QUIRE_TRY(bench_.WriteResults(Table(), json, Chart()));
    return 0;
  }

 private:
  Status Measure(const KvVariant& variant, bool first, SixRow& row) {
    QUIRE_ASSIGN(const auto model, bench_.Load(variant));
    row.weight_bytes = model->info().weight_bytes;
    row.parameters = model->info().parameters;
    row.kv_bytes_per_token = static_cast<double>(model->kv_layout().BytesPerToken()) * variant.kept_share;
    if (first) QUIRE_TRY(MeasureQuality(*model, variant, row));
    const BenchCase prompt{.prompt_tokens = prompt_}, one{.output_tokens = outputs_, .depth = prompt_},
        many{.batch = batch_, .output_tokens = outputs_, .depth = prompt_};
    QUIRE_ASSIGN(ForwardBench bench,
                 ForwardBench::Create(*model, {prompt, one, many}, QualityBench::kStepTokens));
    const auto speed = [&](const BenchCase& what) { return bench.Run(what, 1, [] {}).tokens_per_second[0]; };
    speed({.prompt_tokens = 16});  // memory and threads are warm afterwards
    EnergyMeter meter;
    const double reading = speed(prompt), writing = speed(one), together = speed(many);
    const auto tokens = static_cast<double>(prompt.tokens() + one.tokens() + many.tokens());
    if (const auto joules = meter.Take()) row.joules_per_token.push_back(*joules / tokens);
    row.first_token_s.push_back(static_cast<double>(prompt_) / reading);
    row.token_s.push_back(1 / writing);
    row.tokens_per_second.push_back(together);
    // Two operations a weight, where all of them are used; the embedding is only looked up.
    row.utilisation.push_back(2 * static_cast<double>(row.parameters) * reading /
                              machine_.OperationsPerSecond(DType::kQ8_0));
    const double read =
        static_cast<double>(row.weight_bytes) + row.kv_bytes_per_token * static_cast<double>(prompt_);
    row.bandwidth_share.push_back(read * writing / machine_.ReadSpeed(read));
    return {};
  }

  Status MeasureQuality(LanguageModel& model, const KvVariant& variant, SixRow& row) {
    QUIRE_ASSIGN(KvSession session,
                 KvSession::Create(model, variant, tokens_ + 1, QualityBench::kStepTokens));
    row.nll = MeanOf(bench_.TextNlls(session, texts_, tokens_));
    return {};
  }

  // The first row of the same model: what compression and perplexity are measured against.
  const SixRow& ReferenceOf(const SixRow& row) const {
    return *std::ranges::find(rows_, row.model, &SixRow::model);
  }
  double Compression(const SixRow& row) const {
    return static_cast<double>(ReferenceOf(row).weight_bytes) / static_cast<double>(row.weight_bytes);
  }
  double PerplexityChange(const SixRow& row) const {
    return std::expm1(row.nll.value - ReferenceOf(row).nll.value);
  }
  double MemoryBytes(const SixRow& row) const {
    return static_cast<double>(row.weight_bytes) + row.kv_bytes_per_token * static_cast<double>(tokens_);
  }

  std::string Table() {
    TextTable table({"model", "file", "KV", "MiB", "multiplied %", "read %", "first token s", "ms/token",
                     "tokens/s", "J/token", "smaller", "perplexity", "change %"});
    for (const SixRow& row : rows_) {
      const auto median = [](const std::vector<double>& values) { return SpreadOf(values).median; };
      table.Add({row.model, row.file.substr(row.file.rfind('/') + 1), row.kv,
                 fmt::format("{:.1f}", MemoryBytes(row) / kMib),
                 fmt::format("{:.0f}", 100 * median(row.utilisation)),
                 fmt::format("{:.0f}", 100 * median(row.bandwidth_share)),
                 fmt::format("{:.3f}", median(row.first_token_s)),
                 fmt::format("{:.1f}", 1000 * median(row.token_s)),
                 fmt::format("{:.1f}", median(row.tokens_per_second)),
                 row.joules_per_token.empty() ? "" : fmt::format("{:.3f}", median(row.joules_per_token)),
                 fmt::format("{:.2f}", Compression(row)), fmt::format("{:.2f}", std::exp(row.nll.value)),
                 fmt::format("{:+.2f}", 100 * PerplexityChange(row))});
    }
    std::string text = fmt::format(
        "{}; {} texts of {} tokens, prompts of {}, decode {} x {} behind them; memory reads {:.1f} GB/s, "
        "int8 {:.0f} Gop/s\n",
        BenchHeading("all", bench_.pool()), texts_, tokens_, prompt_, outputs_, batch_,
        machine_.read.points().back().second / 1e9, machine_.OperationsPerSecond(DType::kQ8_0) / 1e9);
    text += table.Render();
    if (rows_.front().joules_per_token.empty()) {
      text += "energy is not measurable here: /sys/class/powercap has no counter that can be read\n";
    }
    return text;
  }

  ordered_json Settings() const {
    return {{"text", bench_.text()},    {"texts", texts_},           {"tokens", tokens_},
            {"prompt_tokens", prompt_}, {"output_tokens", outputs_}, {"batch", batch_},
            {"repetitions", rounds_}};
  }

  ordered_json RowJson(const SixRow& row) const {
    ordered_json energy;  // null: not measurable here
    if (!row.joules_per_token.empty()) energy = SpreadOf(row.joules_per_token).median;
    return {{"model", row.model},
            {"file", row.file},
            {"kv", row.kv},
            {"weight_bytes", row.weight_bytes},
            {"memory_bytes", MemoryBytes(row)},
            {"utilisation", SpreadOf(row.utilisation).median},
            {"bandwidth_share", SpreadOf(row.bandwidth_share).median},
            {"first_token_seconds", SpreadOf(row.first_token_s).median},
            {"token_seconds", SpreadOf(row.token_s).median},
            {"tokens_per_second", SpreadOf(row.tokens_per_second).median},
            {"joules_per_token", energy},
            {"compression", Compression(row)},
            {"perplexity", std::exp(row.nll.value)},
            {"perplexity_change", PerplexityChange(row)}};
  }

  std::string Chart() const {
    std::vector<Bar> bars;
    for (const SixRow& row : rows_) {
      bars.push_back({fmt::format("{} {}", row.file.substr(row.file.rfind('/') + 1), row.kv),
                      MemoryBytes(row) / kMib, 0, 0});
    }
    return RenderBars("Memory", "MiB", bars);
  }

  QualityBench bench_;
  std::vector<std::string> also_;
  int64_t texts_ = 4, tokens_ = 1024, prompt_ = 512, outputs_ = 64, batch_ = 8;
  int rounds_ = 3;
  MachineProfile machine_;
  std::vector<SixRow> rows_;
};

}  // namespace

std::unique_ptr<Verb> MakeBenchSix() { return std::make_unique<BenchSixVerb>(); }

}  // namespace quire
