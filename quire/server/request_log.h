// One line per answered request, on standard error.
#ifndef QUIRE_SERVER_REQUEST_LOG_H_
#define QUIRE_SERVER_REQUEST_LOG_H_

#include "quire/base/clock.h"
#include "quire/server/http.h"

namespace quire {

void LogRequest(const HttpRequest& request, int status, Duration taken);

}  // namespace quire

#endif  // QUIRE_SERVER_REQUEST_LOG_H_
