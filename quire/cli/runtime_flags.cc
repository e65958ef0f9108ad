#include "quire/cli/runtime_flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "quire/base/byte_size.h"
#include "quire/cli/model_path.h"
#include "quire/cli/progress.h"
#include "quire/cli/user_folders.h"
#include "quire/kernels/kv_codec.h"
#include "quire/policies/admission.h"
#include "quire/policies/retention.h"
#include "quire/policies/scheduling.h"
#include "quire/tiers/page_codec.h"

namespace quire {

void AddModel(Flags& flags, std::string* model) {
  flags.Add({"MODEL", model, "", "a file, a folder, or a name from quire pull", {}, true});
}

void AddThreads(Flags& flags, int* threads) {
  flags.Add(
      {"--threads", threads, "N", "compute threads; default: usable processors", {.min = 0, .max = 1024}});
}

void AddPageTokens(Flags& flags, int* page_tokens) {
  flags.Add(
      {"--page-tokens", page_tokens, "N", "tokens per KV page, a multiple of 16", {.min = 16, .max = 1024}});
}

std::string KvTypeHelp() {
  return fmt::format("of KV pages: {}; or int4,0-1=f16", fmt::join(KvTypeNames(), ", "));
}

void AddKvLayout(Flags& flags, std::string* layout) {
  flags.Add({"--kv-layout",
             layout,
             "LAYOUT",
             "paged, where pages are shared, or contiguous",
             {.choices = {"paged", "contiguous"}}});
}

void AddFastPrefill(Flags& flags, bool* fast_prefill, bool* copy) {
  flags.Add({"--fast-prefill", fast_prefill, "",
             "AVX-512: prompts in coarser int8, faster; results depend on the step"});
  flags.Add(
      {"--fast-prefill-copy", copy, "", "with it: keep a copy of the weights, a byte each; faster still"});
}

const char* ComputingNote(bool exact, bool fast_prefill, bool copy) {
  if (exact) return ", exact";
  if (!fast_prefill) return "";
  return copy ? ", fast prefill with a copy" : ", fast prefill";
}

void RuntimeFlags::AddMachine(Flags& flags) {
  EngineOptions& engine = options.engine;
  flags.Add(
      {"--kv-memory", &options.kv_memory, "SIZE", "memory for KV pages: 512MiB, 4GiB, 50% of what is free"});
  AddKvType(flags, &options.kv_types);
  flags.Add(
      {"--page-tokens", &options.page_tokens, "N", "tokens per KV page, a multiple of 16", {.min = 16}});
  flags.Add({"--max-context",
             &engine.max_context,
             "N",
             "longest prompt plus output; default: the model's",
             {.min = 0},
             false,
             "--max-model-len"});
  AddThreads(flags, &options.threads);
  flags.Add({"--exact", &options.exact, "", "compute with f32 activations and f32 KV pages"});
  AddFastPrefill(flags, &options.fast_prefill, &options.fast_prefill_copy);
  flags.Add(
      {"--chat-template", &options.chat_template_file, "FILE", "use this Jinja template, not the model's"});
}

void RuntimeFlags::AddEngine(Flags& flags) {
  EngineOptions& engine = options.engine;
  flags.Add({"--max-step-tokens",
             &engine.max_step_tokens,
             "N",
             "tokens per step, decodes first",
             {.min = 1},
             false,
             "--max-num-batched-tokens"});
  flags.Add({"--target-itl",
             &engine.target_itl,
             "TIME",
             "between tokens: chunks of prompts are cut to it; 0: not",
             {.min = 0, .max = 3600}});
  flags.Add({"--max-sequences",
             &engine.max_sequences,
             "N",
             "sequences that run at once",
             {.min = 1},
             false,
             "--max-num-seqs"});
  flags.Add(
      {"--max-queue", &engine.max_queue, "N", "requests that wait before new ones get 429", {.min = 0}});
  flags.Add({"--prefix-caching",
             &prefix_caching,
             "auto|on|off",
             "compute what prompts begin alike with once, and keep it",
             {.choices = {"auto", "on", "off"}}});
  std::vector<std::string> codecs;
  for (const PageCodecRow* row : PageCodecTable()) codecs.emplace_back(row->name);
  flags.Add({"--kv-compressed", &options.compressed.size, "SIZE",
             "main memory for KV pages that left --kv-memory, compressed"});
  const std::string help = fmt::format("{}; lossy but for the first", fmt::join(codecs, ", "));
  flags.Add(
      {"--kv-compressed-codec", &options.compressed.codec, "CODEC", help, {.choices = std::move(codecs)}});
  flags.Add({"--kv-also", &options.more_kv_types, "TYPE", "of pages that requests may ask for; repeat it"});
  AddKvLayout(flags, &options.kv_layout);
  flags.Add({"--kv-selection", &options.kv_selection, "POLICY",
             "which KV pages answers read; default: all; see quire list"});
  flags.Add({"--admission", &admission, "POLICY", "for how many tokens there must be room; see quire list"});
  flags.Add({"--kv-disk", &options.disk.folder, "FOLDER",
             "keep KV pages there too: conversations go on after a restart"});
  flags.Add({"--kv-disk-size", &options.disk.size, "SIZE", "of those pages at most, for each model"});
  flags.Add(
      {"--kv-disk-key", &options.disk.key_file, "FILE", "encrypt them: 32 bytes, or 64 hexadecimal digits"});
  flags.Add({"--scheduling", &engine.scheduling, "POLICY", "who runs first; see quire list"});
  flags.Add({"--retention", &engine.retention, "POLICY", "what is pinned during tool calls; see quire list"});
  flags.Add({"--pin-share",
             &engine.pin_share,
             "P",
             "of the KV memory that one owner may pin",
             {.min = 0, .max = 1}});
}

// What would otherwise be found only after the weights are loaded.
Status RuntimeFlags::Check() const {
  if (!options.kv_memory.empty()) {
    if (auto size = ParseByteSize(options.kv_memory, UINT64_MAX); !size) {
      return Fail(ErrorCode::kInvalidArgument, "--kv-memory: {}", size.error().message);
    }
  }
  if (auto size = ParseByteSize(options.disk.size, UINT64_MAX); !size) {
    return Fail(ErrorCode::kInvalidArgument, "--kv-disk-size: {}", size.error().message);
  }
  if (!options.compressed.size.empty()) {
    if (auto size = ParseByteSize(options.compressed.size, UINT64_MAX); !size) {
      return Fail(ErrorCode::kInvalidArgument, "--kv-compressed: {}", size.error().message);
    }
  }
  const bool below = !options.disk.folder.empty() || !options.compressed.size.empty();
  if (below && prefix_caching == "off") {
    return Fail(ErrorCode::kInvalidArgument, "{} needs --prefix-caching on: pages are found by their prefix",
                options.disk.folder.empty() ? "--kv-compressed" : "--kv-disk");
  }
  QUIRE_TRY(MakeSchedulingPolicy(options.engine.scheduling));
  QUIRE_TRY(MakeAdmissionPolicy(Admission()));
  QUIRE_TRY(MakeRetentionPolicy(options.engine.retention));
  return {};
}

Result<std::unique_ptr<Runtime>> RuntimeFlags::Load() const {
  QUIRE_TRY(Check());
  QUIRE_ASSIGN(const std::string path, ResolveModel(model, ModelCacheFolder()));
  ProgressBar bar("loading " + model);
  RuntimeOptions loading = options;
  loading.engine.prefix_caching = CachesPrefixes();
  loading.engine.admission = Admission();
  loading.disk.log = [](std::string_view line) { fmt::print(stderr, "quire: {}\n", line); };
  loading.progress = [&bar](double share) { bar.Set(share); };
  auto runtime = LoadRuntime(path, loading);
  bar.Finish();
  return runtime;
}

}  // namespace quire
