#include "quire/cli/quality_bench.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "quire/cli/generate.h"
#include "quire/cli/model_path.h"
#include "quire/cli/runtime_flags.h"
#include "quire/cli/user_folders.h"
#include "quire/engine/runtime.h"
#include "quire/kernels/kernels.h"
#include "quire/model/config.h"
#include "quire/model/transformer.h"
#include "quire/policies/selection.h"

namespace quire {
namespace {

Result<std::string> ReadFile(const std::string& path, std::string_view flag) {
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file) return Fail(ErrorCode::kIo, "{}: cannot be read; {} names a file", path, flag);
  return text;
}

}  // namespace

void QualityBench::AddModelAndText(Flags& flags) {
  AddModel(flags, &model);
  flags.Add({"--text", &text_, "FILE", "plain text that the model has to follow", {}, true});
}

void QualityBench::AddVariants(Flags& flags) {
  flags.Add(
      {"--kv", &kv, "NAME", "way to keep KV beside f16, or types by layer; repeat it; default: all", {}});
}

void QualityBench::AddExamples(Flags& flags) {
  flags.Add({"--examples", &examples_, "FILE", "JSON lines with category and turns, as of MT-Bench", {}});
}

void QualityBench::AddMachineAndResults(Flags& flags) {
  AddPageTokens(flags, &page_tokens_);
  AddThreads(flags, &threads_);
  flags.Add({"--svg", &svg_, "FILE", "also draw the results there"});
  flags.Add({"--json", &json_, "FILE", "also write the results there; -: only them, to standard output"});
}

Status QualityBench::Open() {
  QUIRE_TRY(CheckPageTokens(page_tokens_));
  pool_.emplace(threads_ > 0 ? threads_ : UsableProcessors());
  return OpenModel(model);
}

Status QualityBench::OpenModel(const std::string& name) {
  QUIRE_ASSIGN(const std::string path, ResolveModel(name, ModelCacheFolder()));
  QUIRE_ASSIGN(files_, ModelFiles::Open(path));
  QUIRE_ASSIGN(const ModelConfig config, ReadModelConfig(*files_));
  model_name_ = config.name;
  has_windows_ = std::ranges::any_of(config.layers, &LayerConfig::window);
  tasks_.reset();  // has the tokenizer
  QUIRE_ASSIGN(tokenizer_, Tokenizer::Load(*files_));
  QUIRE_ASSIGN(const std::string text, ReadFile(text_, "--text"));
  std::vector<Example> examples;
  if (!examples_.empty()) {
    QUIRE_ASSIGN(const std::string lines, ReadFile(examples_, "--examples"));
    QUIRE_ASSIGN(examples, ParseExamples(lines));
  }
  tasks_ = std::make_unique<TaskMaker>(*tokenizer_, text, std::move(examples));
  return {};
}

Result<std::unique_ptr<LanguageModel>> QualityBench::Load(const KvVariant& variant) {
  ModelOptions options;
  options.kv_types = variant.types;
  options.page_tokens = page_tokens_;
  options.max_step_tokens = kStepTokens;
  if (!variant.selection.empty()) {
    QUIRE_ASSIGN(options.selection, MakeSelectionPolicy(variant.selection));
  }
  return LoadTransformer(files_, options, BestKernels(), *pool_);
}

Result<std::vector<KvVariant>> QualityBench::Variants() const {
  QUIRE_ASSIGN(std::vector<KvVariant> variants, ChooseKvVariants(kv));
  if (kv.empty() && has_windows_) {
    std::erase_if(variants, [](const KvVariant& variant) { return variant.leaves != nullptr; });
  }
  return variants;
}

Status QualityBench::NeedTokens(int64_t tokens, std::string_view flags) const {
  if (std::ssize(tasks_->filler()) >= tokens) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} has {} tokens, fewer than the {} of {}; ask for less", text_,
              tasks_->filler().size(), tokens, flags);
}

std::vector<double> QualityBench::TextNlls(KvSession& session, int64_t texts, int64_t tokens) const {
  const std::vector<Token>& filler = tasks_->filler();
  const std::vector<Token> start = tokenizer_->Encode("", {});
  const int64_t apart = std::ssize(filler) / texts;
  std::vector<double> all;
  for (int64_t i = 0; i < texts; ++i) {
    std::vector<Token> text = start;
    text.insert(text.end(), filler.begin() + i * apart, filler.begin() + i * apart + tokens);
    const std::vector<double> nlls = session.NegativeLogLikelihoods(text);
    all.insert(all.end(), nlls.begin(), nlls.end());
  }
  return all;
}

Status QualityBench::WriteResults(const std::string& table, const nlohmann::ordered_json& json,
                                  const std::string& svg) const {
  if (json_ != "-") QUIRE_TRY(WriteOut(table));
  if (!json_.empty()) QUIRE_TRY(WriteJsonTo(json_, json));
  if (!svg_.empty()) QUIRE_TRY(WriteFile(svg_, "chart", svg));
  return {};
}

}  // namespace quire
