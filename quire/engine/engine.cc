#include "quire/engine/engine.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "quire/base/byte_size.h"
#include "quire/base/check.h"
#include "quire/engine/inbox.h"
#include "quire/engine/output.h"
#include "quire/engine/request_limits.h"
#include "quire/engine/sampler.h"
#include "quire/engine/scheduler.h"
#include "quire/kernels/kernels.h"

// Invariants:
// - Everything but the inbox, the metrics, the limits of requests and the usage snapshot belongs to the
//   thread that calls Step.
// - While a step is computed no sequence changes: results are collected aside and applied in Commit, so a
//   step that throws leaves nothing half done but its own requests, which end with the error.
// - Every sample of a request gets exactly one event with `finish`, and nothing after it.

namespace quire {
namespace {

// What a step found out about one of its sequences.
struct SequenceResult {
  std::vector<SampledToken> sampled;                             // one per sample that continues here
  std::vector<std::optional<PositionLogprobs>> prompt_logprobs;  // by token of the step
};

std::vector<std::string> NamesOf(const std::vector<KvTypeLimits>& types) {
  std::vector<std::string> names;
  for (const KvTypeLimits& type : types) names.push_back(type.name);
  return names;
}

class PagedEngine final : public Engine {
 public:
  PagedEngine(LanguageModel& model, const Tokenizer* tokenizer, std::unique_ptr<KvCache> cache,
              std::unique_ptr<PageTier> tier, std::unique_ptr<SchedulingPolicy> policy,
              std::unique_ptr<AdmissionPolicy> admission, ThreadPool& pool, const EngineOptions& options,
              const RequestLimits& limits, const Clock& clock)
      : model_(model),
        tokenizer_(tokenizer),
        pool_(pool),
        options_(options),
        limits_(limits),
        clock_(clock),
        metrics_(model.info().name, limits.context, NamesOf(limits.kv_types)),
        inbox_(options.max_queue),
        scheduler_(std::move(cache), WakingUp(std::move(tier)), std::move(policy), std::move(admission),
                   {.step_tokens = options.max_step_tokens,
                    .sequences = options.max_sequences,
                    .context = limits.context,
                    .step_goal_s = Seconds(options.target_itl),
                    .prefix_caching = options.prefix_caching,
                    .pin_share = options.pin_share}),
        samplers_(pool.threads(), Sampler(BestKernels(), limits.vocab_size)) {
    std::random_device device;
    seed_base_ = (static_cast<uint64_t>(device()) << 32) | device();
    PublishUsage();
  }
  ~PagedEngine() override { Stop(); }

  void Start() override {
    QUIRE_CHECK(!started_.exchange(true));
    thread_ = std::thread([this] { Loop(); });
  }

  Result<RequestId> Submit(Request request, std::shared_ptr<TokenSink> sink) override;
  std::vector<std::string> kv_types() const override { return NamesOf(Limits().kv_types); }
  Result<int64_t> OutputLimit(const Request& request) const override {
    return quire::OutputLimit(request, Limits());
  }
  void Cancel(RequestId id) override { inbox_.Cancel(id); }
  void Drain() override;
  void Stop() override;
  bool Step() override;

  const EngineOptions& options() const override { return options_; }
  EngineMetrics& metrics() override { return metrics_; }
  KvUsage kv_usage() const override {
    const std::lock_guard lock(shared_mutex_);
    return usage_;
  }

  bool AskMemory(std::function<void(const MemoryReport&)> answer) override {
    return inbox_.Ask([this, answer = std::move(answer)] { answer(Report()); });
  }
  bool ResizeKv(int64_t kv_bytes, std::function<void(const Result<MemoryReport>&)> answer) override {
    return inbox_.Ask([this, kv_bytes, answer = std::move(answer)] {
      const Status resized = Resize(kv_bytes);
      answer(resized ? Result<MemoryReport>(Report()) : std::unexpected(resized.error()));
    });
  }

  bool Pin(PinAsked asked, std::function<void(const Result<int64_t>&)> answer) override {
    return inbox_.Ask([this, asked = std::move(asked), answer = std::move(answer)] {
      const auto layout = FindKvLayout(asked.kv_type, limits_);
      answer(layout ? scheduler_.Pin(asked, *layout) : std::unexpected(layout.error()));
    });
  }
  bool Unpin(std::string name) override {
    return inbox_.Ask([this, name = std::move(name)] { scheduler_.Unpin(name); });
  }

