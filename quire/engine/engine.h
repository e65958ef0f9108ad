// The engine: takes requests from any thread, runs them together on one thread of its own, and gives tokens
// to their sinks. One step reads Plan -> Forward -> Sample -> Commit.
//
//   Engine engine(model, tokenizer, std::move(cache), pool, options);
//   engine.Start();
//   auto id = engine.Submit(std::move(request), sink);
#ifndef QUIRE_ENGINE_ENGINE_H_
#define QUIRE_ENGINE_ENGINE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "quire/base/clock.h"
#include "quire/base/result.h"
#include "quire/base/thread_pool.h"
#include "quire/engine/engine_metrics.h"
#include "quire/engine/memory_report.h"
#include "quire/engine/request.h"
#include "quire/engine/token_sink.h"
#include "quire/kv/kv_cache.h"
#include "quire/model/language_model.h"
#include "quire/text/tokenizer.h"
#include "quire/tiers/page_tier.h"

namespace quire {

struct EngineOptions {
  // Tokens per step, decodes first. Larger: prompts go faster, others wait longer between tokens.
  int64_t max_step_tokens = 512;
  // The time between two tokens of a sequence that prompts are to leave: their chunks are cut to it. 0: only
  // max_step_tokens bounds them.
  std::chrono::milliseconds target_itl{500};
  // Sequences that run at once.
  int64_t max_sequences = 256;
  // Requests that wait before Submit answers kResourceExhausted.
  int64_t max_queue = 1024;
  // Longest prompt plus output; 0: the model's context length.
  int64_t max_context = 0;
  // A scheduling policy with its parameters: "fcfs", "priority:age_s=30".
  std::string scheduling = "fcfs";
  // An admission policy: for how many tokens there must be room before a sequence runs.
  std::string admission = "now";
  // A retention policy with its parameters: what is pinned while a session waits for a tool.
  std::string retention = std::string(kDefaultRetention);
  // Of the KV memory that one owner may pin.
  double pin_share = 0.5;
  // What was computed stays cached while there is room; requests with equal beginnings share it.
  bool prefix_caching = true;
};

using RequestId = uint64_t;

class Engine {
 public:
  // `tokenizer` may be null: then events carry ids without text and stop strings are refused. `tier` may be
  // null: then what the cache has no room for is computed again; with one, the cache is a PageCache.
  // REQUIRES: model, tokenizer and pool outlive the engine.
  // Errors: kInvalidArgument for options that contradict each other.
  static Result<std::unique_ptr<Engine>> Create(LanguageModel& model, const Tokenizer* tokenizer,
                                                std::unique_ptr<KvCache> cache, ThreadPool& pool,
                                                EngineOptions options, const Clock& clock = Clock::System(),
                                                std::unique_ptr<PageTier> tier = nullptr);
  virtual ~Engine() = default;  // stops

  // Starts the engine thread. Tests and simulators call Step() themselves instead.
  virtual void Start() = 0;

  // Thread-safe. Errors: kInvalidArgument (a parameter out of range, a type of KV pages that is not offered,
  // a prompt that is too long for the context or can never fit the pool: with the numbers),
  // kResourceExhausted (queue full), kUnavailable (draining).
  virtual Result<RequestId> Submit(Request request, std::shared_ptr<TokenSink> sink) = 0;
  // Thread-safe. The types of KV pages that requests may ask for; without they have the first.
  virtual std::vector<std::string> kv_types() const = 0;
  // Thread-safe. The most tokens the request may generate. Errors: those of Submit about lengths.
  virtual Result<int64_t> OutputLimit(const Request& request) const = 0;
  // Thread-safe. The pages are free within one step; the sink gets kCancelled unless it finished before.
  virtual void Cancel(RequestId id) = 0;

  // Refuses new requests and returns when the running ones are done (Drain), or cancels them (Stop). Not to
  // be called from a sink.
  virtual void Drain() = 0;
  virtual void Stop() = 0;

  // One step on the calling thread. Returns false when there was nothing to do.
  // REQUIRES: Start was not called.
  virtual bool Step() = 0;

  virtual const EngineOptions& options() const = 0;  // with the max_context that holds, never 0
  virtual EngineMetrics& metrics() = 0;              // thread-safe
  virtual KvUsage kv_usage() const = 0;              // thread-safe snapshot of the last step
  // Thread-safe. Calls `answer` with what the memory holds, on the engine thread after the step that runs
  // now; false, and never, once the engine stops.
  virtual bool AskMemory(std::function<void(const MemoryReport&)> answer) = 0;
  // Thread-safe, and like AskMemory. Pins what is cached of the tokens, in place of the pin of that name;
  // `answer` gets the tokens that are pinned. Errors: kResourceExhausted (over the owner's share),
  // kUnsupported (without prefix caching).
  virtual bool Pin(PinAsked asked, std::function<void(const Result<int64_t>&)> answer) = 0;
  virtual bool Unpin(std::string name) = 0;
  // Thread-safe. The tier below keeps what was computed of the tokens as if it had just been used.
  virtual bool Keep(std::string salt, std::string kv_type, std::vector<Token> tokens) = 0;
  // Thread-safe. Gives the KV pages `kv_bytes` from then on: more, or less, down to two tokens. What that
  // takes away are cached pages, then those of running sequences, which wait for their turn again; requests
  // that were accepted before are finished even when they are too long for it now. Calls `answer` as
  // AskMemory does. Errors: kInvalidArgument, with the limits; then nothing has changed.
  virtual bool ResizeKv(int64_t kv_bytes, std::function<void(const Result<MemoryReport>&)> answer) = 0;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_ENGINE_H_
