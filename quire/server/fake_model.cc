#include "quire/server/fake_model.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "quire/base/split_mix.h"
#include "quire/engine/request_limits.h"
#include "quire/server/json_body.h"

namespace quire {
namespace {

constexpr Token kEnd = 256;
constexpr int kVocabSize = 257;
constexpr std::string_view kEndText = "<|end|>";
constexpr int64_t kNaturalLength = 40;
constexpr int64_t kPageTokens = 16;

class FakeTokenizer final : public Tokenizer {
 public:
  std::vector<Token> Encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<Token> tokens;
    for (size_t at = 0; at < text.size();) {
      const auto next_break = std::ranges::upper_bound(options.breaks, at);
      const bool whole = next_break == options.breaks.end() || *next_break >= at + kEndText.size();
      if (options.parse_special && whole && text.substr(at).starts_with(kEndText)) {
        tokens.push_back(kEnd);
        at += kEndText.size();
      } else {
        tokens.push_back(static_cast<unsigned char>(text[at++]));
      }
    }
    return tokens;
  }
  std::vector<size_t> SpecialTextAt(std::string_view text) const override {
    std::vector<size_t> begins;
    for (size_t at = 0; (at = text.find(kEndText, at)) != text.npos; ++at) begins.push_back(at);
    return begins;
  }
  std::string TokenBytes(Token token, bool special) const override {
    if (token == kEnd) return special ? std::string(kEndText) : "";
    return token >= 0 && token < kEnd ? std::string(1, static_cast<char>(token)) : "";
  }
  std::string Decode(std::span<const Token> tokens, bool skip_special) const override {
    std::string text;
    for (Token token : tokens) text += TokenBytes(token, !skip_special);
    return text;
  }
  bool strips_leading_space() const override { return false; }
  int vocab_size() const override { return kVocabSize; }
  bool IsSpecial(Token token) const override { return token == kEnd; }
  std::optional<Token> Find(std::string_view piece) const override {
    return piece == kEndText ? std::optional(kEnd) : std::nullopt;
  }
  std::optional<Token> bos() const override { return std::nullopt; }
  std::optional<Token> eos() const override { return kEnd; }
  const std::vector<Token>& stop_tokens() const override { return stops_; }

 private:
  const std::vector<Token> stops_{kEnd};
};

// "user: hello\n" per message, then "assistant: ".
class FakeTemplate final : public ChatTemplate {
 public:
  Result<std::string> Render(const ChatInput& input) const override {
    std::string prompt;
    for (const auto& message : input.messages) {
      const std::string role = message["role"];
      if (role == "nobody") return Fail(ErrorCode::kInvalidArgument, "unknown role nobody");
      prompt += role + ": " + message["content"].get<std::string>() + "\n";
    }
    if (!input.tools.is_null()) prompt += "tools: " + DumpJson(input.tools) + "\n";
    return prompt + (input.add_generation_prompt ? "assistant: " : "");
  }
  const std::string& source() const override { return source_; }

 private:
  const std::string source_ = "fake";
};

class FakeModel final : public LanguageModel {
 public:
  explicit FakeModel(int64_t context) {
    info_.name = "fake";
    info_.architecture = "fake";
    info_.vocab_size = kVocabSize;
    info_.context_length = context;
  }
  const ModelInfo& info() const override { return info_; }
  std::span<const KvLayout> kv_layouts() const override { throw std::logic_error("a fake model has no KV"); }
  void Forward(const StepPlan&, const PageArena&, const LogitsSink&) override {
    throw std::logic_error("a fake model computes nothing");
  }

