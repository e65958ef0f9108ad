// What the verbs that measure answers have in common: a model, a text, the ways to keep KV, and where the
// results go.
#ifndef QUIRE_CLI_QUALITY_BENCH_H_
#define QUIRE_CLI_QUALITY_BENCH_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "quire/base/result.h"
#include "quire/base/thread_pool.h"
#include "quire/cli/flags.h"
#include "quire/files/model_files.h"
#include "quire/model/language_model.h"
#include "quire/sim/quality/kv_session.h"
#include "quire/sim/quality/kv_variant.h"
#include "quire/sim/quality/task_maker.h"
#include "quire/text/tokenizer.h"

namespace quire {

class QualityBench {
 public:
  static constexpr int64_t kStepTokens = 512;

  void AddModelAndText(Flags& flags);
  void AddVariants(Flags& flags);
  void AddExamples(Flags& flags);
  void AddMachineAndResults(Flags& flags);

  // Reads the model's files, the text and the examples. Errors: kIo, kInvalidArgument, kCorrupt.
  Status Open();
  // The same for another model file.
  Status OpenModel(const std::string& model);

  // The model with the variant's type of pages, and the room of a sequence in it.
  Result<std::unique_ptr<LanguageModel>> Load(const KvVariant& variant);
  // The variants that --kv names, behind the full one; without --kv all that the model can have. Errors:
  // kInvalidArgument for unknown names.
  Result<std::vector<KvVariant>> Variants() const;

  // Errors: kInvalidArgument where the text has fewer tokens than are wanted.
  Status NeedTokens(int64_t tokens, std::string_view flags) const;

  // The negative log-likelihoods of `texts` pieces of `tokens` tokens each, evenly spread over the text.
  // REQUIRES: the session has room for one more token than a piece has, and the text for all.
  std::vector<double> TextNlls(KvSession& session, int64_t texts, int64_t tokens) const;

  const TaskMaker& tasks() const { return *tasks_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  ThreadPool& pool() { return *pool_; }
  const std::string& model_name() const { return model_name_; }
  const std::string& text() const { return text_; }
  bool has_examples() const { return !examples_.empty(); }

  // Writes the table to standard output unless only JSON is wanted there, then JSON and SVG where asked for.
  Status WriteResults(const std::string& table, const nlohmann::ordered_json& json,
                      const std::string& svg) const;

  std::string model;
  std::vector<std::string> kv;

 private:
  std::string text_, examples_, json_, svg_;
  int threads_ = 0, page_tokens_ = 16;
  std::shared_ptr<const ModelFiles> files_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<TaskMaker> tasks_;
  std::optional<ThreadPool> pool_;
  std::string model_name_;
  bool has_windows_ = false;
};

}  // namespace quire

#endif  // QUIRE_CLI_QUALITY_BENCH_H_
