// The lines of batch files, in the form of OpenAI's Batch API: a request each in the input, an answer or an
// error each in the output.
//
//   {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
//   {"id": "batch_req_...", "custom_id": "a",
//    "response": {"status_code": 200, "request_id": "...", "body": {...}}, "error": null}
#ifndef QUIRE_SERVER_BATCH_LINE_H_
#define QUIRE_SERVER_BATCH_LINE_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "quire/server/call_routes.h"
#include "quire/server/http.h"

namespace quire {

struct BatchRequest {
  int64_t line = 0;  // of the input, from 1 on
  std::string custom_id;
  const CallRoute* route = nullptr;
  nlohmann::ordered_json body;
};

// A line that is no request. Where its custom_id could be read, it is given.
struct BatchLineError {
  std::optional<std::string> custom_id;
  std::string message;
};

std::expected<BatchRequest, BatchLineError> ParseBatchLine(std::string_view text, int64_t line);

// Lines of the output, each with its line feed.
std::string BatchAnswerLine(const BatchRequest& request, const HttpResponse& response);
std::string BatchErrorLine(int64_t line, const BatchLineError& error);

// Whom a line of the output answers: the custom_id, or else the number of the line in the input.
struct BatchAnswered {
  std::optional<std::string> custom_id;
  int64_t line = 0;
};
// Nothing where the text is no line of an output.
std::optional<BatchAnswered> ParseBatchOutputLine(std::string_view text);

}  // namespace quire

#endif  // QUIRE_SERVER_BATCH_LINE_H_
