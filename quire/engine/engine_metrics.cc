#include "quire/engine/engine_metrics.h"

#include <vector>

namespace quire {
namespace {

constexpr double kFirstTokenSeconds[] = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                                         1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
constexpr double kTokenSeconds[] = {.01, .025, .05, .075, .1,  .15, .2, .3, .4, .5,
                                    .75, 1,    2.5, 5,    7.5, 10,  20, 40, 80};
constexpr double kRequestSeconds[] = {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                      30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
constexpr double kSamples[] = {1, 2, 5, 10, 20};
constexpr double kShares[] = {.001, .0025, .005, .01, .025, .05, .1, .25, .5};
constexpr double kStepTokens[] = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};

// 1, 2, 5, 10, 20, 50 ... up to `max`.
std::vector<double> LengthBuckets(int64_t max) {
  std::vector<double> bounds;
  for (int64_t decade = 1; decade <= max; decade *= 10) {
    for (int64_t step : {1, 2, 5}) {
      if (decade * step <= max) bounds.push_back(static_cast<double>(decade * step));
    }
  }
  return bounds;
}

MetricLabels Reason(const char* reason) { return {{"finished_reason", reason}}; }
MetricLabels KvState(const char* state) { return {{"state", state}}; }

constexpr char kSuccess[] = "quire:request_success";
constexpr char kSuccessHelp[] = "Finished samples by reason.";
constexpr char kRejected[] = "quire:admission_rejections";
constexpr char kRejectedHelp[] = "Requests refused at once.";
constexpr char kKvBytes[] = "quire:kv_bytes";
constexpr char kKvBytesHelp[] =
    "Bytes of KV memory by state; waste is the unfilled part of used, cached is given up when needed.";
constexpr char kKvTypeBytes[] = "quire:kv_type_bytes";
constexpr char kKvTypeBytesHelp[] = "Bytes of KV memory by the type of pages and their state.";
constexpr char kPinsEnded[] = "quire:pins_ended";
constexpr char kPinsEndedHelp[] =
    "Pins that ended: when their time was up, or because somebody who ran needed the room.";
constexpr char kTierPages[] = "quire:tier_pages";
constexpr char kTierPagesHelp[] = "Pages moved between the KV memory and the tiers below it.";
constexpr char kBySource[] = "quire:prompt_tokens_by_source";
constexpr char kBySourceHelp[] = "Prompt tokens by where their keys and values came from.";

MetricLabels Tier(const char* name) { return {{"tier", name}}; }
MetricLabels TierMove(const char* name, const char* move) { return {{"tier", name}, {"move", move}}; }

// A counter follows what somebody else counts.
void Raise(Counter& counter, int64_t to) { counter.Add(static_cast<double>(to) - counter.value()); }

}  // namespace

TierMetrics::TierMetrics(MetricsRegistry& registry, const char* name)
    : bytes(registry.AddGauge("quire:tier_bytes", "Bytes of pages below the KV memory.", Tier(name))),
      written(registry.AddCounter(kTierPages, kTierPagesHelp, TierMove(name, "written"))),
      read(registry.AddCounter(kTierPages, kTierPagesHelp, TierMove(name, "read"))),
      failed(registry.AddCounter(kTierPages, kTierPagesHelp, TierMove(name, "failed"))) {}

void TierMetrics::Set(const TierUsage& usage) {
  bytes.Set(static_cast<double>(usage.bytes));
  Raise(written, usage.pages_written);
  Raise(read, usage.pages_read);
  Raise(failed, usage.pages_failed);
}

EngineMetrics::EngineMetrics(const std::string& model_name, int64_t max_context,
                             const std::vector<std::string>& kv_types)
    : registry({{"model_name", model_name}, {"engine", "0"}}),
      requests_running(registry.AddGauge("quire:num_requests_running", "Sequences that run.")),
      requests_waiting(registry.AddGauge("quire:num_requests_waiting", "Sequences that wait to run.")),
      kv_cache_usage(registry.AddGauge("quire:kv_cache_usage_perc", "Used share of the KV pages, 1 is all.")),
      kv_bytes_limit(registry.AddGauge(kKvBytes, kKvBytesHelp, KvState("limit"))),
      kv_bytes_total(registry.AddGauge(kKvBytes, kKvBytesHelp, KvState("total"))),
      kv_bytes_committed(registry.AddGauge(kKvBytes, kKvBytesHelp, KvState("committed"))),
      kv_bytes_free(registry.AddGauge(kKvBytes, kKvBytesHelp, KvState("free"))),
      kv_bytes_cached(registry.AddGauge(kKvBytes, kKvBytesHelp, KvState("cached"))),
      kv_bytes_used(registry.AddGauge(kKvBytes, kKvBytesHelp, KvState("used"))),
      kv_bytes_waste(registry.AddGauge(kKvBytes, kKvBytesHelp, KvState("waste"))),
      pins(registry.AddGauge("quire:pins", "Prefixes that stay cached until a time.")),
      pinned_bytes(registry.AddGauge("quire:pinned_bytes", "Bytes of KV pages that pins hold.")),
      pins_expired(registry.AddCounter(kPinsEnded, kPinsEndedHelp, {{"reason", "expired"}})),
      pins_yielded(registry.AddCounter(kPinsEnded, kPinsEndedHelp, {{"reason", "yielded"}})),
      compressed_tier(registry, "compressed"),
      disk_tier(registry, "disk"),
      tier_pages_lost(registry.AddCounter("quire:tier_pages_lost",
                                          "Pages that no tier took: they are computed again if needed.")),
      preemptions(registry.AddCounter("quire:num_preemptions", "Sequences whose pages were taken back.")),
      prompt_tokens(
          registry.AddCounter("quire:prompt_tokens", "Prompt tokens of requests, computed or cached.")),
      prompt_tokens_computed(registry.AddCounter(kBySource, kBySourceHelp, {{"source", "local_compute"}})),
      prompt_tokens_hit(registry.AddCounter(kBySource, kBySourceHelp, {{"source", "local_cache_hit"}})),
      prompt_tokens_cached(
          registry.AddCounter("quire:prompt_tokens_cached", "Prompt tokens that were not computed.")),
      prefix_cache_queries(
          registry.AddCounter("quire:prefix_cache_queries", "Prompt tokens looked up in the prefix cache.")),
      prefix_cache_hits(
          registry.AddCounter("quire:prefix_cache_hits", "Prompt tokens found in the prefix cache.")),
      generation_tokens(registry.AddCounter("quire:generation_tokens", "Tokens sampled.")),
      finished_stop(registry.AddCounter(kSuccess, kSuccessHelp, Reason("stop"))),
      finished_length(registry.AddCounter(kSuccess, kSuccessHelp, Reason("length"))),
      finished_abort(registry.AddCounter(kSuccess, kSuccessHelp, Reason("abort"))),
      finished_error(registry.AddCounter(kSuccess, kSuccessHelp, Reason("error"))),
      corrupted_requests(registry.AddCounter("quire:corrupted_requests",
                                             "Samples that ended on logits that are not numbers.")),
      rejected_queue_full(registry.AddCounter(kRejected, kRejectedHelp, {{"reason", "queue_full"}})),
      rejected_too_long(registry.AddCounter(kRejected, kRejectedHelp, {{"reason", "too_long"}})),
      time_to_first_token(registry.AddHistogram("quire:time_to_first_token_seconds",
                                                "From arrival to the first token.", kFirstTokenSeconds)),
      inter_token_latency(registry.AddHistogram("quire:inter_token_latency_seconds",
                                                "Between two tokens of a sample.", kTokenSeconds)),
      time_per_output_token(registry.AddHistogram("quire:request_time_per_output_token_seconds",
                                                  "Decode time over output tokens but the first, per sample.",
                                                  kTokenSeconds)),
      e2e_latency(registry.AddHistogram("quire:e2e_request_latency_seconds", "From arrival to the end.",
                                        kRequestSeconds)),
      queue_time(registry.AddHistogram("quire:request_queue_time_seconds", "From arrival to the first step.",
                                       kRequestSeconds)),
      inference_time(registry.AddHistogram("quire:request_inference_time_seconds",
                                           "From the first step to the last token.", kRequestSeconds)),
      prefill_time(registry.AddHistogram("quire:request_prefill_time_seconds",
                                         "From the first step to the first token.", kRequestSeconds)),
      decode_time(registry.AddHistogram("quire:request_decode_time_seconds",
                                        "From the first token to the last.", kRequestSeconds)),
      prompt_length(
          registry.AddHistogram("quire:request_prompt_tokens", "Prompt tokens.", LengthBuckets(max_context))),
      generation_length(registry.AddHistogram("quire:request_generation_tokens",
                                              "Tokens sampled, per sample.", LengthBuckets(max_context))),
      params_n(registry.AddHistogram("quire:request_params_n", "The parameter n.", kSamples)),
      params_max_tokens(registry.AddHistogram("quire:request_params_max_tokens",
                                              "The parameter max_tokens, or what the context allowed.",
                                              LengthBuckets(max_context))),
      step_tokens(
          registry.AddHistogram("quire:iteration_tokens_total", "Tokens computed in a step.", kStepTokens)),
      commit_share(registry.AddHistogram("quire:kv_commit_share",
                                         "Share of a step that a contiguous layout spent on main memory.",
                                         kShares)) {
  if (kv_types.size() < 2) return;
  for (const std::string& type : kv_types) {
    const auto gauge = [&](const char* state) -> Gauge& {
      return registry.AddGauge(kKvTypeBytes, kKvTypeBytesHelp, {{"kv_type", type}, {"state", state}});
    };
    of_kv_type.push_back({gauge("cached"), gauge("used")});
  }
}

void EngineMetrics::SetKvUsage(const KvUsage& usage) {
  kv_bytes_limit.Set(static_cast<double>(usage.limit));
  kv_bytes_total.Set(static_cast<double>(usage.total));
  kv_bytes_committed.Set(static_cast<double>(usage.committed));
  kv_bytes_free.Set(static_cast<double>(usage.free));
  kv_bytes_cached.Set(static_cast<double>(usage.cached));
  kv_bytes_used.Set(static_cast<double>(usage.used));
  kv_bytes_waste.Set(static_cast<double>(usage.used - usage.filled));
  kv_cache_usage.Set(static_cast<double>(usage.used) / static_cast<double>(usage.total));
}

void EngineMetrics::SetKvTypes(const KvCache& cache) {
  for (size_t i = 0; i < of_kv_type.size(); ++i) {
    const LayoutUsage usage = cache.UsageOf(static_cast<int>(i));
    of_kv_type[i].cached.Set(static_cast<double>(usage.cached));
    of_kv_type[i].used.Set(static_cast<double>(usage.used));
  }
}

void EngineMetrics::SetPins(const PagePins& all, int64_t bytes) {
  pins.Set(static_cast<double>(all.size()));
  pinned_bytes.Set(static_cast<double>(bytes));
  Raise(pins_expired, all.counts().expired);
  Raise(pins_yielded, all.counts().yielded);
}

void EngineMetrics::SetTiers(const PageArchive& archive) {
  for (const TierUsage& usage : archive.TierUsages()) {
    (usage.name == "disk" ? disk_tier : compressed_tier).Set(usage);
  }
  Raise(tier_pages_lost, archive.pages_lost());
}

void EngineMetrics::CountPrompt(int64_t prompt, std::optional<int64_t> cached) {
  const auto hits = static_cast<double>(cached.value_or(0));
  prompt_tokens.Add(static_cast<double>(prompt));
  prompt_tokens_computed.Add(static_cast<double>(prompt) - hits);
  prompt_tokens_hit.Add(hits);
  prompt_tokens_cached.Add(hits);
  if (cached) prefix_cache_queries.Add(static_cast<double>(prompt));
  prefix_cache_hits.Add(hits);
}

}  // namespace quire
