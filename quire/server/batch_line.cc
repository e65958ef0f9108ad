#include "quire/server/batch_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "quire/server/call_fields.h"
#include "quire/server/json_body.h"
#include "quire/server/json_fields.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

std::string RouteNames() {
  std::string names;
  for (const CallRoute& route : CallRoutes()) names += (names.empty() ? "" : ", ") + std::string(route.path);
  return names;
}

const CallRoute* FindRoute(std::string_view path) {
  const auto found = std::ranges::find(CallRoutes(), path, &CallRoute::path);
  return found == CallRoutes().end() ? nullptr : &*found;
}

std::string Line(const std::optional<std::string>& custom_id, ordered_json response, ordered_json error) {
  ordered_json json = {{"id", NewId("batch_req_")},
                       {"custom_id", nullptr},
                       {"response", std::move(response)},
                       {"error", std::move(error)}};
  if (custom_id) json["custom_id"] = *custom_id;
  return DumpJson(json) + "\n";
}

}  // namespace

std::expected<BatchRequest, BatchLineError> ParseBatchLine(std::string_view text, int64_t line) {
  BatchLineError wrong;
  const auto fail = [&](std::string message) {
    wrong.message = std::move(message);
    return std::unexpected(wrong);
  };
  auto json = ParseJsonText(text, fmt::format("line {}", line));
  if (!json) return fail(json.error().message);
  if (!json->is_object()) {
    return fail(fmt::format("line {} is no JSON object; write one request a line", line));
  }
  JsonFields fields(*json);
  wrong.custom_id = fields.String("custom_id");
  const std::string method = fields.String("method").value_or("");
  const std::string url = fields.String("url").value_or("");
  const ordered_json* body = fields.Object("body");
  if (fields.error()) return fail(fmt::format("line {}: {}", line, fields.error()->message));
  if (!wrong.custom_id || wrong.custom_id->empty()) {
    return fail(fmt::format("line {} has no custom_id; give every request one of its own", line));
  }
  if (method != "POST") {
    return fail(fmt::format("line {}: method is '{}'; only POST can be run", line, method));
  }
  const CallRoute* route = FindRoute(url);
  if (route == nullptr) {
    return fail(fmt::format("line {}: url is '{}'; use one of: {}", line, url, RouteNames()));
  }
  if (body == nullptr) return fail(fmt::format("line {} has no body; write the request there", line));
  if (body->contains("stream") && (*body)["stream"] == true) {
    return fail(fmt::format("line {}: answers in a file cannot be streamed; leave stream out", line));
  }
  return BatchRequest{.line = line, .custom_id = *wrong.custom_id, .route = route, .body = *body};
}

std::string BatchAnswerLine(const BatchRequest& request, const HttpResponse& response) {
  ordered_json body = ordered_json::parse(response.body, nullptr, false);
  const std::string id = body.is_object() ? body.value("id", NewId("req_")) : NewId("req_");
  return Line(request.custom_id,
              {{"status_code", response.status}, {"request_id", id}, {"body", std::move(body)}}, nullptr);
}

std::string BatchErrorLine(int64_t line, const BatchLineError& error) {
  return Line(error.custom_id, nullptr,
              {{"code", "invalid_request"}, {"message", error.message}, {"line", line}});
}

std::optional<BatchAnswered> ParseBatchOutputLine(std::string_view text) {
  const auto json = ordered_json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("custom_id") || !json.contains("response") ||
      !json.contains("error")) {
    return std::nullopt;
  }
  BatchAnswered answered;
  if (json["custom_id"].is_string()) {
    answered.custom_id = json["custom_id"].get<std::string>();
    return answered;
  }
  const ordered_json& error = json["error"];
  const auto line = error.is_object() && error.contains("line") ? AsInteger(error["line"]) : std::nullopt;
  if (!line) return std::nullopt;
  answered.line = *line;
  return answered;
}

}  // namespace quire
