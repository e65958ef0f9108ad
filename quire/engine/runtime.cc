#include "quire/engine/runtime.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <optional>
#include <utility>

#include "quire/base/byte_size.h"
#include "quire/base/check.h"
#include "quire/engine/memory_budget.h"
#include "quire/engine/page_format.h"
#include "quire/kernels/kernels.h"
#include "quire/kv/page_cache.h"
#include "quire/kv/page_codecs.h"
#include "quire/kv/region_cache.h"
#include "quire/model/transformer.h"
#include "quire/policies/selection.h"
#include "quire/tiers/compressed_tier.h"
#include "quire/tiers/page_store.h"
#include "quire/tiers/tier_stack.h"

namespace quire {
namespace {

// Tokens a step computes beyond which the engine thread would keep everybody else waiting for seconds.
constexpr int64_t kMaxStepTokens = 1 << 16;

Result<std::string> ReadWhole(const std::string& path, std::string_view what) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Fail(ErrorCode::kIo, "{}: cannot read the {}", path, what);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Result<std::unique_ptr<ChatTemplate>> OpenChatTemplate(const ModelFiles& files, const Tokenizer& tokenizer,
                                                       const std::string& file) {
  if (file.empty()) return ChatTemplate::Load(files, tokenizer);
  QUIRE_ASSIGN(const std::string source, ReadWhole(file, "chat template"));
  const auto text_of = [&](std::optional<Token> token) {
    return token ? tokenizer.TokenBytes(*token, true) : std::string();
  };
  return ChatTemplate::Parse(source, text_of(tokenizer.bos()), text_of(tokenizer.eos()));
}

// A model without a template is fine until somebody wants to chat; a template the user named must work.
Status AttachChatTemplate(Runtime& runtime, const std::string& file) {
  auto chat_template = OpenChatTemplate(*runtime.files, *runtime.tokenizer, file);
  if (chat_template) {
    runtime.chat_template = std::move(*chat_template);
  } else if (!file.empty()) {
    return std::unexpected(chat_template.error());
  } else {
    runtime.chat_template_missing = chat_template.error().message;
  }
  return {};
}

Status CheckOptions(const RuntimeOptions& options) {
  QUIRE_TRY(CheckPageTokens(options.page_tokens));
  if (options.engine.max_step_tokens < 1 || options.engine.max_step_tokens > kMaxStepTokens) {
    return Fail(ErrorCode::kInvalidArgument, "--max-step-tokens is {}; it must be between 1 and {}",
                options.engine.max_step_tokens, kMaxStepTokens);
  }
  if (options.kv_layout != "paged" && options.kv_layout != "contiguous") {
    return Fail(ErrorCode::kInvalidArgument, "'{}' is no layout of KV memory; choose paged or contiguous",
                options.kv_layout);
  }
  const bool keeps =
      options.engine.prefix_caching || !options.disk.folder.empty() || !options.compressed.size.empty();
  if (options.kv_layout == "contiguous" && keeps) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "--kv-layout contiguous shares no pages and keeps none: it goes with neither --prefix-caching on, "
        "--kv-compressed nor --kv-disk");
  }
  if (options.kv_layout == "contiguous" && !options.more_kv_types.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--kv-layout contiguous has pages of one type for all requests: it goes without --kv-also");
  }
  if (!options.kv_selection.empty() && !options.compressed.size.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--kv-compressed keeps no summaries of keys: it goes without --kv-selection");
  }
  if (options.threads < 0 || options.threads > 1024) {
    return Fail(ErrorCode::kInvalidArgument, "--threads is {}; it must be between 1 and 1024, or 0",
                options.threads);
  }
  return {};
}

