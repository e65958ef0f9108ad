#include "quire/server/call_fields.h"

#include <fmt/ranges.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "quire/engine/request_limits.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxStops = 16;
constexpr size_t kMaxStopBytes = 1024;
constexpr int64_t kMaxCacheSaltCharacters = 1024;
// A top_p of 0 keeps the most likely token alone, as any share below its probability does.
constexpr double kLeastShare = 1e-9;

std::map<Token, float> ReadLogitBias(JsonFields& fields, int vocab_size) {
  std::map<Token, float> bias;
  const ordered_json* object = fields.Object("logit_bias");
  if (!object) return bias;
  for (const auto& [key, value] : object->items()) {
    Token token = -1;
    const char* end = key.data() + key.size();
    if (std::from_chars(key.data(), end, token).ptr != end || token < 0 || token >= vocab_size) {
      fields.Reject(
          "logit_bias",
          fmt::format("has a key that is not a token id of the model; the ids are 0 to {}", vocab_size - 1));
      break;
    }
    const double number = value.is_number() ? value.get<double>() : 1e9;
    if (!(number >= -100 && number <= 100)) {
      fields.Reject("logit_bias", fmt::format("of token {} must be a number from -100 to 100", token));
      break;
    }
    bias[token] = static_cast<float>(number);
  }
  return bias;
}

double ReadRepetitionPenalty(JsonFields& fields) {
  const bool alias = !fields.Has("repetition_penalty") && fields.Has("repeat_penalty");
  return fields.Number(alias ? "repeat_penalty" : "repetition_penalty", 0.01, 100).value_or(1);
}

}  // namespace

ApiResult<std::string> ReadModelName(JsonFields& fields, const ServedModel& served) {
  const auto name = fields.String("model");
  if (fields.error()) return std::unexpected(*fields.error());
  if (!name) return served.names.front();
  if (served.HasName(*name)) return *name;
  ApiError error = ErrorWithStatus(
      404, fmt::format("the model '{}' is not served here; use '{}'", *name, served.names.front()),
      "model_not_found");
  error.param = "model";
  return std::unexpected(error);
}

SamplingParams ReadSampling(JsonFields& fields, const ServedModel& served) {
  constexpr int64_t kMaxInt = std::numeric_limits<int>::max();
  const int vocab_size = served.tokenizer->vocab_size();
  SamplingParams params;
  params.temperature = fields.Number("temperature", 0, 2).value_or(1);
  params.top_k = static_cast<int>(fields.Integer("top_k", -1, kMaxInt).value_or(0));
  params.top_p = std::max(fields.Number("top_p", 0, 1).value_or(1), kLeastShare);
  params.min_p = fields.Number("min_p", 0, 1).value_or(0);
  params.typical_p = std::max(fields.Number("typical_p", 0, 1).value_or(1), kLeastShare);
  params.repetition_penalty = ReadRepetitionPenalty(fields);
  params.presence_penalty = fields.Number("presence_penalty", -2, 2).value_or(0);
  params.frequency_penalty = fields.Number("frequency_penalty", -2, 2).value_or(0);
  params.logit_bias = ReadLogitBias(fields, vocab_size);
  if (auto seed =
          fields.Integer("seed", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max())) {
    params.seed = static_cast<uint64_t>(*seed);
  }
  params.n = static_cast<int>(fields.Integer("n", 1, kMaxSamples).value_or(1));
  params.stop = fields.Strings("stop", kMaxStops, kMaxStopBytes);
  params.stop_token_ids = fields.Tokens("stop_token_ids", vocab_size);
  params.include_stop_in_output = fields.Bool("include_stop_str_in_output", false);
  params.ignore_eos = fields.Bool("ignore_eos", false);
  params.skip_special_tokens = fields.Bool("skip_special_tokens", true);
  params.min_tokens = fields.Integer("min_tokens", 0, served.context_length).value_or(0);
  if (auto count = fields.Integer("prompt_logprobs", 0, kMaxLogprobs))
    params.prompt_logprobs = static_cast<int>(*count);
  return params;
}

void ReadDelivery(JsonFields& fields, Call& call) {
  call.stream = fields.Bool("stream", false);
  call.return_token_ids = fields.Bool("return_token_ids", false);
  call.show_prompt_logprobs = fields.Has("prompt_logprobs");
  if (call.stream && call.show_prompt_logprobs)
    fields.Reject("prompt_logprobs", "is not available when stream is true");
  const ordered_json* options = fields.Object("stream_options");
  if (!options) return;
  if (!call.stream) fields.Reject("stream_options", "is only allowed when stream is true");
  JsonFields inner(*options, "stream_options.");
  call.include_usage = inner.Bool("include_usage", false);
  call.continuous_usage = inner.Bool("continuous_usage_stats", false);
  fields.Adopt(inner);
}

