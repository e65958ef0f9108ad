// Runs a call: submits its requests to the engine, gathers what they give, and answers in one piece or as a
// stream. When the client goes away its requests are cancelled.
#ifndef QUIRE_SERVER_GENERATION_H_
#define QUIRE_SERVER_GENERATION_H_

#include <memory>

#include "quire/server/call.h"
#include "quire/server/http.h"
#include "quire/server/served_model.h"

namespace quire {

// Answers through `exchange`, later. REQUIRES: on the exchange's executor.
void StartGeneration(const ServedModel& served, Call call, std::shared_ptr<HttpExchange> exchange);

}  // namespace quire

#endif  // QUIRE_SERVER_GENERATION_H_