 private:
  ModelInfo info_;
};

// What one sample will say, known beforehand.
struct FakeSample {
  std::vector<OutputEvent> events;
  size_t next = 0;
};

struct FakeRequest {
  std::string id, tenant;
  std::shared_ptr<TokenSink> sink;
  std::optional<std::vector<std::optional<PositionLogprobs>>> prompt_logprobs;
  std::vector<FakeSample> samples;
  int64_t prompt_tokens = 0;
};

PositionLogprobs LogprobsOf(Token token, int top) {
  PositionLogprobs result{{token, -0.5F, 1}, {}};
  for (int i = 0; i < top; ++i)
    result.top.push_back({(token + i) % kEnd, -0.5F - static_cast<float>(i), i + 1});
  return result;
}

FakeSample Speak(const Request& request, int index, int64_t max_tokens) {
  static constexpr std::string_view kText =
      "pages keep what was said; \u00e4\u00f6\u00fc \u20ac \"quoted\"\n";
  constexpr uint64_t kFirsts = 25;  // places to begin that are not inside a character
  const SamplingParams& params = request.sampling;
  uint64_t state = params.temperature == 0 ? 0 : params.seed.value_or(1) + index;
  for (Token token : request.prompt) state = MixBits(state * 31 + token);
  std::string prompt;
  for (Token token : request.prompt) prompt += static_cast<char>(token);

  FakeSample sample;
  std::string text, held;
  for (int64_t i = 0;; ++i) {
    OutputEvent event;
    event.index = index;
    event.prompt_tokens = std::ssize(request.prompt);
    event.output_tokens = i;
    if (i == max_tokens) {
      event.finish = FinishReason::kLength;
      sample.events.push_back(event);
      return sample;
    }
    if (i == 3 && prompt.find("crash") != prompt.npos) {
      event.finish = FinishReason::kError;
      event.error = Error{ErrorCode::kInternal, "the fake model crashed"};
      sample.events.push_back(event);
      return sample;
    }
    const bool ends = i >= kNaturalLength && !params.ignore_eos && i >= params.min_tokens;
    const Token token = ends ? kEnd : static_cast<unsigned char>(kText[(state % kFirsts + i) % kText.size()]);
    event.tokens = {token};
    event.output_tokens = i + 1;
    if (params.logprobs) event.logprobs = {LogprobsOf(token, *params.logprobs)};
    if (ends) {
      event.finish = FinishReason::kStop;
      event.stop_token = token;
    } else {
      held += static_cast<char>(token);
    }
    // A character is shown once it is whole.
    if (IsUtf8(held)) event.text = std::exchange(held, "");
    text += event.text;
    for (const std::string& stop : params.stop) {
      if (stop.empty() || !text.ends_with(stop) || event.finish) continue;
      event.finish = FinishReason::kStop;
      event.stop_string = stop;
    }
    if (!event.finish && i + 1 == max_tokens) event.finish = FinishReason::kLength;
    const bool done = event.finish.has_value();
    sample.events.push_back(std::move(event));
    if (done) return sample;
  }
}

class FakeEngine final : public Engine {
  static constexpr int64_t kPageBytes = 1024;

 public:
  explicit FakeEngine(const FakeOptions& fake)
      : fake_(fake), metrics_("fake", fake.context), kv_bytes_(fake.max_queue * kPageBytes) {
    options_.max_context = fake.context;
    options_.max_queue = fake.max_queue;
  }
  ~FakeEngine() override { Stop(); }

  void Start() override {
    thread_ = std::thread([this] { Loop(); });
  }

  std::vector<std::string> kv_types() const override { return {"f16", "int8"}; }
  Result<int64_t> OutputLimit(const Request& request) const override {
    const auto prompt = std::ssize(request.prompt);
    const int64_t room = fake_.context - prompt;
    if (room >= request.sampling.max_tokens.value_or(1)) return request.sampling.max_tokens.value_or(room);
    return Fail(ErrorCode::kInvalidArgument,
                "the prompt has {} tokens, but the context is {} tokens; shorten it", prompt, fake_.context);
  }
  Result<RequestId> Submit(Request request, std::shared_ptr<TokenSink> sink) override {
    if (request.sampling.top_k == 13)
      return Fail(ErrorCode::kInvalidArgument, "top_k is 13; it must be lucky");
    QUIRE_ASSIGN(const int64_t max_tokens, OutputLimit(request));
    FakeRequest live;
    live.id = request.id;
    live.tenant = request.tenant;
    live.sink = std::move(sink);
    live.prompt_tokens = std::ssize(request.prompt);
    if (request.sampling.prompt_logprobs) {
      live.prompt_logprobs.emplace(1);
      for (Token token : std::span(request.prompt).subspan(1)) {
        live.prompt_logprobs->push_back(LogprobsOf(token, *request.sampling.prompt_logprobs));
      }
    }
    for (int i = 0; i < request.sampling.n; ++i) {
      live.samples.push_back(Speak(request, i, max_tokens));
    }
    std::lock_guard lock(mutex_);
    if (stopping_) return Fail(ErrorCode::kUnavailable, "the engine is draining");
    if (std::ssize(live_) >= fake_.max_queue) {
      return Fail(ErrorCode::kResourceExhausted, "{} requests wait; try again later", live_.size());
    }
    live_.emplace(++last_id_, std::make_shared<FakeRequest>(std::move(live)));
    bell_.notify_one();
    return last_id_;
  }

  void Cancel(RequestId id) override {
    std::lock_guard lock(mutex_);
    const auto found = live_.find(id);
    if (found == live_.end()) return;
    const std::shared_ptr<FakeRequest> live = found->second;
    live_.erase(found);
    for (size_t i = 0; i < live->samples.size(); ++i) {
      OutputEvent event;
      event.index = static_cast<int>(i);
      event.finish = FinishReason::kCancelled;
      live->sink->OnOutput(std::move(event));
    }
    metrics_.finished_abort.Add();
    Publish();
  }

  void Drain() override { Stop(); }
  void Stop() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      bell_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
    live_.clear();
  }

