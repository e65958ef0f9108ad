// The flags of every verb that loads a model and generates, and the loading itself.
#ifndef QUIRE_CLI_RUNTIME_FLAGS_H_
#define QUIRE_CLI_RUNTIME_FLAGS_H_

#include <memory>
#include <string>
#include <vector>

#include "quire/base/result.h"
#include "quire/cli/flags.h"
#include "quire/engine/runtime.h"

namespace quire {

// The flags that several verbs have: MODEL, --threads, --page-tokens, --kv-layout; and --kv-type.
void AddModel(Flags& flags, std::string* model);
void AddThreads(Flags& flags, int* threads);
void AddPageTokens(Flags& flags, int* page_tokens);
std::string KvTypeHelp();
template <typename Types>  // LayerTypes, or an optional one
void AddKvType(Flags& flags, Types* types) {
  flags.Add({"--kv-type", types, "TYPE", KvTypeHelp()});
}
void AddKvLayout(Flags& flags, std::string* layout);
void AddFastPrefill(Flags& flags, bool* fast_prefill, bool* copy);
// What is said of these flags behind the number of threads: ", exact", or nothing.
const char* ComputingNote(bool exact, bool fast_prefill, bool copy);

struct RuntimeFlags {
  std::string model;
  RuntimeOptions options;
  std::string prefix_caching = "auto";
  std::string admission = "auto";

  // What auto means.
  bool CachesPrefixes() const {
    return prefix_caching == "on" || (prefix_caching == "auto" && options.kv_layout == "paged");
  }
  std::string Admission() const {
    return admission != "auto" ? admission : options.kv_layout == "paged" ? "now" : "predicted";
  }

  // How it computes and how much it may take: for everybody.
  void AddMachine(Flags& flags);
  // Many users at once: for serve.
  void AddEngine(Flags& flags);

  // Finds and loads the model, with a progress bar.
  Result<std::unique_ptr<Runtime>> Load() const;

 private:
  Status Check() const;
};

}  // namespace quire

#endif  // QUIRE_CLI_RUNTIME_FLAGS_H_