// Weights are packed by the pool while another thread reads the vocabulary.
Status LoadModelAndTokenizer(Runtime& runtime, const RuntimeOptions& options) {
  std::shared_ptr<const SelectionPolicy> selection;
  if (!options.kv_selection.empty()) {
    QUIRE_ASSIGN(selection, MakeSelectionPolicy(options.kv_selection));
  }
  auto tokenizer = std::async(std::launch::async, [&] { return Tokenizer::Load(*runtime.files); });
  auto model =
      LoadTransformer(runtime.files,
                      {.exact = options.exact,
                       .fast_prefill = options.fast_prefill,
                       .fast_prefill_copy = options.fast_prefill_copy,
                       .kv_types = options.kv_types.value_or(options.exact ? DType::kF32 : DType::kF16),
                       .more_kv_types = options.more_kv_types,
                       .page_tokens = options.page_tokens,
                       .selection = std::move(selection),
                       .max_step_tokens = options.engine.max_step_tokens,
                       .context_length = options.engine.max_context,
                       .progress = options.progress},
                      BestKernels(), *runtime.pool);
  QUIRE_ASSIGN(runtime.tokenizer, tokenizer.get());
  if (!model) return std::unexpected(model.error());
  runtime.model = std::move(*model);
  if (runtime.tokenizer->vocab_size() > runtime.model->info().vocab_size) {
    return Fail(ErrorCode::kCorrupt,
                "{}: the tokenizer has {} tokens but the model's vocabulary {}; they do not belong together",
                runtime.files->path(), runtime.tokenizer->vocab_size(), runtime.model->info().vocab_size);
  }
  return {};
}

Result<std::unique_ptr<KvCache>> SizeKvCache(Runtime& runtime, const RuntimeOptions& options) {
  const KvLayout& layout = runtime.model->kv_layout();
  const int64_t trained = runtime.model->info().context_length;
  const int64_t context = options.engine.max_context > 0 ? options.engine.max_context : trained;
  const int64_t pages = layout.PageCount(context);
  const KvDemand demand{
      .available_bytes = AvailableMemoryBytes(),
      .bytes_per_token = layout.BytesPerToken(),
      .page_bytes = layout.page_bytes(),
      .context_tokens = context,
      .sequences = options.engine.max_sequences,
      .least_bytes = layout.page_bytes() * layout.groups().size() * static_cast<uint64_t>(pages)};
  QUIRE_ASSIGN(const KvBudget budget, BudgetKvMemory(options.kv_memory, demand));
  runtime.kv_memory_reason = budget.reason;
  return MakeKvCache(runtime.model->kv_layouts(), options.kv_layout, budget.bytes, context,
                     options.engine.max_sequences);
}

Result<std::string> ReadSecret(const std::string& path) {
  if (path.empty()) return std::string();
  QUIRE_ASSIGN(std::string text, ReadWhole(path, "key file"));
  if (text.size() == 32) return text;
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.pop_back();
  const bool hex = std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (text.size() != 64 || !hex) {
    return Fail(ErrorCode::kInvalidArgument, "{}: must hold 32 bytes, or 64 hexadecimal digits", path);
  }
  std::string secret;
  for (size_t i = 0; i < text.size(); i += 2) {
    secret += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  }
  return secret;
}

// Every model and page type has a folder of its own, so that going from one to the other loses nothing.
Result<std::unique_ptr<PageTier>> OpenDiskTier(Runtime& runtime, const RuntimeOptions& options) {
  if (options.disk.folder.empty()) return nullptr;
  const KvLayout& layout = runtime.model->kv_layout();
  auto quota = ParseByteSize(options.disk.size, UINT64_MAX);
  if (!quota) return Fail(ErrorCode::kInvalidArgument, "--kv-disk-size: {}", quota.error().message);
  QUIRE_ASSIGN(std::string secret, ReadSecret(options.disk.key_file));
  std::string computing = fmt::format("{}{}", BestKernels().name,
                                      options.exact          ? " exact"
                                      : options.fast_prefill ? " fast-prefill"
                                                             : "");
  if (!options.compressed.size.empty()) {
    QUIRE_ASSIGN(const PageCodecRow* codec, FindPageCodec(options.compressed.codec));
    // What came back from there is not quite what was computed, and so is what is computed behind it.
    if (!codec->exact) computing += fmt::format(" {}", codec->name);
  }
  // An answer's keys and values depend on what it read.
  if (!options.kv_selection.empty()) computing += fmt::format(" {}", options.kv_selection);
  const std::string format = PageFormat(*runtime.files, layout, computing);
  runtime.records = std::make_unique<RecordFolder>(
      std::filesystem::path(options.disk.folder) / format / "sessions", format, secret);
  return PageStore::Open({.folder = std::filesystem::path(options.disk.folder) / format,
                          .quota_bytes = static_cast<int64_t>(std::min<uint64_t>(*quota, INT64_MAX)),
                          .page_bytes = layout.page_bytes(),
                          .format = format,
                          .secret = std::move(secret),
                          .page_by_page = options.disk.page_by_page,
                          .log = options.disk.log});
}

