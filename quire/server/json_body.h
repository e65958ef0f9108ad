// JSON that a client sent: parsed within bounds of depth and work, and written so that it is always UTF-8.
#ifndef QUIRE_SERVER_JSON_BODY_H_
#define QUIRE_SERVER_JSON_BODY_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "quire/server/api_error.h"
#include "quire/server/http.h"

namespace quire {

// `what` is the text in messages, e.g. "the body". Errors: 400 for what is not JSON in UTF-8, or is nested
// too deeply, or has too many keys.
ApiResult<nlohmann::ordered_json> ParseJsonText(std::string_view text, std::string_view what);
// The same, for a body, which must be an object.
ApiResult<nlohmann::ordered_json> ParseJsonBody(std::string_view body);

// Compact JSON; invalid UTF-8 becomes U+FFFD.
std::string DumpJson(const nlohmann::ordered_json& json);
// 200 with that.
HttpResponse JsonResponse(const nlohmann::ordered_json& json);
// Appends `text` as a JSON string with its quotes.
void AppendJsonString(std::string& out, std::string_view text);

bool IsUtf8(std::string_view text);

}  // namespace quire

#endif  // QUIRE_SERVER_JSON_BODY_H_
