#include "quire/text/chat_template.h"

#include <pthread.h>

#include <chrono>
#include <exception>
#include <functional>
#include <optional>

#include "budget.h"
#include "jinja/lexer.h"
#include "jinja/parser.h"
#include "jinja/runtime.h"

// Invariants: a parsed program is never changed, so any number of threads may render it. The engine recurses
// over templates and values, and it only ever runs on a deep stack (OnDeepStack) with a budget in place; what
// it throws is caught there.

namespace quire {
namespace {

using nlohmann::ordered_json;

// Templates of real models stay below 20 KiB, 300 tokens in a tag and 12 nested blocks.
constexpr size_t kMaxSourceBytes = 256 << 10;
constexpr int kMaxTokensPerTag = 4096;
constexpr int kMaxBlockDepth = 100;
constexpr int kMaxElifs = 1000;
constexpr int kMaxJsonDepth = 100;

// What rendering may use, beside an allowance that grows with the input.
constexpr std::chrono::seconds kMaxTime{5};
constexpr size_t kMaxSteps = 1'000'000, kMaxStepsPerValue = 2'000;
constexpr size_t kMaxBytes = 64 << 20, kMaxBytesPerByte = 64;
constexpr size_t kMaxLevels = 2'000;

// Deep enough for kMaxLevels and for destroying the most deeply nested value kMaxSteps can make. Only the
// pages that are touched cost memory.
constexpr size_t kDeepStackBytes = 256 << 20;

// Runs `work` to its end on a thread of its own, and hands on what it throws.
void OnDeepStack(std::function<void()> work) {
  struct Job {
    std::function<void()> work;
    std::exception_ptr thrown;
  } job{std::move(work), nullptr};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kDeepStackBytes);
  pthread_t thread;
  const int error = pthread_create(
      &thread, &attributes,
      [](void* argument) -> void* {
        Job& job = *static_cast<Job*>(argument);
        try {
          job.work();
        } catch (...) {
          job.thrown = std::current_exception();
        }
        return nullptr;
      },
      &job);
  pthread_attr_destroy(&attributes);
  if (error != 0) throw std::runtime_error("there is no memory or thread left to run the template in");
  pthread_join(thread, nullptr);
  if (job.thrown) std::rethrow_exception(job.thrown);
}

// The one line of the engine's report that says what is wrong, and where it says that.
std::string Complaint(std::string_view report) {
  auto between = [&](std::string_view from, std::string_view to) -> std::string_view {
    const size_t at = report.find(from);
    if (at == report.npos) return {};
    const std::string_view rest = report.substr(at + from.size());
    return rest.substr(0, rest.find(to));
  };
  const std::string_view place = between("at line ", ",");
  std::string_view what = report;
  if (const size_t at = report.find("\nError: "); at != report.npos) what = report.substr(at + 8);
  for (std::string_view prefix : {"Jinja Exception: ", "parser: ", "lexer: ", "Parser Error: "}) {
    if (what.starts_with(prefix)) what.remove_prefix(prefix.size());
  }
  what = what.substr(0, what.find("\n..."));
  return place.empty() ? std::string(what) : fmt::format("{} (line {} of the template)", what, place);
}

// Refuses what would make the parser, or the destruction of what it parsed, recurse too deeply.
Status CheckShape(const std::vector<jinja::token>& tokens) {
  using Token = jinja::token;
  int tag_tokens = 0, depth = 0, elifs = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const Token::type type = tokens[i].t;
    if (type == Token::open_statement || type == Token::open_expression) tag_tokens = 0;
    if (++tag_tokens > kMaxTokensPerTag) {
      return Fail(ErrorCode::kInvalidArgument,
                  "a tag of the chat template has more than {} words; no model needs that", kMaxTokensPerTag);
    }
    if (type != Token::open_statement || i + 1 == tokens.size()) continue;
    const std::string& word = tokens[i + 1].value;
    if (word == "elif") ++elifs;
    for (std::string_view block : {"if", "for", "macro", "call", "filter"}) depth += word == block;
    // A set tag that is not an assignment opens a block.
    if (word == "set") {
      size_t end = i;
      while (end < tokens.size() && tokens[end].t != Token::equals && tokens[end].t != Token::close_statement)
        ++end;
      depth += end < tokens.size() && tokens[end].t == Token::close_statement;
    }
    if (word.starts_with("end") && word != "endgeneration") --depth;
    if (depth > kMaxBlockDepth || elifs > kMaxElifs) {
      return Fail(ErrorCode::kInvalidArgument,
                  "the chat template nests more than {} blocks or has more than {} elifs", kMaxBlockDepth,
                  kMaxElifs);
    }
  }
  return {};
}

struct JsonSize {
  size_t values = 0;
  size_t bytes = 0;
};

