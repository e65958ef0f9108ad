// `quire bench replay MODEL TRACE`: lets a model serve a recorded trace, and measures how it was served.
#include <fmt/format.h>

#include <functional>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>

#include "quire/cli/bar_chart.h"
#include "quire/cli/bench_report.h"
#include "quire/cli/generate.h"
#include "quire/cli/progress.h"
#include "quire/cli/runtime_flags.h"
#include "quire/cli/text_table.h"
#include "quire/cli/verb.h"
#include "quire/engine/memory_report.h"
#include "quire/kernels/kernels.h"
#include "quire/server/memory_route.h"
#include "quire/sim/replay.h"
#include "quire/sim/timed_model.h"
#include "quire/sim/trace_file.h"
#include "quire/sim/workload.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

double Share(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// How many steps spent so much of their time on main memory, at most.
ordered_json CommitSharesJson(const Runtime& runtime) {
  const Histogram& shares = runtime.engine->metrics().commit_share;
  ordered_json json = ordered_json::array();
  for (size_t i = 0; i <= shares.bounds().size(); ++i) {
    json.push_back(
        {{"share", i < shares.bounds().size() ? shares.bounds()[i] : 1}, {"steps", shares.bucket(i)}});
  }
  return json;
}

const char* EndName(TurnEnd end) {
  return end == TurnEnd::kDone ? "done" : end == TurnEnd::kLeft ? "left" : "failed";
}

class BenchReplayVerb final : public Verb {
 public:
  BenchReplayVerb() {
    // Whoever comes waits, as at a server with room.
    runtime_.options.engine.max_queue = 1'000'000;
  }

  Flags MakeFlags() override {
    Flags flags("bench replay", "MODEL TRACE [flags]",
                "Lets a model serve a recorded trace, and measures how it was served.");
    AddModel(flags, &runtime_.model);
    flags.Add({"TRACE",
               &trace_,
               "",
               "CSV as Azure's and BurstGPT, JSON lines as Mooncake and MT-Bench-101",
               {},
               true});
    flags.Add({"-n,--requests", &requests_, "N", "the first N of the trace; 0: all", {.min = 0, .max = 1e7}});
    flags.Add({"--length-scale", &load_.length_scale, "F", "times all lengths", {.min = 1e-4, .max = 1e4}});
    flags.Add(
        {"--speed", &load_.speed, "F", "arrivals come so many times faster", {.min = 1e-6, .max = 1e9}});
    flags.Add(
        {"--users", &users_, "N", "so many at any time, whatever the trace says", {.min = 0, .max = 1e6}});
    flags.Add(
        {"--burst", &load_.burst_cv, "CV", "arrivals of this variation; 1: Poisson", {.min = 0, .max = 20}});
    flags.Add(
        {"--turns", &load_.turns, "N", "of the conversation that a request begins", {.min = 1, .max = 1000}});
    flags.Add({"--think", &load_.think_s, "S", "seconds before the next turn", {.min = 0, .max = 1e6}});
    flags.Add({"--cancel", &load_.cancel_share, "P", "of the clients leave halfway", {.min = 0, .max = 1}});
    flags.Add({"--simulate", &prices_, "PRICES",
               "of a step in us: step,token,logits,attended; nothing is computed"});
    flags.Add({"--page-by-page", &runtime_.options.disk.page_by_page, "",
               "to compare with: the disk moves a page at a time, and all wait"});
    flags.Add({"--seed", &seed_, "N", "of texts, bursts and leaving"});
    flags.Add({"--svg", &svg_, "FILE", "also draw the waiting times there"});
    flags.Add({"--json", &json_, "FILE", "also write the results there; -: only them, to standard output"});
    runtime_.AddMachine(flags);
    runtime_.AddEngine(flags);
    return flags;
  }

  Result<int> Run() override {
    QUIRE_ASSIGN(const auto trace, ReadTrace(trace_, requests_));
    QUIRE_ASSIGN(const auto runtime, runtime_.Load());
    load_.context = runtime->engine->options().max_context;
    load_.seed = *seed_;
    load_.vocab = runtime->model->info().vocab_size;
    load_.tokenize = [&](std::string_view text) {
      return runtime->tokenizer->Encode(text, {.add_special = false});
    };
    const Workload workload = MakeWorkload(trace, load_);
    ProgressBar bar("replaying");
    const int64_t resident_before = ResidentBytes();
    const auto progress = [&](int64_t done, int64_t all) {
      resident_bytes_ = std::max(resident_bytes_, ResidentBytes() - resident_before);
      bar.Set(Share(done, all), fmt::format("{} of {} turns", done, all));
    };
    ReplayOptions options{.users = static_cast<int>(users_), .progress = progress};
    QUIRE_ASSIGN(const ReplayResult result, prices_.empty() ? InRealTime(*runtime, workload, options)
                                                            : Simulated(*runtime, workload, options));
    bar.Finish();
    const ReplaySummary summary = Summarise(result);
    if (json_ != "-") QUIRE_TRY(WriteOut(Table(*runtime, workload, summary)));
    if (!json_.empty()) QUIRE_TRY(WriteJson(*runtime, result, summary));
    if (!svg_.empty()) QUIRE_TRY(WriteSvg(*runtime, summary));
    if (memory_.kv.used > 0) {
      return Fail(ErrorCode::kInternal, "{} bytes of KV pages are still held when all turns are over",
                  memory_.kv.used);
    }
    return summary.failed == 0 ? 0 : 1;
  }

 private:
  Result<ReplayResult> InRealTime(Runtime& runtime, const Workload& workload, const ReplayOptions& options) {
    runtime.engine->Start();
    ReplayResult result = Replay(*runtime.engine, workload, options);
    runtime.engine->Drain();
    std::promise<void> answered;
    const bool asked = AskMemory(*runtime.engine, [&] { answered.set_value(); });
    if (asked) answered.get_future().wait();
    return result;
  }

  // An engine of the same memory, whose steps take what they are said to.
  Result<ReplayResult> Simulated(Runtime& runtime, const Workload& workload, ReplayOptions options) {
    QUIRE_ASSIGN(const StepPrices prices, ParseStepPrices(prices_));
    ManualClock clock;
    TimedModel model(*runtime.model, prices, clock);
    const EngineOptions& like = runtime.engine->options();
    QUIRE_ASSIGN(auto cache,
                 MakeKvCache(model.kv_layouts(), runtime_.options.kv_layout, runtime.engine->kv_usage().limit,
                             like.max_context, like.max_sequences));
    QUIRE_ASSIGN(const auto engine,
                 Engine::Create(model, nullptr, std::move(cache), *runtime.pool, like, clock));
    options.clock = &clock;
    ReplayResult result = Replay(*engine, workload, options);
    AskMemory(*engine, [] {});
    engine->Step();
    return result;
  }

  std::string Table(const Runtime& runtime, const Workload& workload, const ReplaySummary& summary) const {
    std::string text =
        fmt::format("{}, {} kernels, {} threads, scheduling {}, prefix caching {}\n",
                    runtime.model->info().name, BestKernels().name, runtime.pool->threads(),
                    runtime_.options.engine.scheduling, runtime_.CachesPrefixes() ? "on" : "off");
    text += fmt::format(
        "{} turns done, {} left by their clients, {} failed; {} conversations cut to the context\n",
        summary.done, summary.left, summary.failed, workload.cut);
    text += fmt::format("prompts {} tokens, {:.1f} % from the cache ({:.1f} % is there to share)\n",
                        summary.prompt_tokens, 100 * Share(summary.cached_tokens, summary.prompt_tokens),
                        100 * Share(summary.shared_tokens, summary.prompt_tokens));
    text += fmt::format("output  {} tokens, {:.1f} per second, {:.2f} turns per second\n",
                        summary.output_tokens, summary.output_tokens_per_s, summary.turns_per_s);
    TextTable table({"seconds", "mean", "p50", "p90", "p99", "max"});
    const auto add = [&](const char* name, const Quantiles& q) {
      table.Add({name, fmt::format("{:.3f}", q.mean), fmt::format("{:.3f}", q.p50),
                 fmt::format("{:.3f}", q.p90), fmt::format("{:.3f}", q.p99), fmt::format("{:.3f}", q.max)});
    };
    add("to the first token", summary.first_token_s);
    add("between tokens", summary.gap_s);
    add("whole turns", summary.turn_s);
    add("conversations", summary.job_s);
    return text + table.Render();
  }

  Status WriteSvg(const Runtime& runtime, const ReplaySummary& summary) const {
    std::vector<Bar> bars;
    const auto add = [&](const std::string& name, const Quantiles& q) {
      bars.push_back({name + ", mean", q.mean, 0, 0});
      bars.push_back({name + ", p50", q.p50, 0, 0});
      bars.push_back({name + ", p99", q.p99, 0, 0});
    };
    add("first token", summary.first_token_s);
    add("between tokens", summary.gap_s);
    add("whole turn", summary.turn_s);
    return WriteBars(svg_, fmt::format("{} serves {}", runtime.model->info().name, trace_), "s", bars);
  }

  // Writes down how the engine stands, during its next step.
  bool AskMemory(Engine& engine, std::function<void()> answered) {
    return engine.AskMemory([this, &engine, answered = std::move(answered)](const MemoryReport& report) {
      memory_ = report;
      preemptions_ = engine.metrics().preemptions.value();
      answered();
    });
  }

  Status WriteJson(const Runtime& runtime, const ReplayResult& result, const ReplaySummary& summary) const {
    const EngineOptions& engine = runtime_.options.engine;
    ordered_json json = BenchReport("replay", runtime.model->info().name, *runtime.pool,
                                    {{"scheduling", engine.scheduling},
                                     {"retention", engine.retention},
                                     {"simulated", prices_},
                                     {"prefix_caching", runtime_.CachesPrefixes()},
                                     {"kv_layout", runtime_.options.kv_layout},
                                     {"admission", runtime_.Admission()},
                                     {"kv_bytes", runtime.engine->kv_usage().total},
                                     {"trace", trace_},
                                     {"length_scale", load_.length_scale},
                                     {"speed", load_.speed},
                                     {"users", users_},
                                     {"burst_cv", load_.burst_cv},
                                     {"turns", load_.turns}});
    json.update({{"seconds", result.seconds},
                 {"done", summary.done},
                 {"left", summary.left},
                 {"failed", summary.failed},
                 {"prompt_tokens", summary.prompt_tokens},
                 {"cached_tokens", summary.cached_tokens},
                 {"shared_tokens", summary.shared_tokens},
                 {"output_tokens", summary.output_tokens},
                 {"output_tokens_per_second", summary.output_tokens_per_s},
                 {"first_token_seconds", QuantilesJson(summary.first_token_s)},
                 {"gap_seconds", QuantilesJson(summary.gap_s)},
                 {"turn_seconds", QuantilesJson(summary.turn_s)},
                 {"conversation_seconds", QuantilesJson(summary.job_s)},
                 {"kv_bytes_used_at_end", memory_.kv.used},
                 {"preemptions", preemptions_},
                 {"kv_resident_bytes", resident_bytes_},
                 {"commit_shares", CommitSharesJson(runtime)},
                 {"memory", MemoryJson(memory_)}});
    for (const TurnRecord& turn : result.turns) {
      json["results"].push_back({{"conversation", turn.conversation},
                                 {"asked", turn.asked_s},
                                 {"first", turn.first_s},
                                 {"last", turn.last_s},
                                 {"prompt_tokens", turn.prompt_tokens},
                                 {"cached_tokens", turn.cached_tokens},
                                 {"shared_tokens", turn.shared_tokens},
                                 {"output_tokens", turn.output_tokens},
                                 {"end", EndName(turn.end)},
                                 {"failure", turn.failure}});
    }
    return WriteJsonTo(json_, json);
  }

  MemoryReport memory_;  // at the end
  double preemptions_ = 0;
  RuntimeFlags runtime_;
  WorkloadOptions load_;
  std::string trace_, prices_, json_, svg_;
  std::optional<uint64_t> seed_ = 1;
  int64_t requests_ = 100, users_ = 0;
  int64_t resident_bytes_ = 0;  // at the ends of turns, beyond those before the first, at most
};

}  // namespace

std::unique_ptr<Verb> MakeBenchReplay() { return std::make_unique<BenchReplayVerb>(); }

}  // namespace quire
