// POST /tokenize and /detokenize, in vLLM's shapes.
#ifndef QUIRE_SERVER_TOKEN_ROUTES_H_
#define QUIRE_SERVER_TOKEN_ROUTES_H_

#include <nlohmann/json.hpp>

#include "quire/server/api_error.h"
#include "quire/server/served_model.h"

namespace quire {

// {"prompt"} or {"messages", ...} -> {"count", "max_model_len", "tokens", "token_strs"}
ApiResult<nlohmann::ordered_json> Tokenize(const nlohmann::ordered_json& body, const ServedModel& served);
// {"tokens"} -> {"prompt"}
ApiResult<nlohmann::ordered_json> Detokenize(const nlohmann::ordered_json& body, const ServedModel& served);

}  // namespace quire

#endif  // QUIRE_SERVER_TOKEN_ROUTES_H_
