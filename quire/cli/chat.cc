// `quire chat MODEL`: a conversation in the terminal. SIGINT only leaves a mark: while an answer runs it ends
// the answer, at the prompt it clears the line.
#include <fmt/format.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "quire/cli/generate.h"
#include "quire/cli/line_editor.h"
#include "quire/cli/runtime_flags.h"
#include "quire/cli/sampling_flags.h"
#include "quire/cli/user_folders.h"
#include "quire/cli/verb.h"

namespace quire {
namespace {

std::atomic<bool> interrupted = false;  // signal handlers can reach nothing but globals
std::atomic<int> interrupts = -1;       // an eventfd: wakes who waits for a line
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void OnInterrupt(int) {
  const int error = errno;
  interrupted = true;
  eventfd_write(interrupts, 1);
  errno = error;
}

Status CatchInterrupts() {
  interrupts = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (interrupts < 0) return Fail(ErrorCode::kIo, "cannot make an eventfd: {}", std::strerror(errno));
  struct sigaction action{};
  action.sa_handler = OnInterrupt;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  return {};
}

constexpr const char* kHelp =
    "/help           this list\n"
    "/reset          forget the conversation\n"
    "/system TEXT    forget it and begin with this system message; without TEXT: with none\n"
    "/exit           leave; so does Ctrl-D\n"
    "Ctrl-C stops an answer.\n";

class ChatVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("chat", "MODEL [flags]", "Talks to a model: /help in the conversation lists the commands.");
    AddModel(flags, &runtime_.model);
    flags.Add({"--system", &system_, "TEXT", "a system message to begin with"});
    flags.Add({"--verbose", &verbose_, "", "memory and speed on standard error"});
    sampling_.Add(flags);
    runtime_.AddMachine(flags);
    return flags;
  }

  Result<int> Run() override {
    runtime_.options.engine.max_sequences = 1;
    QUIRE_ASSIGN(const auto runtime, runtime_.Load());
    if (!runtime->chat_template) return Fail(ErrorCode::kNotFound, "{}", runtime->chat_template_missing);
    if (verbose_) fmt::print(stderr, "{}\n", runtime->kv_memory_reason);
    runtime->engine->Start();
    QUIRE_TRY(CatchInterrupts());
    const std::string state = StateFolder();
    LineEditor editor("> ", state.empty() ? "" : state + "/chat_history", interrupts);
    if (editor.terminal()) fmt::print("{}: /help for help, Ctrl-D to leave\n", runtime->model->info().name);
    Reset();
    return Talk(*runtime, editor);
  }

 private:
  Result<int> Talk(const Runtime& runtime, LineEditor& editor) {
    std::string line;
    while (true) {
      const LineEditor::Got got = editor.Read(line);
      interrupted = false;
      if (got == LineEditor::Got::kEnd) return 0;
      if (got == LineEditor::Got::kInterrupted || line.find_first_not_of(" \t\r") == std::string::npos)
        continue;
      if (line.starts_with('/')) {
        if (!Command(line)) return 0;
        continue;
      }
      QUIRE_TRY(Answer(runtime, line));
    }
  }

  // False when the conversation is over.
  bool Command(const std::string& line) {
    const size_t space = std::min(line.find(' '), line.size());
    const std::string name = line.substr(0, space);
    if (name == "/exit" || name == "/quit") return false;
    if (name == "/reset") {
      Reset();
    } else if (name == "/system") {
      system_ = space < line.size() ? line.substr(space + 1) : "";
      Reset();
    } else {
      if (name != "/help")
        fmt::print(stderr, "quire: there is no command {}; these are the commands:\n", name);
      fmt::print(stderr, "{}", kHelp);
    }
    return true;
  }

  void Reset() {
    messages_ = nlohmann::ordered_json::array();
    if (!system_.empty()) messages_.push_back({{"role", "system"}, {"content", system_}});
  }

  // A turn that cannot be answered is taken back, and the conversation goes on.
  Status Answer(const Runtime& runtime, const std::string& line) {
    messages_.push_back({{"role", "user"}, {"content", line}});
    Request request{.id = "chat", .prompt = {}, .sampling = sampling_.params, .tenant = {}, .cache_salt = {}};
    auto prompt = EncodeChat(runtime, messages_);
    if (!prompt) return TakeBack(prompt.error());
    request.prompt = *std::move(prompt);
    Status written;
    const auto on_text = [&](std::string_view text) {
      if (!written) return;
      written = WriteOut(text);
      if (!written) interrupted = true;
    };
    const auto answer = Generate(*runtime.engine, std::move(request), on_text, interrupted);
    QUIRE_TRY(written);
    if (!answer) return TakeBack(answer.error());
    QUIRE_TRY(WriteOut("\n"));
    messages_.push_back({{"role", "assistant"}, {"content", answer->text}});
    if (answer->finish == FinishReason::kLength) {
      fmt::print(stderr, "(cut after {} tokens; --max-tokens allows more)\n", answer->output_tokens);
    }
    if (verbose_) fmt::print(stderr, "{}\n", answer->Summary());
    return {};
  }

  Status TakeBack(const Error& error) {
    messages_.erase(messages_.size() - 1);
    fmt::print(stderr, "quire: {} (/reset forgets the conversation)\n", error.message);
    return {};
  }

  RuntimeFlags runtime_;
  SamplingFlags sampling_;
  std::string system_;
  bool verbose_ = false;
  nlohmann::ordered_json messages_;
};

}  // namespace

std::unique_ptr<Verb> MakeChat() { return std::make_unique<ChatVerb>(); }

}  // namespace quire
