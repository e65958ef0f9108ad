#include "quire/server/api_error.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace quire {
namespace {

using nlohmann::ordered_json;

std::string TypeOf(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "service_unavailable_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

// Fields whose limits the engine checks.
std::optional<std::string> FieldAtStart(std::string_view message) {
  static constexpr std::array<std::string_view, 15> kFields = {"temperature",
                                                               "top_k",
                                                               "top_p",
                                                               "min_p",
                                                               "typical_p",
                                                               "repetition_penalty",
                                                               "presence_penalty",
                                                               "frequency_penalty",
                                                               "logit_bias",
                                                               "n",
                                                               "stop",
                                                               "stop_token_ids",
                                                               "min_tokens",
                                                               "max_tokens",
                                                               "logprobs"};
  const std::string_view word = message.substr(0, message.find(' '));
  if (std::ranges::find(kFields, word) == kFields.end()) return std::nullopt;
  return std::string(word);
}

template <typename T>
ordered_json OrNull(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

}  // namespace

ApiError BadField(std::string field, std::string message) {
  return {400, std::move(message), "invalid_request_error", std::move(field), std::nullopt};
}

ApiError ErrorWithStatus(int status, std::string message, std::optional<std::string> code) {
  return {status, std::move(message), TypeOf(status), std::nullopt, std::move(code)};
}

ApiError FromError(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument: {
      ApiError result = ErrorWithStatus(400, error.message);
      result.param = FieldAtStart(error.message);
      return result;
    }
    case ErrorCode::kUnsupported:
      return ErrorWithStatus(400, error.message);
    case ErrorCode::kNotFound:
      return ErrorWithStatus(404, error.message);
    case ErrorCode::kResourceExhausted:
      return ErrorWithStatus(429, error.message, "queue_full");
    case ErrorCode::kUnavailable:
      return ErrorWithStatus(503, error.message, "unavailable");
    case ErrorCode::kCorrupt:
    case ErrorCode::kIo:
    case ErrorCode::kInternal:
      break;
  }
  return ErrorWithStatus(500, error.message);
}

ApiError ShuttingDown() {
  return ErrorWithStatus(503, "the server is shutting down; use another one", "draining");
}

std::string ErrorBody(const ApiError& error) {
  const ordered_json body = {{"error",
                              {{"message", error.message},
                               {"type", error.type},
                               {"param", OrNull(error.param)},
                               {"code", OrNull(error.code)}}}};
  return body.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

HttpResponse ErrorResponse(const ApiError& error) {
  HttpResponse response{.status = error.status, .body = ErrorBody(error), .headers = {}};
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.status == 429 || error.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace quire