  bool Keep(std::string salt, std::string kv_type, std::vector<Token> tokens) override {
    return inbox_.Ask(
        [this, salt = std::move(salt), kv_type = std::move(kv_type), tokens = std::move(tokens)] {
          if (const auto layout = FindKvLayout(kv_type, limits_)) scheduler_.Keep(salt, *layout, tokens);
        });
  }

 private:
  void Loop();
  std::unique_ptr<PageTier> WakingUp(std::unique_ptr<PageTier> tier);

  // The verbs of a step, in order.
  void TakeArrivals(std::vector<std::shared_ptr<LiveRequest>> arrivals);
  void CancelRequests(const Inbox::Mail& mail);
  PlannedStep Plan();
  std::vector<SequenceResult> Forward(const PlannedStep& step);
  void Sample(std::span<LogitsRow> rows, const PlannedStep& step, std::vector<SequenceResult>& results);
  void Commit(const PlannedStep& step, std::vector<SequenceResult> results);
  void Retire();

  void SampleRow(const LogitsRow& row, const Sequence& sequence, Sampler& sampler, SequenceResult& result);
  void CommitSequence(Sequence& sequence, SequenceResult result, TimePoint now);
  bool TakePromptLogprobs(LiveRequest& owner, int64_t position, SequenceResult& result);
  void CompletePrompt(const Sequence& sequence);
  void Deliver(Sequence& sequence, SampledToken sampled, TimePoint now);
  std::string ToolOf(const Sequence& sequence) const;
  void End(Sequence& sequence, FinishReason reason, std::optional<Error> error = std::nullopt);
  template <typename Predicate>
  void EndWhere(Predicate&& matches, FinishReason reason, const std::optional<Error>& error = std::nullopt);
  void FailStep(const PlannedStep& step, const char* what);
  void RecordFinish(const Sequence& sequence, FinishReason reason, int samples);
  void ObserveCommits(const PlannedStep& step);
  void PublishUsage();
  MemoryReport Report() const { return ReportMemory(scheduler_, model_.info(), clock_.Now()); }
  Status Resize(int64_t kv_bytes);
  RequestLimits Limits() const {
    const std::lock_guard lock(shared_mutex_);
    return limits_;
  }
  template <typename Call>
  void CallSink(const LiveRequest& owner, Call&& call);

  LanguageModel& model_;
  const Tokenizer* const tokenizer_;
  ThreadPool& pool_;
  const EngineOptions options_;
  RequestLimits limits_;
  const Clock& clock_;
  EngineMetrics metrics_;
  Inbox inbox_;
  uint64_t seed_base_ = 0;

  Scheduler scheduler_;
  std::vector<Sampler> samplers_;  // one per thread of the pool
  std::vector<Sequence*> ended_;   // got their last event in this step
  double commit_s_ = 0;            // of the cache, up to the last step
  bool stopped_ = false;