void ReadBeams(JsonFields& fields, const SamplingParams& sampling, const ServedModel& served, Call& call) {
  if (!fields.Bool("use_beam_search", false)) return;
  for (const char* name : {"stop", "logit_bias", "prompt_logprobs"}) {
    if (fields.Has(name)) fields.Reject(name, "has no meaning to beam search; leave one of them out");
  }
  if (sampling.repetition_penalty != 1 || sampling.presence_penalty != 0 || sampling.frequency_penalty != 0) {
    fields.Reject("use_beam_search", "weighs tokens as the model does; leave the penalties out");
  }
  if (call.stream) fields.Reject("stream", "is not available with use_beam_search: beams win at the end");
  if (call.echo && call.logprobs)
    fields.Reject("echo", "with logprobs is not available with use_beam_search");
  if (call.samples > kMaxBeams) {
    fields.Reject("use_beam_search",
                  fmt::format("follows at most {} beams; n and best_of ask for {}", kMaxBeams, call.samples));
  }
  if (!served.engine->options().prefix_caching) {
    fields.Reject("use_beam_search", "needs prefix caching, which this server was started without");
  }
  call.beams = BeamParams{.width = call.samples,
                          .best = call.n,
                          .length_penalty = fields.Number("length_penalty", -10, 10).value_or(1),
                          .early_stopping = fields.Bool("early_stopping", false)};
  call.samples = call.n;
}

int64_t CountCharacters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; });
}

std::string ReadShortText(JsonFields& fields, std::string_view name, int64_t most) {
  std::string text = fields.String(name).value_or("");
  const int64_t characters = CountCharacters(text);
  if (characters > most) {
    fields.Reject(name, fmt::format("has {} characters; it may have {}", characters, most));
  }
  return text;
}

std::string ReadCacheSalt(JsonFields& fields) {
  const std::optional<std::string> salt = fields.String("cache_salt");
  if (!salt) return {};
  const int64_t characters = CountCharacters(*salt);
  if (characters < 1 || characters > kMaxCacheSaltCharacters) {
    fields.Reject("cache_salt", fmt::format("has {} characters; it must have 1 to {}", characters,
                                            kMaxCacheSaltCharacters));
  }
  return *salt;
}

std::string ReadKvType(JsonFields& fields, const ServedModel& served) {
  const std::string type = fields.String("kv_type").value_or("");
  if (type.empty() && !fields.Has("kv_type")) return type;
  const std::vector<std::string> offered = served.engine->kv_types();
  if (std::ranges::find(offered, type) == offered.end()) {
    fields.Reject("kv_type", fmt::format("is '{}', which this server does not offer; it has '{}'", type,
                                         fmt::join(offered, "', '")));
  }
  return type;
}

bool ReadRetention(JsonFields& fields, Request& request) {
  constexpr int64_t kMost = 256;
  request.session.id = ReadShortText(fields, "session_id", kMost);
  request.session.next_tool = ReadShortText(fields, "expected_tool", kMost);
  if (request.session.id.empty() && !request.session.next_tool.empty()) {
    fields.Reject("expected_tool", "is about a session; name it in session_id");
  }
  (void)ReadShortText(fields, "prompt_cache_key", kMost);  // where to send the request: there is one place
  const std::string retention = ReadShortText(fields, "prompt_cache_retention", kMost);
  if (retention != "" && retention != "in_memory" && retention != "24h") {
    fields.Reject("prompt_cache_retention", "must be \"in_memory\" or \"24h\"");
  }
  return retention == "24h";
}

void RejectUnsupported(JsonFields& fields) {
  static constexpr std::array<std::string_view, 18> kUnsupported = {"allowed_token_ids",
                                                                    "audio",
                                                                    "bad_words",
                                                                    "chat_template",
                                                                    "function_call",
                                                                    "functions",
                                                                    "grammar",
                                                                    "guided_choice",
                                                                    "guided_grammar",
                                                                    "guided_json",
                                                                    "guided_regex",
                                                                    "json_schema",
                                                                    "logits_processors",
                                                                    "prompt_embeds",
                                                                    "structured_outputs",
                                                                    "suffix",
                                                                    "truncate_prompt_tokens",
                                                                    "web_search_options"};
  for (std::string_view name : kUnsupported) {
    if (fields.Has(name)) fields.Reject(name, "is not supported by this server; leave it out");
  }
  const ordered_json* format = fields.Object("response_format");
  if (!format) return;
  JsonFields inner(*format, "response_format.");
  const std::string type = inner.String("type").value_or("");
  fields.Adopt(inner);
  if (type != "text") {
    fields.Reject("response_format",
                  "has a type other than \"text\"; constrained output is not supported yet");
  }
}

bool MayFitContext(JsonFields& fields, std::string_view name, std::string_view text,
                   const ServedModel& served) {
  if (text.size() <= served.max_prompt_bytes) return true;
  fields.Reject(
      name,
      fmt::format("has {} bytes, which are more than the {} tokens of the context however they are split; "
                  "shorten it",
                  text.size(), served.context_length),
      "context_length_exceeded");
  return false;
}

std::string NewId(std::string_view prefix) {
  std::array<unsigned char, 12> bytes{};
  // Fewer than 256 bytes are never interrupted.
  if (getrandom(bytes.data(), bytes.size(), 0) < 0) bytes.fill(0);
  std::string id(prefix);
  for (unsigned char byte : bytes) fmt::format_to(std::back_inserter(id), "{:02x}", byte);
  return id;
}

}  // namespace quire