Result<std::unique_ptr<PageTier>> MakeCompressedTier(std::span<const KvLayout> layouts,
                                                     const CompressedTierSettings& settings) {
  if (settings.size.empty()) return nullptr;
  const size_t page_bytes = layouts.front().page_bytes();
  auto quota = ParseByteSize(settings.size, AvailableMemoryBytes());
  if (!quota) return Fail(ErrorCode::kInvalidArgument, "--kv-compressed: {}", quota.error().message);
  if (*quota < page_bytes) {
    return Fail(ErrorCode::kInvalidArgument, "--kv-compressed: {} bytes hold not one page of {}", *quota,
                page_bytes);
  }
  QUIRE_ASSIGN(const PageCodecRow* codec, FindPageCodec(settings.codec));
  return std::make_unique<CompressedTier>(
      CompressedTierOptions{.quota_bytes = static_cast<int64_t>(std::min<uint64_t>(*quota, INT64_MAX)),
                            .page_bytes = page_bytes},
      PageCodecsOf(layouts, *codec));
}

}  // namespace

Result<std::unique_ptr<KvCache>> MakeKvCache(std::span<const KvLayout> layouts, const std::string& kv_layout,
                                             size_t kv_bytes, int64_t context, int64_t sequences) {
  const uint64_t most_bytes = TotalMemoryBytes();
  if (kv_layout == "contiguous") {
    QUIRE_CHECK(layouts.size() == 1);
    return RegionCache::Create(
        layouts.front(),
        {.kv_bytes = kv_bytes, .most_bytes = most_bytes, .longest_tokens = context, .sequences = sequences});
  }
  QUIRE_ASSIGN(PagePool pool, PagePool::Create(kv_bytes, layouts.front().page_bytes(), most_bytes));
  return std::make_unique<PageCache>(std::vector(layouts.begin(), layouts.end()), std::move(pool));
}

Result<std::unique_ptr<Runtime>> LoadRuntime(const std::string& model_path, const RuntimeOptions& options) {
  QUIRE_TRY(CheckOptions(options));
  auto runtime = std::make_unique<Runtime>();
  QUIRE_ASSIGN(runtime->files, ModelFiles::Open(model_path));
  runtime->pool = std::make_unique<ThreadPool>(options.threads > 0 ? options.threads : UsableProcessors());
  QUIRE_TRY(LoadModelAndTokenizer(*runtime, options));
  QUIRE_TRY(AttachChatTemplate(*runtime, options.chat_template_file));
  QUIRE_ASSIGN(std::unique_ptr<KvCache> cache, SizeKvCache(*runtime, options));
  QUIRE_ASSIGN(std::unique_ptr<PageTier> disk, OpenDiskTier(*runtime, options));
  QUIRE_ASSIGN(std::unique_ptr<PageTier> compressed,
               MakeCompressedTier(runtime->model->kv_layouts(), options.compressed));
  QUIRE_ASSIGN(runtime->engine, Engine::Create(*runtime->model, runtime->tokenizer.get(), std::move(cache),
                                               *runtime->pool, options.engine, Clock::System(),
                                               Stacked(std::move(compressed), std::move(disk))));
  return runtime;
}

}  // namespace quire
