// The sink is called on the engine thread and only queues; text is written on the thread that called
// Generate, so a slow terminal never holds up a step.
#include "quire/cli/generate.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "quire/base/waiting_queue.h"
#include "quire/text/chat_prompt.h"

namespace quire {
namespace {

class QueueSink final : public TokenSink {
 public:
  void OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>>) override {}
  void OnOutput(OutputEvent event) override { events.Put(std::move(event)); }

  WaitingQueue<OutputEvent> events;
};

double PerSecond(int64_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

}  // namespace

std::string Generated::Summary() const {
  const double first = Seconds(to_first_token), rest = Seconds(total - to_first_token);
  return fmt::format(
      "prompt {} tokens in {:.2f} s ({:.1f} tok/s), output {} tokens in {:.2f} s ({:.1f} tok/s)",
      prompt_tokens, first, PerSecond(prompt_tokens, first), output_tokens, rest,
      PerSecond(output_tokens - 1, rest));
}

Result<Generated> Generate(Engine& engine, Request request,
                           const std::function<void(std::string_view)>& on_text,
                           const std::atomic<bool>& cancel) {
  const auto sink = std::make_shared<QueueSink>();
  const TimePoint start = Clock::System().Now();
  QUIRE_ASSIGN(const RequestId id, engine.Submit(std::move(request), sink));
  Generated answer;
  bool cancelled = false;
  while (true) {
    if (cancel && !cancelled) {
      engine.Cancel(id);
      cancelled = true;
    }
    constexpr double kLook = 0.1;  // seconds between two looks at `cancel`
    const auto event = sink->events.Take(kLook);
    if (!event) continue;
    if (answer.output_tokens == 0) answer.to_first_token = Clock::System().Now() - start;
    answer.prompt_tokens = event->prompt_tokens;
    answer.output_tokens = event->output_tokens;
    answer.text += event->text;
    if (!event->text.empty()) on_text(event->text);
    if (!event->finish) continue;
    if (event->error) return std::unexpected(*event->error);
    answer.finish = *event->finish;
    answer.total = Clock::System().Now() - start;
    return answer;
  }
}

Result<std::vector<Token>> EncodeChat(const Runtime& runtime, const nlohmann::ordered_json& messages) {
  if (!runtime.chat_template) return Fail(ErrorCode::kNotFound, "{}", runtime.chat_template_missing);
  ChatInput input;
  input.messages = messages;
  QUIRE_ASSIGN(const ChatPrompt prompt,
               RenderChat(*runtime.chat_template, *runtime.tokenizer, std::move(input)));
  return prompt.Encode(*runtime.tokenizer);
}

Status WriteOut(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return {};
  return Fail(ErrorCode::kIo, "cannot write to standard output: {}; look at what it is connected to",
              std::strerror(errno));
}

Status WriteFile(const std::string& path, std::string_view what, std::string_view text) {
  std::ofstream file(path);
  file << text;
  file.close();
  if (file) return {};
  return Fail(ErrorCode::kIo, "cannot write the {} to {}: check the path and its permissions", what, path);
}

Status WriteJsonTo(const std::string& path, const nlohmann::ordered_json& json) {
  const std::string text = json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  return path == "-" ? WriteOut(text) : WriteFile(path, "results", text);
}

}  // namespace quire