  mutable std::mutex shared_mutex_;  // of limits_ and usage_, which other threads read
  KvUsage usage_;
  std::mutex stop_mutex_;  // serialises Stop
  std::atomic<bool> started_ = false;
  std::thread thread_;
};

// -- Any thread ---------------------------------------------------------------------------------------------

Result<RequestId> PagedEngine::Submit(Request request, std::shared_ptr<TokenSink> sink) {
  QUIRE_TRY(CheckSampling(request.sampling, Limits()));
  QUIRE_ASSIGN(const int layout, FindKvLayout(request.kv_type, Limits()));
  const Result<int64_t> output_limit = OutputLimit(request);
  if (!output_limit) {
    metrics_.rejected_too_long.Add();
    return std::unexpected(output_limit.error());
  }
  auto live = std::make_shared<LiveRequest>();
  live->request = std::move(request);
  live->sink = std::move(sink);
  live->arrival = clock_.Now();
  live->max_output_tokens = *output_limit;
  live->kv_layout = layout;
  live->stop_tokens = StopTokens(live->request.sampling, tokenizer_);
  live->samples_left = live->request.sampling.n;
  const Result<uint64_t> id = inbox_.Put(live);
  if (!id && id.error().code == ErrorCode::kResourceExhausted) metrics_.rejected_queue_full.Add();
  return id;
}

void PagedEngine::Drain() {
  inbox_.Close();
  while (!started_ && (Step() || scheduler_.restoring())) {
  }
  inbox_.WaitUntilDone();
}

void PagedEngine::Stop() {
  const std::lock_guard lock(stop_mutex_);
  inbox_.Stop();
  if (thread_.joinable()) {
    thread_.join();
  } else if (!stopped_) {
    Step();
  }
}

// -- The engine thread --------------------------------------------------------------------------------------

// A tier with a completion is mail without content.
std::unique_ptr<PageTier> PagedEngine::WakingUp(std::unique_ptr<PageTier> tier) {
  if (tier != nullptr) tier->SetWake([this] { inbox_.Ask([] {}); });
  return tier;
}

void PagedEngine::Loop() {
  while (!stopped_) {
    if (!Step()) inbox_.WaitForMail();
  }
}

bool PagedEngine::Step() {
  Inbox::Mail mail = inbox_.Take();
  const bool had_mail = !mail.empty();
  scheduler_.TellTime(clock_.Now());
  TakeArrivals(std::move(mail.arrivals));
  CancelRequests(mail);
  Retire();
  for (const auto& question : mail.questions) question();

  const PlannedStep step = Plan();
  if (!step.sequences.empty()) {
    try {
      Commit(step, Forward(step));
    } catch (const std::exception& error) {
      FailStep(step, error.what());
    } catch (...) {
      FailStep(step, "unknown exception");
    }
    Retire();
    ObserveCommits(step);
  }
  PublishUsage();
  return had_mail || !step.sequences.empty();
}

// A sequence of two tokens is one that generates.
Status PagedEngine::Resize(int64_t kv_bytes) {
  const KvCache& cache = scheduler_.cache();
  const auto page_bytes = static_cast<int64_t>(cache.layout().page_bytes());
  int64_t least = 0;
  for (int layout = 0; layout < std::ssize(cache.layouts()); ++layout) {
    least = std::max(least, cache.PagesFor(2, options_.max_step_tokens, layout) * page_bytes);
  }
  if (kv_bytes < least) {
    return Fail(ErrorCode::kInvalidArgument, "KV memory of {} holds no sequence; give at least {}",
                FormatByteSize(kv_bytes), FormatByteSize(least));
  }
  const int64_t preemptions = scheduler_.preemptions();
  QUIRE_TRY(scheduler_.Resize(kv_bytes));
  metrics_.preemptions.Add(static_cast<double>(scheduler_.preemptions() - preemptions));
  const std::lock_guard lock(shared_mutex_);
  SizePool(limits_, cache, options_.max_step_tokens);
  return {};
}

void PagedEngine::ObserveCommits(const PlannedStep& step) {
  const double commits_s = scheduler_.cache().Usage().commit_s;
  const double in_step_s = commits_s - std::exchange(commit_s_, commits_s);
  if (commits_s == 0) return;  // not counted
  const double step_s = std::max(Seconds(clock_.Now() - step.start), in_step_s);
  if (step_s > 0) metrics_.commit_share.Observe(in_step_s / step_s);
}

void PagedEngine::TakeArrivals(std::vector<std::shared_ptr<LiveRequest>> arrivals) {
  for (std::shared_ptr<LiveRequest>& live : arrivals) {
    const SamplingParams& params = live->request.sampling;
    live->seed = params.seed.value_or(seed_base_ + live->id);
    if (params.prompt_logprobs) live->prompt_logprobs = {std::nullopt};
    auto sequence = std::make_unique<Sequence>();
    sequence->id = live->id * kMaxSamples;
    sequence->owner = live;
    sequence->pages.layout = live->kv_layout;
    sequence->forks_due = params.n - 1;
    sequence->tokens = live->request.prompt;
    if (TokenCounts::Needed(params)) sequence->seen.AddPrompt(live->request.prompt);
    StartText(*sequence, tokenizer_);
    scheduler_.Add(std::move(sequence));
  }
}

void PagedEngine::CancelRequests(const Inbox::Mail& mail) {
  if (mail.cancels.empty() && !mail.stop) return;
  const std::set<uint64_t> ids(mail.cancels.begin(), mail.cancels.end());
  EndWhere([&](const Sequence& s) { return mail.stop || ids.contains(s.owner->id); },
           FinishReason::kCancelled);
  stopped_ = mail.stop;
}

PlannedStep PagedEngine::Plan() {
  const int64_t preemptions = scheduler_.preemptions();
  const TimePoint now = clock_.Now();
  PlannedStep step = scheduler_.Plan(now);
  metrics_.preemptions.Add(static_cast<double>(scheduler_.preemptions() - preemptions));
  for (Sequence* sequence : step.sequences) {
    if (sequence->first_step) continue;
    sequence->first_step = now;
    inbox_.LeftQueue();
  }
  return step;
}

std::vector<SequenceResult> PagedEngine::Forward(const PlannedStep& step) {
  std::vector<SequenceResult> results(step.sequences.size());
  for (size_t i = 0; i < results.size(); ++i) {
    if (step.plan.sequences[i].logits != LogitsWanted::kAll) continue;
    results[i].prompt_logprobs.resize(step.sequences[i]->scheduled);
  }
  model_.Forward(step.plan, scheduler_.cache().arena(),
                 [&](std::span<LogitsRow> rows) { Sample(rows, step, results); });
  return results;
}

void PagedEngine::Sample(std::span<LogitsRow> rows, const PlannedStep& step,
                         std::vector<SequenceResult>& results) {
  const auto sample = [&](int64_t i, int worker) {
    const int at = rows[i].sequence;
    try {
      SampleRow(rows[i], *step.sequences[at], samplers_[worker], results[at]);
    } catch (...) {
      // Leaves the result out, and Commit ends the sequence: an exception must not leave a pool thread.
    }
  };
  if (rows.size() == 1) {
    sample(0, 0);
  } else {
    pool_.Run(std::ssize(rows), sample);
  }
}

// Rows of one sequence may be sampled at once; each writes a place of its own.
void PagedEngine::SampleRow(const LogitsRow& row, const Sequence& sequence, Sampler& sampler,
                            SequenceResult& result) {
  const LiveRequest& owner = *sequence.owner;
  const SamplingParams& params = owner.request.sampling;
  const int64_t next = row.position + 1;
  if (next < owner.prompt_tokens() && params.prompt_logprobs) {
    result.prompt_logprobs[row.position - sequence.computed] =
        sampler.Logprobs(row.logits, owner.request.prompt[next], *params.prompt_logprobs);
  }
  if (next < std::ssize(sequence.tokens)) return;
  const int64_t position = sequence.output_tokens();
  result.sampled = sampler.Sample(
      row.logits,
      {.params = params,
       .seen = sequence.seen,
       .masked = position < params.min_tokens ? std::span(owner.stop_tokens) : std::span<const Token>(),
       .seed = owner.seed,
       .first_sample = sequence.sample,
       .draws = sequence.places(),
       .position = position});
}

void PagedEngine::Commit(const PlannedStep& step, std::vector<SequenceResult> results) {
  metrics_.step_tokens.Observe(static_cast<double>(step.plan.tokens()));
  const TimePoint now = clock_.Now();
  scheduler_.Took(step, now);
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    CommitSequence(*step.sequences[i], std::move(results[i]), now);
  }
}

void PagedEngine::CommitSequence(Sequence& sequence, SequenceResult result, TimePoint now) {
  LiveRequest& owner = *sequence.owner;
  const bool samples = sequence.reaches_end();
  if (!TakePromptLogprobs(owner, sequence.computed, result) || (samples && result.sampled.empty())) {
    metrics_.corrupted_requests.Add();
    return End(
        sequence, FinishReason::kError,
        Error{ErrorCode::kInternal, "the model computed logits that are not numbers; check its weights"});
  }
  scheduler_.Commit(sequence);
  if (!samples) return;
  if (sequence.output_tokens() == 0) CompletePrompt(sequence);
  if (owner.max_output_tokens == 0) return End(sequence, FinishReason::kLength);
  while (sequence.forks_due > 0) {
    Sequence& fork = scheduler_.Fork(sequence);
    Deliver(fork, std::move(result.sampled[fork.sample - sequence.sample]), now);
  }
  Deliver(sequence, std::move(result.sampled[0]), now);
}

// Appends what is new of the step's prompt log-probabilities; after a preemption some are known already.
// False when one is missing.
bool PagedEngine::TakePromptLogprobs(LiveRequest& owner, int64_t position, SequenceResult& result) {
  for (size_t i = 0; i < result.prompt_logprobs.size() && owner.wants_prompt_logprobs(); ++i) {
    if (position + static_cast<int64_t>(i) + 1 != std::ssize(owner.prompt_logprobs)) continue;
    if (!result.prompt_logprobs[i]) return false;
    owner.prompt_logprobs.push_back(std::move(result.prompt_logprobs[i]));
  }
  return true;
}

void PagedEngine::CompletePrompt(const Sequence& sequence) {
  const LiveRequest& owner = *sequence.owner;
  const bool looked_up = options_.prefix_caching && !owner.request.sampling.prompt_logprobs;
  metrics_.CountPrompt(owner.prompt_tokens(), looked_up ? std::optional(sequence.cached) : std::nullopt);
  if (!owner.request.sampling.prompt_logprobs) return;
  CallSink(owner, [&](TokenSink& sink) { sink.OnPromptLogprobs(owner.prompt_logprobs); });
}

void PagedEngine::Deliver(Sequence& sequence, SampledToken sampled, TimePoint now) {
  OutputEvent event = AppendToken(sequence, std::move(sampled), tokenizer_);
  const LiveRequest& owner = *sequence.owner;
  if (sequence.last_token) {
    metrics_.inter_token_latency.Observe(Seconds(now - *sequence.last_token));
  } else {
    sequence.first_token = now;
    metrics_.time_to_first_token.Observe(Seconds(now - owner.arrival));
  }
  sequence.last_token = now;
  metrics_.generation_tokens.Add();
  if (event.finish) {
    sequence.called_tool = ToolOf(sequence);
    RecordFinish(sequence, *event.finish, 1);
    ended_.push_back(&sequence);
  }
  CallSink(owner, [&](TokenSink& sink) { sink.OnOutput(std::move(event)); });
}

std::string PagedEngine::ToolOf(const Sequence& sequence) const {
  const SessionUse& session = sequence.owner->request.session;
  if (session.id.empty() || !session.next_tool.empty()) return session.next_tool;
  if (session.tools.empty() || tokenizer_ == nullptr) return "";
  const auto output = std::span(sequence.tokens).subspan(sequence.owner->prompt_tokens());
  return CalledTool(tokenizer_->Decode(output, false), session.tools);
}

// Ends a sequence without a further token, and the samples that would have forked from it.
void PagedEngine::End(Sequence& sequence, FinishReason reason, std::optional<Error> error) {
  RecordFinish(sequence, reason, sequence.places());
  ended_.push_back(&sequence);
  for (int i = 0; i < sequence.places(); ++i) {
    CallSink(*sequence.owner, [&](TokenSink& sink) {
      sink.OnOutput(FinishEvent(sequence, sequence.sample + i, reason, error));
    });
  }
}

template <typename Predicate>
void PagedEngine::EndWhere(Predicate&& matches, FinishReason reason, const std::optional<Error>& error) {
  for (const auto list : {scheduler_.running(), scheduler_.waiting()}) {
    for (const auto& sequence : list) {
      const bool ended = std::ranges::find(ended_, sequence.get()) != ended_.end();
      if (!ended && matches(*sequence)) End(*sequence, reason, error);
    }
  }
}

// Ends all samples of the step's requests: a fork that was just made is in no plan yet.
void PagedEngine::FailStep(const PlannedStep& step, const char* what) {
  const Error error{ErrorCode::kInternal,
                    fmt::format("the step that computed this request failed: {}", what)};
  std::set<const LiveRequest*> failed;
  for (const Sequence* sequence : step.sequences) failed.insert(sequence->owner.get());
  EndWhere([&](const Sequence& s) { return failed.contains(s.owner.get()); }, FinishReason::kError, error);
}

void PagedEngine::Retire() {
  int done = 0;
  for (Sequence* sequence : std::exchange(ended_, {})) {
    const std::shared_ptr<LiveRequest> owner = sequence->owner;
    if (!sequence->first_step) inbox_.LeftQueue();
    owner->samples_left -= sequence->places();
    scheduler_.Remove(*sequence);
    if (owner->samples_left > 0) continue;
    metrics_.params_n.Observe(owner->request.sampling.n);
    ++done;
  }
  if (done > 0) PublishUsage();  // whoever waits for the end may look at it then
  for (; done > 0; --done) inbox_.Done();
}

// -- Edges --------------------------------------------------------------------------------------------------

// A sink that throws loses its request and nobody else's.
template <typename Call>
void PagedEngine::CallSink(const LiveRequest& owner, Call&& call) {
  try {
    call(*owner.sink);
  } catch (...) {
    inbox_.Cancel(owner.id);
  }
}

void PagedEngine::RecordFinish(const Sequence& sequence, FinishReason reason, int samples) {
  const LiveRequest& owner = *sequence.owner;
  Counter* const counters[] = {&metrics_.finished_stop, &metrics_.finished_length, &metrics_.finished_abort,
                               &metrics_.finished_error};
  counters[static_cast<int>(reason)]->Add(samples);
  for (int i = 0; i < samples; ++i) {
    metrics_.params_max_tokens.Observe(static_cast<double>(owner.max_output_tokens));
    metrics_.prompt_length.Observe(static_cast<double>(owner.prompt_tokens()));
    metrics_.generation_length.Observe(static_cast<double>(sequence.output_tokens()));
    metrics_.e2e_latency.Observe(Seconds(clock_.Now() - owner.arrival));
  }
  if (sequence.first_step) metrics_.queue_time.Observe(Seconds(*sequence.first_step - owner.arrival));
  if (!sequence.first_token) return;
  const double decode = Seconds(*sequence.last_token - *sequence.first_token);
  metrics_.prefill_time.Observe(Seconds(*sequence.first_token - *sequence.first_step));
  metrics_.decode_time.Observe(decode);
  metrics_.inference_time.Observe(Seconds(*sequence.last_token - *sequence.first_step));
  if (sequence.output_tokens() > 1) {
    metrics_.time_per_output_token.Observe(decode / static_cast<double>(sequence.output_tokens() - 1));
  }
}

void PagedEngine::PublishUsage() {
  const KvCache& cache = scheduler_.cache();
  const KvUsage usage = cache.Usage();
  metrics_.SetKvUsage(usage);
  if (cache.layouts().size() > 1) metrics_.SetKvTypes(cache);
  metrics_.SetPins(cache.pins(),
                   cache.index_usage().pinned_pages * static_cast<int64_t>(cache.layout().page_bytes()));
  if (const PageArchive* archive = scheduler_.archive()) metrics_.SetTiers(*archive);
  metrics_.requests_running.Set(static_cast<double>(scheduler_.running().size()));
  metrics_.requests_waiting.Set(static_cast<double>(scheduler_.waiting().size()));
  const std::lock_guard lock(shared_mutex_);
  usage_ = usage;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Create(LanguageModel& model, const Tokenizer* tokenizer,
                                               std::unique_ptr<KvCache> cache, ThreadPool& pool,
                                               EngineOptions options, const Clock& clock,
                                               std::unique_ptr<PageTier> tier) {
  if (options.max_step_tokens < 1 || options.max_sequences < 1 || options.max_queue < 1) {
    return Fail(ErrorCode::kInvalidArgument,
                "max_step_tokens ({}), max_sequences ({}) and max_queue ({}) must each be at least 1",
                options.max_step_tokens, options.max_sequences, options.max_queue);
  }
  const int64_t model_context = model.info().context_length;
  if (options.max_context < 0 || options.max_context > model_context) {
    return Fail(ErrorCode::kInvalidArgument,
                "max_context is {}; the model's context allows 1 to {}, or 0 for all", options.max_context,
                model_context);
  }
  if (options.max_context == 0) options.max_context = model_context;
  QUIRE_ASSIGN(auto policy, MakeSchedulingPolicy(options.scheduling));
  QUIRE_ASSIGN(auto admission, MakeAdmissionPolicy(options.admission));
  QUIRE_ASSIGN(auto retention, MakeRetentionPolicy(options.retention));
  RequestLimits limits{.vocab_size = model.info().vocab_size,
                       .context = options.max_context,
                       .max_samples = static_cast<int>(std::min<int64_t>(kMaxSamples, options.max_sequences)),
                       .has_tokenizer = tokenizer != nullptr};
  SizePool(limits, *cache, options.max_step_tokens);
  if (std::ranges::min(limits.kv_types, {}, &KvTypeLimits::pool_context).pool_context < 2) {
    return Fail(ErrorCode::kInvalidArgument,
                "KV memory of {} does not hold a sequence of two tokens; give more with --kv-memory",
                FormatByteSize(limits.pool_bytes));
  }
  cache->SetRetention(std::move(retention));
  return std::make_unique<PagedEngine>(model, tokenizer, std::move(cache), std::move(tier), std::move(policy),
                                       std::move(admission), pool, options, limits, clock);
}

}  // namespace quire