  bool Step() override {
    std::lock_guard lock(mutex_);
    // Sinks may submit and cancel.
    for (const auto& [id, live] : std::map(live_)) {
      if (live_.contains(id) && !Advance(*live)) live_.erase(id);
    }
    Publish();
    return !live_.empty();
  }

  const EngineOptions& options() const override { return options_; }
  EngineMetrics& metrics() override { return metrics_; }
  KvUsage kv_usage() const override { return {}; }
  bool AskMemory(std::function<void(const MemoryReport&)> answer) override {
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    answer(Report());
    return true;
  }
  bool ResizeKv(int64_t kv_bytes, std::function<void(const Result<MemoryReport>&)> answer) override {
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    if (kv_bytes < kPageBytes) {
      answer(Fail(ErrorCode::kInvalidArgument, "KV memory of {} B holds no sequence; give at least {} B",
                  kv_bytes, kPageBytes));
    } else {
      kv_bytes_ = kv_bytes;
      answer(Report());
    }
    return true;
  }

  // All of it is cached, in pages of kPageTokens.
  bool Pin(PinAsked asked, std::function<void(const Result<int64_t>&)> answer) override {
    if (asked.owner == "poor") {
      answer(Fail(ErrorCode::kResourceExhausted, "8 pages are pinned already"));
      return true;
    }
    const std::lock_guard lock(mutex_);
    const int64_t tokens = std::ssize(asked.tokens) / kPageTokens * kPageTokens;
    pins_[asked.name] = std::move(asked.owner);
    metrics_.pins.Set(static_cast<double>(pins_.size()));
    answer(tokens);
    return true;
  }
  bool Unpin(std::string name) override {
    const std::lock_guard lock(mutex_);
    pins_.erase(name);
    metrics_.pins.Set(static_cast<double>(pins_.size()));
    return true;
  }
  bool Keep(std::string, std::string, std::vector<Token>) override { return true; }

 private:
  // A page for every request.
  MemoryReport Report() const {
    MemoryReport report;
    report.page_bytes = kPageBytes;
    report.page_tokens = fake_.context;
    report.resident_bytes = 2 << 20;
    for (const auto& [id, live] : live_) {
      RequestMemory& memory = report.requests.emplace_back();
      memory.id = live->id;
      memory.tenant = live->tenant;
      memory.running = true;
      memory.sequences = static_cast<int>(live->samples.size());
      memory.prompt_tokens = live->prompt_tokens;
      for (const FakeSample& sample : live->samples)
        memory.output_tokens += static_cast<int64_t>(sample.next);
      memory.own_bytes = kPageBytes;
      report.kv.used += kPageBytes;
    }
    report.kv.limit = kv_bytes_;
    report.kv.total = std::max(kv_bytes_, report.kv.used);
    report.kv.committed = report.kv.used;
    report.kv.free = report.kv.total - report.kv.used;
    report.kv.filled = report.kv.used;
    return report;
  }

  // False when the request is finished.
  bool Advance(FakeRequest& live) {
    if (live.prompt_logprobs) live.sink->OnPromptLogprobs(*std::exchange(live.prompt_logprobs, std::nullopt));
    bool busy = false;
    for (FakeSample& sample : live.samples) {
      if (sample.next == sample.events.size()) continue;
      live.sink->OnOutput(sample.events[sample.next++]);
      busy |= sample.next < sample.events.size();
    }
    return busy;
  }

  void Publish() {
    int64_t pages = 0;
    for (const auto& [id, live] : live_) {
      for (const FakeSample& sample : live->samples) {
        pages += (live->prompt_tokens + static_cast<int64_t>(sample.next)) / kPageTokens + 1;
      }
    }
    metrics_.requests_running.Set(static_cast<double>(live_.size()));
    metrics_.kv_bytes_used.Set(static_cast<double>(pages * kPageTokens));
  }

  void Loop() {
    while (true) {
      {
        std::unique_lock lock(mutex_);
        bell_.wait(lock, [this] { return stopping_ || !live_.empty(); });
        if (stopping_) return;
      }
      Step();
      std::this_thread::sleep_for(fake_.beat);
    }
  }

  const FakeOptions fake_;
  EngineOptions options_;
  EngineMetrics metrics_;
  std::recursive_mutex mutex_;  // guards what follows; sinks are called with it
  std::condition_variable_any bell_;
  std::map<RequestId, std::shared_ptr<FakeRequest>> live_;
  std::map<std::string, std::string> pins_;  // whose, by name
  RequestId last_id_ = 0;
  int64_t kv_bytes_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

Runtime FakeRuntime(const FakeOptions& options) {
  Runtime runtime;
  runtime.tokenizer = std::make_unique<FakeTokenizer>();
  runtime.chat_template = std::make_unique<FakeTemplate>();
  runtime.model = std::make_unique<FakeModel>(options.context);
  runtime.engine = std::make_unique<FakeEngine>(options);
  return runtime;
}

}  // namespace quire
