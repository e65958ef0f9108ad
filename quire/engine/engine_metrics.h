// What the engine counts, under vLLM's names with the prefix "quire:" and vLLM's buckets, so that existing
// dashboards work, plus the KV bytes by state.
#ifndef QUIRE_ENGINE_ENGINE_METRICS_H_
#define QUIRE_ENGINE_ENGINE_METRICS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "quire/base/metrics.h"
#include "quire/kv/kv_cache.h"
#include "quire/kv/page_archive.h"
#include "quire/kv/page_pins.h"

namespace quire {

// Of one place of the tier below the KV memory.
struct TierMetrics {
  TierMetrics(MetricsRegistry& registry, const char* name);
  void Set(const TierUsage& usage);

  Gauge& bytes;
  Counter& written;  // tier_pages{move=...}
  Counter& read;
  Counter& failed;
};

struct EngineMetrics {
  // Length histograms reach up to `max_context` tokens. Bytes are told apart by `kv_types` where there are
  // several.
  EngineMetrics(const std::string& model_name, int64_t max_context,
                const std::vector<std::string>& kv_types = {});

  void SetKvUsage(const KvUsage& usage);
  void SetKvTypes(const KvCache& cache);
  void SetPins(const PagePins& pins, int64_t bytes);
  void SetTiers(const PageArchive& archive);
  // A prompt is complete; `cached` of its tokens were found in the prefix cache, if that was asked.
  void CountPrompt(int64_t prompt, std::optional<int64_t> cached);

  MetricsRegistry registry;

  Gauge& requests_running;
  Gauge& requests_waiting;
  Gauge& kv_cache_usage;  // 0..1
  Gauge& kv_bytes_limit;
  Gauge& kv_bytes_total;
  Gauge& kv_bytes_committed;
  Gauge& kv_bytes_free;
  Gauge& kv_bytes_cached;
  Gauge& kv_bytes_used;
  Gauge& kv_bytes_waste;
  struct OfKvType {
    Gauge& cached;
    Gauge& used;
  };
  std::vector<OfKvType> of_kv_type;  // kv_type_bytes{kv_type=...,state=...}
  Gauge& pins;
  Gauge& pinned_bytes;
  Counter& pins_expired;  // pins_ended{reason=...}
  Counter& pins_yielded;
  TierMetrics compressed_tier;
  TierMetrics disk_tier;
  Counter& tier_pages_lost;
  Counter& preemptions;
  Counter& prompt_tokens;
  Counter& prompt_tokens_computed;  // prompt_tokens_by_source{source=...}
  Counter& prompt_tokens_hit;
  Counter& prompt_tokens_cached;
  Counter& prefix_cache_queries;  // in tokens
  Counter& prefix_cache_hits;
  Counter& generation_tokens;
  Counter& finished_stop;  // request_success{finished_reason=...}
  Counter& finished_length;
  Counter& finished_abort;
  Counter& finished_error;
  Counter& corrupted_requests;   // logits that are not numbers
  Counter& rejected_queue_full;  // admission_rejections{reason=...}
  Counter& rejected_too_long;
  Histogram& time_to_first_token;
  Histogram& inter_token_latency;
  Histogram& time_per_output_token;
  Histogram& e2e_latency;
  Histogram& queue_time;
  Histogram& inference_time;
  Histogram& prefill_time;
  Histogram& decode_time;
  Histogram& prompt_length;
  Histogram& generation_length;
  Histogram& params_n;
  Histogram& params_max_tokens;
  Histogram& step_tokens;  // iteration_tokens_total
  Histogram& commit_share;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_ENGINE_METRICS_H_
