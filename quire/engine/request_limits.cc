#include "quire/engine/request_limits.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "quire/base/byte_size.h"

namespace quire {
namespace {

Status CheckRange(std::string_view name, double value, double min, double max) {
  // Written so that NaN fails too.
  if (value >= min && value <= max) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} is {}; it must be between {} and {}", name, value, min, max);
}

// Shares of a distribution: 0 would leave nothing.
Status CheckShare(std::string_view name, double value) {
  if (value > 0 && value <= 1) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} is {}; it must be above 0 and at most 1", name, value);
}

Status CheckToken(std::string_view where, Token token, int vocab_size) {
  if (token >= 0 && token < vocab_size) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} has the token id {}; the model's ids are 0 to {}", where,
              token, vocab_size - 1);
}

Status CheckCounts(const SamplingParams& params, const RequestLimits& limits) {
  if (params.n < 1 || params.n > limits.max_samples) {
    return Fail(ErrorCode::kInvalidArgument, "n is {}; it must be between 1 and {}", params.n,
                limits.max_samples);
  }
  if (params.top_k < -1) {
    return Fail(ErrorCode::kInvalidArgument, "top_k is {}; it must be positive, or 0 or -1 to switch it off",
                params.top_k);
  }
  if (params.max_tokens && *params.max_tokens < 0) {
    return Fail(ErrorCode::kInvalidArgument, "max_tokens is {}; it must not be negative", *params.max_tokens);
  }
  if (params.min_tokens < 0 || (params.max_tokens && params.min_tokens > *params.max_tokens)) {
    return Fail(ErrorCode::kInvalidArgument, "min_tokens is {}; it must be between 0 and max_tokens",
                params.min_tokens);
  }
  if (params.logprobs) QUIRE_TRY(CheckRange("logprobs", *params.logprobs, 0, kMaxLogprobs));
  if (params.prompt_logprobs)
    QUIRE_TRY(CheckRange("prompt_logprobs", *params.prompt_logprobs, 0, kMaxLogprobs));
  return {};
}

}  // namespace

void SizePool(RequestLimits& limits, const KvCache& cache, int64_t chunk_tokens) {
  limits.kv_types.clear();
  for (const KvLayout& layout : cache.layouts()) {
    const auto which = static_cast<int>(limits.kv_types.size());
    int64_t fits = 0, too_long = limits.context + 1;
    while (too_long - fits > 1) {
      const int64_t middle = fits + (too_long - fits) / 2;
      (cache.PagesFor(middle, chunk_tokens, which) <= cache.pages() ? fits : too_long) = middle;
    }
    limits.kv_types.push_back({layout.name(), fits});
  }
  limits.pool_bytes = cache.pages() * cache.layout().page_bytes();
}

Status CheckSampling(const SamplingParams& params, const RequestLimits& limits) {
  QUIRE_TRY(CheckRange("temperature", params.temperature, 0, 100));
  QUIRE_TRY(CheckShare("top_p", params.top_p));
  QUIRE_TRY(CheckShare("typical_p", params.typical_p));
  QUIRE_TRY(CheckRange("min_p", params.min_p, 0, 1));
  QUIRE_TRY(CheckRange("repetition_penalty", params.repetition_penalty, 0.01, 100));
  QUIRE_TRY(CheckRange("presence_penalty", params.presence_penalty, -2, 2));
  QUIRE_TRY(CheckRange("frequency_penalty", params.frequency_penalty, -2, 2));
  QUIRE_TRY(CheckCounts(params, limits));
  for (const auto& [token, bias] : params.logit_bias) {
    QUIRE_TRY(CheckToken("logit_bias", token, limits.vocab_size));
    QUIRE_TRY(CheckRange("logit_bias", bias, -100, 100));
  }
  for (Token token : params.stop_token_ids) {
    QUIRE_TRY(CheckToken("stop_token_ids", token, limits.vocab_size));
  }
  if (!params.stop.empty() && !limits.has_tokenizer) {
    return Fail(ErrorCode::kInvalidArgument,
                "stop has strings, but this engine runs without a tokenizer; use stop_token_ids");
  }
  return {};
}

Result<int> FindKvLayout(std::string_view kv_type, const RequestLimits& limits) {
  if (kv_type.empty()) return 0;
  const auto found = std::ranges::find(limits.kv_types, kv_type, &KvTypeLimits::name);
  if (found != limits.kv_types.end()) return static_cast<int>(found - limits.kv_types.begin());
  std::vector<std::string_view> names;
  for (const KvTypeLimits& type : limits.kv_types) names.push_back(type.name);
  return Fail(ErrorCode::kInvalidArgument, "kv_type is '{}', which this server does not offer; it has '{}'",
              kv_type, fmt::join(names, "', '"));
}

Result<int64_t> OutputLimit(const Request& request, const RequestLimits& limits) {
  if (request.prompt.empty())
    return Fail(ErrorCode::kInvalidArgument, "the prompt is empty; give at least one token");
  for (Token token : request.prompt) QUIRE_TRY(CheckToken("the prompt", token, limits.vocab_size));

  const auto prompt = static_cast<int64_t>(request.prompt.size());
  QUIRE_ASSIGN(const int layout, FindKvLayout(request.kv_type, limits));
  const int64_t pool_context = limits.kv_types[layout].pool_context;
  const int64_t limit = std::min(limits.context, pool_context);
  // Prompt log-probabilities alone need no room for output; everything else samples at least one token.
  const int64_t least = request.sampling.max_tokens == 0 ? 0 : 1;
  const int64_t room = limit - prompt;
  if (room >= std::max(least, request.sampling.max_tokens.value_or(0))) {
    return request.sampling.max_tokens.value_or(room);
  }
  const std::string asked =
      request.sampling.max_tokens
          ? fmt::format("the prompt has {} tokens and max_tokens is {}, {} in all", prompt,
                        *request.sampling.max_tokens, prompt + *request.sampling.max_tokens)
          : fmt::format("the prompt has {} tokens", prompt);
  const std::string advice =
      room >= least ? fmt::format("ask for at most {} tokens", room) : std::string("shorten the prompt");
  if (pool_context < limits.context) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "{}, but the KV memory of {} holds only {} tokens of one sequence (the context is {}); {}, or "
        "start with more --kv-memory",
        asked, FormatByteSize(limits.pool_bytes), pool_context, limits.context, advice);
  }
  return Fail(ErrorCode::kInvalidArgument, "{}, but the context is {} tokens; {}", asked, limits.context,
              advice);
}

}  // namespace quire
