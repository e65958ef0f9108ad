// Everything between a model's path and a running engine, put together once for all verbs of the program:
// open the files, choose kernels, load weights and tokenizer, size the KV memory, build the engine.
#ifndef QUIRE_ENGINE_RUNTIME_H_
#define QUIRE_ENGINE_RUNTIME_H_

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/base/thread_pool.h"
#include "quire/engine/engine.h"
#include "quire/engine/memory_budget.h"
#include "quire/files/model_files.h"
#include "quire/kv/layer_types.h"
#include "quire/model/language_model.h"
#include "quire/text/chat_template.h"
#include "quire/text/tokenizer.h"
#include "quire/tiers/record_folder.h"

namespace quire {

// KV pages that survive the process, in a folder.
struct DiskTierOptions {
  std::string folder;          // empty: none
  std::string size = "10GiB";  // at most, for each model and page type
  std::string key_file;        // 32 bytes, or 64 hexadecimal digits, to encrypt pages with; empty: plain
  bool page_by_page = false;   // to be compared with, see PageStoreOptions
  std::function<void(std::string_view)> log = [](std::string_view) {};  // a line about a disk that fails
};

// KV pages that left the pool, compressed in main memory.
struct CompressedTierSettings {
  std::string size;                // "1GiB"; empty: none
  std::string codec = "lossless";  // of PageCodecTable()
};

struct RuntimeOptions {
  std::string kv_memory;  // "4GiB", "50%" of what is free; empty: derived, see kv_memory_reason
  std::optional<LayerTypes> kv_types = {};     // absent: f16, and f32 with exact
  std::vector<LayerTypes> more_kv_types = {};  // that requests may ask for instead
  std::string kv_layout = "paged";             // or "contiguous": every sequence in one piece, nothing shared
  std::string kv_selection = {};  // policy that chooses the pages that answers read; empty: all are read
  int page_tokens = 16;
  bool exact = false;
  bool fast_prefill = false;            // see ModelOptions
  bool fast_prefill_copy = false;       // likewise
  int threads = 0;                      // 0: UsableProcessors()
  std::string chat_template_file = {};  // empty: the model's own
  CompressedTierSettings compressed = {};
  DiskTierOptions disk = {};
  EngineOptions engine = {};
  std::function<void(double)> progress = {};
};

// Members are in the order of construction; the engine stops first.
struct Runtime {
  std::shared_ptr<const ModelFiles> files;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;  // null when the model has none
  std::string chat_template_missing;            // why, for the error of the one who needs it
  std::unique_ptr<LanguageModel> model;
  std::unique_ptr<RecordFolder>
      records;  // that outlive the process, beside the pages on disk; null without them
  std::unique_ptr<Engine> engine;
  std::string kv_memory_reason;  // one line: how much KV memory, and why that much
};

// KV memory of `kv_bytes` that can grow to all of the machine, laid out as `kv_layout` says, for sequences of
// at most `context` tokens. REQUIRES: a contiguous one is of one layout. Errors: those of PagePool and
// RegionCache.
Result<std::unique_ptr<KvCache>> MakeKvCache(std::span<const KvLayout> layouts, const std::string& kv_layout,
                                             size_t kv_bytes, int64_t context, int64_t sequences);

Result<std::unique_ptr<Runtime>> LoadRuntime(const std::string& model_path, const RuntimeOptions& options);

}  // namespace quire

#endif  // QUIRE_ENGINE_RUNTIME_H_
