// `quire bench kv MODEL --text FILE`: what each type of KV pages costs and what it does to answers.
#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

#include "quire/cli/forward_bench.h"
#include "quire/cli/generate.h"
#include "quire/cli/kv_quality.h"
#include "quire/cli/model_path.h"
#include "quire/cli/progress.h"
#include "quire/cli/text_table.h"
#include "quire/cli/user_folders.h"
#include "quire/cli/verb.h"
#include "quire/kernels/kv_codec.h"
#include "quire/model/transformer.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

constexpr int64_t kStepTokens = 512;
constexpr int64_t kKeyTokens = 8;  // enough for five digits and a space, however they are cut

struct Mean {
  double value = 0;
  double error = 0;  // standard error
};

Mean MeanOf(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  if (values.empty()) return {};
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() > 1 ? std::sqrt(squares / (n - 1) / n) : 0};
}

// One row of the result.
struct KvRow {
  std::string type;
  size_t bytes_per_token = 0;
  std::vector<double> nlls;  // by token of all texts
  Mean change;               // against the first row, token by token
  int64_t keys_found = 0;
  Spread decode;
};

class BenchKvVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("bench kv", "MODEL --text FILE [flags]",
                "Measures what each type of KV pages takes, how fast it is, and what it does to answers.");
    flags.Add({"MODEL", &model_, "", "a file, a folder, or a name from quire pull", {}, true});
    flags.Add({"--text", &text_, "FILE", "plain text that the model has to follow", {}, true});
    flags.Add({"--texts", &texts_, "N", "pieces of it, evenly spread", {.min = 1, .max = 1e5}});
    flags.Add({"--tokens", &tokens_, "N", "of each piece", {.min = 2, .max = 1e6}});
    flags.Add(
        {"--pass-keys", &keys_, "N", "five digits hidden in the text; 0: none", {.min = 0, .max = 1e5}});
    flags.Add({"--pass-key-tokens", &key_tokens_, "N", "that hide a pass key", {.min = 64, .max = 1e6}});
    flags.Add({"-n,--output-tokens", &outputs_, "N", "decode so many; 0: none", {.min = 0, .max = 1e6}});
    flags.Add({"-d,--depth", &depth_, "N", "tokens there before (random KV)", {.min = 0, .max = 1e7}});
    flags.Add({"-r,--repetitions", &repetitions_, "N", "of the decoding", {.min = 1, .max = 1000}});
    flags.Add({"--page-tokens",
               &page_tokens_,
               "N",
               "tokens per KV page, a multiple of 16",
               {.min = 16, .max = 1024}});
    flags.Add({"--threads",
               &threads_,
               "N",
               "compute threads; default: usable processors",
               {.min = 0, .max = 1024}});
    flags.Add({"--json", &json_, "FILE", "also write the results there; -: only them, to standard output"});
    return flags;
  }

  Result<int> Run() override {
    QUIRE_TRY(CheckPageTokens(page_tokens_));
    QUIRE_ASSIGN(const std::string path, ResolveModel(model_, ModelCacheFolder()));
    QUIRE_ASSIGN(files_, ModelFiles::Open(path));
    QUIRE_ASSIGN(tokenizer_, Tokenizer::Load(*files_));
    QUIRE_TRY(ReadText());
    ThreadPool pool(threads_ > 0 ? threads_ : UsableProcessors());
    std::vector<KvRow> rows;
    ProgressBar bar("measuring");
    for (const auto& [name, type] : KvTypes()) {
      bar.Set(static_cast<double>(rows.size()) / static_cast<double>(KvTypes().size()), std::string(name));
      QUIRE_ASSIGN(KvRow row, Measure(std::string(name), type, pool));
      const std::vector<double>& full = rows.empty() ? row.nlls : rows.front().nlls;
      std::vector<double> changes;
      for (size_t i = 0; i < full.size(); ++i) changes.push_back(row.nlls[i] - full[i]);
      row.change = MeanOf(changes);
      rows.push_back(std::move(row));
    }
    bar.Finish();
    if (json_ != "-") QUIRE_TRY(WriteOut(Table(rows, pool)));
    if (!json_.empty()) QUIRE_TRY(WriteJsonTo(json_, Json(rows, pool)));
    return 0;
  }

 private:
  Status ReadText() {
    std::ifstream file(text_, std::ios::binary);
    if (!file) return Fail(ErrorCode::kIo, "{}: cannot read the text; --text names a file", text_);
    const std::string text(std::istreambuf_iterator<char>(file), {});
    filler_ = tokenizer_->Encode(text, {.add_special = false});
    if (std::ssize(filler_) < texts_ * tokens_ || std::ssize(filler_) < key_tokens_) {
      return Fail(
          ErrorCode::kInvalidArgument,
          "{} has {} tokens, fewer than --texts {} times --tokens {} or --pass-key-tokens {}; ask for less",
          text_, filler_.size(), texts_, tokens_, key_tokens_);
    }
    return {};
  }

  Result<KvRow> Measure(const std::string& name, DType type, ThreadPool& pool) {
    ModelOptions options;
    options.kv_type = type;
    options.page_tokens = page_tokens_;
    options.max_step_tokens = kStepTokens;
    QUIRE_ASSIGN(const auto model, LoadTransformer(files_, options, BestKernels(), pool));
    model_name_ = model->info().name;
    KvRow row;
    row.type = name;
    row.bytes_per_token = model->kv_layout().BytesPerToken();
    QUIRE_TRY(MeasureQuality(*model, row));
    if (outputs_ > 0) {
      const BenchCase decode{.output_tokens = outputs_, .depth = depth_};
      QUIRE_ASSIGN(ForwardBench bench, ForwardBench::Create(*model, {decode}, kStepTokens));
      row.decode = SpreadOf(bench.Run(decode, repetitions_, [] {}).tokens_per_second);
    }
    return row;
  }

  Status MeasureQuality(LanguageModel& model, KvRow& row) {
    const std::vector<Token> start = tokenizer_->Encode("", {});
    const int64_t longest = std::max(tokens_ + std::ssize(start), keys_ > 0 ? key_tokens_ + kKeyTokens : 0);
    QUIRE_ASSIGN(KvQuality quality, KvQuality::Create(model, longest, kStepTokens));
    const int64_t apart = std::ssize(filler_) / texts_;
    for (int64_t i = 0; i < texts_; ++i) {
      std::vector<Token> text = start;
      text.insert(text.end(), filler_.begin() + i * apart, filler_.begin() + i * apart + tokens_);
      const std::vector<double> nlls = quality.NegativeLogLikelihoods(text);
      row.nlls.insert(row.nlls.end(), nlls.begin(), nlls.end());
    }
    for (int i = 0; i < keys_; ++i) {
      const PassKey key = MakePassKey(*tokenizer_, filler_, key_tokens_, i);
      row.keys_found += Found(*tokenizer_, key, quality.Continue(key.prompt, kKeyTokens)) ? 1 : 0;
    }
    return {};
  }

  static double ShareOfF16(const std::vector<KvRow>& rows, const KvRow& row) {
    for (const KvRow& other : rows) {
      if (other.type == "f16") {
        return static_cast<double>(row.bytes_per_token) / static_cast<double>(other.bytes_per_token);
      }
    }
    return 0;
  }

  std::string Table(const std::vector<KvRow>& rows, const ThreadPool& pool) const {
    TextTable table({"KV", "bytes/token", "of f16", "NLL", "change", "+-", "perplexity %", "pass keys",
                     "tokens/s", "min", "max"});
    for (const KvRow& row : rows) {
      table.Add({row.type, fmt::format("{}", row.bytes_per_token),
                 fmt::format("{:.3f}", ShareOfF16(rows, row)), fmt::format("{:.4f}", MeanOf(row.nlls).value),
                 fmt::format("{:+.5f}", row.change.value), fmt::format("{:.5f}", row.change.error),
                 fmt::format("{:+.2f}", 100 * std::expm1(row.change.value)),
                 fmt::format("{}/{}", row.keys_found, keys_), fmt::format("{:.1f}", row.decode.median),
                 fmt::format("{:.1f}", row.decode.min), fmt::format("{:.1f}", row.decode.max)});
    }
    return fmt::format(
               "{}, {} kernels, {} threads; {} texts of {} tokens, pass keys in {}, decode {} at {}, medians "
               "of {}\n",
               model_name_, BestKernels().name, pool.threads(), texts_, tokens_, key_tokens_, outputs_,
               depth_, repetitions_) +
           table.Render();
  }

  ordered_json Json(const std::vector<KvRow>& rows, const ThreadPool& pool) const {
    ordered_json json = {{"model", model_name_},      {"kernels", BestKernels().name},
                         {"threads", pool.threads()}, {"text", text_},
                         {"texts", texts_},           {"tokens", tokens_},
                         {"pass_keys", keys_},        {"pass_key_tokens", key_tokens_},
                         {"depth", depth_},           {"results", ordered_json::array()}};
    for (const KvRow& row : rows) {
      json["results"].push_back({{"kv_type", row.type},
                                 {"bytes_per_token", row.bytes_per_token},
                                 {"share_of_f16", ShareOfF16(rows, row)},
                                 {"nll", MeanOf(row.nlls).value},
                                 {"nll_change", row.change.value},
                                 {"nll_change_error", row.change.error},
                                 {"perplexity_change", std::expm1(row.change.value)},
                                 {"pass_keys_found", row.keys_found},
                                 {"tokens_per_second", row.decode.median},
                                 {"min", row.decode.min},
                                 {"max", row.decode.max}});
    }
    return json;
  }

  std::shared_ptr<const ModelFiles> files_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<Token> filler_;
  std::string model_, model_name_, text_, json_;
  int64_t texts_ = 8, tokens_ = 1024, key_tokens_ = 2048, outputs_ = 64, depth_ = 4096;
  int keys_ = 10, repetitions_ = 3, threads_ = 0, page_tokens_ = 16;
};

}  // namespace

std::unique_ptr<Verb> MakeBenchKv() { return std::make_unique<BenchKvVerb>(); }

}  // namespace quire
