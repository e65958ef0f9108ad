// What went wrong with a call, in OpenAI's shape: {"error": {"message", "type", "param", "code"}}.
#ifndef QUIRE_SERVER_API_ERROR_H_
#define QUIRE_SERVER_API_ERROR_H_

#include <fmt/format.h>

#include <expected>
#include <optional>
#include <string>

#include "quire/base/result.h"
#include "quire/server/http.h"

namespace quire {

struct ApiError {
  int status = 500;
  std::string message;
  std::string type = "server_error";
  std::optional<std::string> param;  // the field that is wrong
  std::optional<std::string> code;
};

template <typename T>
using ApiResult = std::expected<T, ApiError>;

// 400: `field` has to be corrected.
ApiError BadField(std::string field, std::string message);
// An error that is not about a field, with the type that belongs to `status`.
ApiError ErrorWithStatus(int status, std::string message, std::optional<std::string> code = {});
// An error of the lower layers. A message that begins with the name of a request field ("top_k is -3; ...")
// names it as the param.
ApiError FromError(const Error& error);
// 503: the server takes nothing new.
ApiError ShuttingDown();

// {"error": ...}
std::string ErrorBody(const ApiError& error);
// With the headers that belong to its status: WWW-Authenticate, Retry-After.
HttpResponse ErrorResponse(const ApiError& error);

}  // namespace quire

#endif  // QUIRE_SERVER_API_ERROR_H_
