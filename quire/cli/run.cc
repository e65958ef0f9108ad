// `quire run MODEL [PROMPT]`: one answer, streamed to standard output.
#include <fmt/format.h>
#include <unistd.h>

#include <iostream>
#include <iterator>

#include "quire/cli/generate.h"
#include "quire/cli/runtime_flags.h"
#include "quire/cli/sampling_flags.h"
#include "quire/cli/verb.h"
#include "quire/server/answer.h"

namespace quire {
namespace {

class RunVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("run", "MODEL [PROMPT] [flags]",
                "Generates once, from PROMPT or standard input, to standard output.");
    AddModel(flags, &runtime_.model);
    flags.Add({"PROMPT", &prompt_, "", "what to say; default: standard input"});
    flags.Add({"--system", &system_, "TEXT", "a system message before the prompt"});
    flags.Add({"--raw", &raw_, "", "continue the text as it is, without the chat template"});
    flags.Add({"--json", &json_, "", "one JSON object with the answer and counts, at the end"});
    flags.Add({"--verbose", &verbose_, "", "speed and memory on standard error"});
    sampling_.Add(flags);
    runtime_.AddMachine(flags);
    return flags;
  }

  Result<int> Run() override {
    QUIRE_TRY(ReadPrompt());
    runtime_.options.engine.max_sequences = 1;
    QUIRE_ASSIGN(const auto runtime, runtime_.Load());
    if (verbose_) fmt::print(stderr, "{}\n", runtime->kv_memory_reason);
    QUIRE_ASSIGN(Request request, MakeRequest(*runtime));
    runtime->engine->Start();
    Status written;
    std::atomic<bool> stop = false;
    const auto on_text = [&](std::string_view text) {
      if (json_ || !written) return;
      written = WriteOut(text);
      stop = !written;
    };
    QUIRE_ASSIGN(const Generated answer, Generate(*runtime->engine, std::move(request), on_text, stop));
    QUIRE_TRY(written);
    QUIRE_TRY(WriteOut(json_ ? Json(answer) : answer.text.ends_with('\n') ? "" : "\n"));
    if (verbose_) fmt::print(stderr, "{}\n", answer.Summary());
    return 0;
  }

 private:
  Status ReadPrompt() {
    if (!prompt_.empty()) return {};
    if (isatty(STDIN_FILENO) != 0) {
      return Fail(ErrorCode::kInvalidArgument,
                  "there is no prompt: write it behind the model, or pipe it to standard input");
    }
    prompt_.assign(std::istreambuf_iterator<char>(std::cin), {});
    // A pipe such as `echo question | quire run` ends the line, not the question.
    if (prompt_.ends_with('\n')) prompt_.pop_back();
    if (prompt_.empty()) return Fail(ErrorCode::kInvalidArgument, "the prompt is empty: write what to say");
    return {};
  }

  Result<Request> MakeRequest(const Runtime& runtime) const {
    Request request{.id = "run", .prompt = {}, .sampling = sampling_.params, .tenant = {}, .cache_salt = {}};
    if (raw_ || (!runtime.chat_template && system_.empty())) {
      request.prompt = runtime.tokenizer->Encode(prompt_, {});
      return request;
    }
    auto messages = nlohmann::ordered_json::array();
    if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
    messages.push_back({{"role", "user"}, {"content", prompt_}});
    QUIRE_ASSIGN(request.prompt, EncodeChat(runtime, messages));
    return request;
  }

  static std::string Json(const Generated& answer) {
    const nlohmann::ordered_json json = {{"text", answer.text},
                                         {"finish_reason", FinishName(answer.finish)},
                                         {"prompt_tokens", answer.prompt_tokens},
                                         {"output_tokens", answer.output_tokens},
                                         {"seconds_to_first_token", Seconds(answer.to_first_token)},
                                         {"seconds", Seconds(answer.total)}};
    return json.dump() + "\n";
  }

  RuntimeFlags runtime_;
  SamplingFlags sampling_;
  std::string prompt_, system_;
  bool raw_ = false, json_ = false, verbose_ = false;
};

}  // namespace

std::unique_ptr<Verb> MakeRun() { return std::make_unique<RunVerb>(); }

}  // namespace quire
