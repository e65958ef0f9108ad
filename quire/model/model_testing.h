// What tests of models need around a model: pages, and steps over whole prompts, chunks or single tokens.
#ifndef QUIRE_MODEL_MODEL_TESTING_H_
#define QUIRE_MODEL_MODEL_TESTING_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "quire/base/check.h"
#include "quire/base/thread_pool.h"
#include "quire/files/model_files.h"
#include "quire/kernels/kernels.h"
#include "quire/kv/page_cache.h"
#include "quire/model/transformer.h"

namespace quire::testing {

// A loaded model with page memory of its own.
class TestModel {
 public:
  TestModel(std::unique_ptr<LanguageModel> model, size_t kv_bytes)
      : model_(std::move(model)), cache_(Layouts(*model_), MakePool(*model_, kv_bytes)) {}

  LanguageModel& model() { return *model_; }
  PageCache& cache() { return cache_; }

  // Appends `tokens` to the sequence of `table` in one step; returns the wanted logits, row after row.
  std::vector<std::vector<float>> Step(PageTable& table, std::span<const Token> tokens,
                                       LogitsWanted wanted = LogitsWanted::kAll) {
    StepPlan plan;
    plan.sequences.push_back(Append(table, tokens, wanted));
    return std::move(Run(plan)[0]);
  }

  // Reserves pages for `tokens` and describes their step.
  SequenceStep Append(PageTable& table, std::span<const Token> tokens,
                      LogitsWanted wanted = LogitsWanted::kAll) {
    const int64_t position = table.tokens;
    QUIRE_CHECK(cache_.Reserve(table, std::ssize(tokens)) == Verdict::kGranted);
    return {.tokens = tokens, .position = position, .pages = &table, .logits = wanted};
  }

  // Logits by sequence of the plan.
  std::vector<std::vector<std::vector<float>>> Run(const StepPlan& plan) {
    std::vector<std::vector<std::vector<float>>> logits(plan.sequences.size());
    model_->Forward(plan, cache_.arena(), [&](std::span<LogitsRow> rows) {
      for (const LogitsRow& row : rows) {
        logits[row.sequence].emplace_back(row.logits.begin(), row.logits.end());
      }
    });
    return logits;
  }

  // Logits of every position, computed in chunks of at most `chunk` tokens.
  std::vector<std::vector<float>> Chunked(std::span<const Token> tokens, int64_t chunk) {
    PageTable table;
    std::vector<std::vector<float>> logits;
    for (size_t at = 0; at < tokens.size(); at += chunk) {
      auto part = Step(table, tokens.subspan(at, std::min<size_t>(chunk, tokens.size() - at)));
      std::ranges::move(part, std::back_inserter(logits));
    }
    cache_.Release(table);
    return logits;
  }

 private:
  static std::vector<KvLayout> Layouts(const LanguageModel& model) {
    return {model.kv_layouts().begin(), model.kv_layouts().end()};
  }
  static PagePool MakePool(const LanguageModel& model, size_t bytes) {
    auto pool = PagePool::Create(bytes, model.kv_layout().page_bytes());
    QUIRE_CHECK(pool.has_value());
    return std::move(*pool);
  }

  std::unique_ptr<LanguageModel> model_;
  PageCache cache_;
};

inline Result<std::unique_ptr<LanguageModel>> LoadModel(const std::string& path, const ModelOptions& options,
                                                        ThreadPool& pool,
                                                        const KernelTable& kernels = BestKernels()) {
  QUIRE_ASSIGN(std::unique_ptr<ModelFiles> files, ModelFiles::Open(path));
  return LoadTransformer(std::shared_ptr<const ModelFiles>(std::move(files)), options, kernels, pool);
}

// The real model `file`, or an empty path where QUIRE_MODELS is unset or does not have it.
inline std::string RealModelPath(const std::string& file) {
  const char* folder = std::getenv("QUIRE_MODELS");
  if (folder == nullptr || *folder == '\0') return "";
  const std::string path = std::string(folder) + "/" + file;
  return std::filesystem::exists(path) ? path : "";
}

// A real model with some of its tensors and settings replaced.
class EditedFiles final : public ModelFiles {
 public:
  explicit EditedFiles(const std::string& path) {
    auto files = ModelFiles::Open(path);
    QUIRE_CHECK(files.has_value());
    files_ = std::move(*files);
    for (const std::string& name : files_->TensorNames()) tensors[name] = *files_->Find(name);
    metadata = files_->gguf();
    if (format() == Format::kGguf) {
      metadata.values()["tokenizer.ggml.tokens"] = std::vector<std::string>(200, "token");
    }
    config = files_->Json("config.json").value();
  }

  Format format() const override { return files_->format(); }
  const std::string& path() const override { return files_->path(); }
  const TensorView* Find(std::string_view name) const override {
    const auto it = tensors.find(name);
    return it == tensors.end() ? nullptr : &it->second;
  }
  std::vector<std::string> TensorNames() const override { return files_->TensorNames(); }
  void Release(const TensorView&) const override {}
  const GgufMetadata& gguf() const override { return metadata; }
  Result<nlohmann::json> Json(std::string_view) const override { return config; }
  Result<std::string> Text(std::string_view name) const override { return files_->Text(name); }

  std::map<std::string, TensorView, std::less<>> tensors;
  GgufMetadata metadata;
  nlohmann::json config;

 private:
  std::unique_ptr<ModelFiles> files_;
};

}  // namespace quire::testing

#endif  // QUIRE_MODEL_MODEL_TESTING_H_
