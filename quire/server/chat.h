// POST /v1/chat/completions: JSON -> Call.
#ifndef QUIRE_SERVER_CHAT_H_
#define QUIRE_SERVER_CHAT_H_

#include <nlohmann/json.hpp>

#include "quire/server/api_error.h"
#include "quire/server/call.h"
#include "quire/server/served_model.h"

namespace quire {

ApiResult<Call> ReadChat(const nlohmann::ordered_json& body, const ServedModel& served);

}  // namespace quire

#endif  // QUIRE_SERVER_CHAT_H_
