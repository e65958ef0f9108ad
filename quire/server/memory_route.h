// GET /memory: where the memory of the server is, by state and by owner. PUT /memory: how much of it is for
// KV pages from now on.
#ifndef QUIRE_SERVER_MEMORY_ROUTE_H_
#define QUIRE_SERVER_MEMORY_ROUTE_H_

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "quire/engine/memory_report.h"
#include "quire/server/http.h"
#include "quire/server/served_model.h"

namespace quire {

nlohmann::ordered_json MemoryJson(const MemoryReport& report);

// Both answer when the step that runs now is done, with what the memory holds then.
void AnswerMemory(const ServedModel& served, std::shared_ptr<HttpExchange> exchange);
void ResizeMemory(const ServedModel& served, const HttpRequest& request,
                  std::shared_ptr<HttpExchange> exchange);

}  // namespace quire

#endif  // QUIRE_SERVER_MEMORY_ROUTE_H_
