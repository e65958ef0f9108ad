// The endpoints that generate, as a table: what reads a body into a Call, by path. The server has them behind
// HTTP, and a batch file names them in its lines.
#ifndef QUIRE_SERVER_CALL_ROUTES_H_
#define QUIRE_SERVER_CALL_ROUTES_H_

#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "quire/server/api_error.h"
#include "quire/server/call.h"
#include "quire/server/served_model.h"

namespace quire {

struct CallRoute {
  std::string_view path;
  ApiResult<Call> (*read)(const nlohmann::ordered_json& body, const ServedModel& served);
};

std::span<const CallRoute> CallRoutes();

}  // namespace quire

#endif  // QUIRE_SERVER_CALL_ROUTES_H_