// Adds up what is in `json`; false when it nests deeper than kMaxJsonDepth.
bool Measure(const ordered_json& json, JsonSize& size, int depth = 0) {
  if (depth > kMaxJsonDepth) return false;
  ++size.values;
  size.bytes += json.is_string() ? json.get_ref<const std::string&>().size() : 8;
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      size.bytes += key.size();
      if (!Measure(value, size, depth + 1)) return false;
    }
  } else if (json.is_array()) {
    for (const auto& value : json) {
      if (!Measure(value, size, depth + 1)) return false;
    }
  }
  return true;
}

class JinjaTemplate : public ChatTemplate {
 public:
  JinjaTemplate(std::string source, std::string bos, std::string eos, jinja::program program)
      : source_(std::move(source)),
        bos_(std::move(bos)),
        eos_(std::move(eos)),
        program_(std::move(program)) {}

  Result<std::string> Render(const ChatInput& input) const override {
    ordered_json globals = input.extra.is_object() ? input.extra : ordered_json::object();
    globals["messages"] = input.messages;
    globals["tools"] = input.tools;
    globals["add_generation_prompt"] = input.add_generation_prompt;
    globals["bos_token"] = bos_;
    globals["eos_token"] = eos_;
    // As with Hugging Face, absent tools and documents are none, not undefined.
    if (!globals.contains("documents")) globals["documents"] = nullptr;
    JsonSize size;
    if (!Measure(globals, size)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "messages, tools or chat_template_kwargs nest deeper than {} levels; "
                  "flatten them",
                  kMaxJsonDepth);
    }
    std::string text;
    try {
      OnDeepStack([&] { text = Run(globals, size); });
    } catch (const std::exception& error) {
      return Fail(ErrorCode::kInvalidArgument, "the chat template refused the request: {}",
                  Complaint(error.what()));
    }
    return text;
  }

  const std::string& source() const override { return source_; }

 private:
  std::string Run(const ordered_json& globals, const JsonSize& size) const {
    const jinja_budget::Budget budget(kMaxTime, kMaxSteps + kMaxStepsPerValue * size.values,
                                      kMaxBytes + kMaxBytesPerByte * size.bytes, kMaxLevels);
    jinja::context context(source_);
    jinja::global_from_json(context, globals, /*mark_input=*/false);
    jinja::runtime runtime(context);
    return jinja::render_string_parts(jinja::runtime::gather_string_parts(runtime.execute(program_)));
  }

  const std::string source_, bos_, eos_;
  const jinja::program program_;
};

// The template of tokenizer_config.json: a text, or a list of named ones of which "default" is for chats.
std::optional<std::string> FromTokenizerConfig(const nlohmann::json& config) {
  if (!config.is_object() || !config.contains("chat_template")) return std::nullopt;
  const auto& entry = config["chat_template"];
  if (entry.is_string()) return entry.get<std::string>();
  if (!entry.is_array()) return std::nullopt;
  for (const auto& named : entry) {
    if (named.is_object() && named.value("name", nlohmann::json()) == "default" &&
        named.contains("template") && named["template"].is_string()) {
      return named["template"].get<std::string>();
    }
  }
  return std::nullopt;
}

Result<std::string> FindSource(const ModelFiles& files) {
  if (files.format() == ModelFiles::Format::kGguf) {
    QUIRE_ASSIGN(auto source, files.gguf().String("tokenizer.chat_template"));
    if (source) return *source;
  } else {
    if (auto source = files.Text("chat_template.jinja")) return *source;
    QUIRE_ASSIGN(auto config, files.Json("tokenizer_config.json"));
    if (auto source = FromTokenizerConfig(config)) return *source;
  }
  return Fail(ErrorCode::kNotFound,
              "{} has no chat template (it may be a base model): use completions, or give one with "
              "--chat-template FILE",
              files.path());
}

}  // namespace

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(const std::string& source, std::string bos,
                                                          std::string eos) {
  if (source.size() > kMaxSourceBytes) {
    return Fail(ErrorCode::kInvalidArgument, "the chat template has {} bytes, and at most {} are allowed",
                source.size(), kMaxSourceBytes);
  }
  Status shape;
  jinja::program program;
  try {
    OnDeepStack([&] {
      const jinja::lexer_result lexed = jinja::lexer().tokenize(source);
      shape = CheckShape(lexed.tokens);
      if (shape) program = jinja::parse_from_tokens(lexed);
    });
  } catch (const std::exception& error) {
    return Fail(ErrorCode::kInvalidArgument, "the chat template is not valid Jinja: {}",
                Complaint(error.what()));
  }
  QUIRE_TRY(shape);
  return std::make_unique<JinjaTemplate>(source, std::move(bos), std::move(eos), std::move(program));
}

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::Load(const ModelFiles& files,
                                                         const Tokenizer& tokenizer) {
  QUIRE_ASSIGN(const std::string source, FindSource(files));
  auto text_of = [&](std::optional<Token> token) {
    return token ? tokenizer.TokenBytes(*token, /*special=*/true) : std::string();
  };
  auto parsed = Parse(source, text_of(tokenizer.bos()), text_of(tokenizer.eos()));
  if (!parsed) return Fail(parsed.error().code, "{}: {}", files.path(), parsed.error().message);
  return parsed;
}

}  // namespace quire
