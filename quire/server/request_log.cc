#include "quire/server/request_log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <string>

#include "quire/text/utf8.h"

namespace quire {
namespace {

// A path comes from a client: no control characters in the log.
std::string Printable(std::string_view text) { return ReplaceControls(text.substr(0, 200)); }

}  // namespace

void LogRequest(const HttpRequest& request, int status, Duration taken) {
  static const std::shared_ptr<spdlog::logger> log = spdlog::stderr_color_mt("http");
  log->info("{} {} {} {} {:.3f} s", request.peer, Printable(request.method), Printable(request.path), status,
            Seconds(taken));
}

}  // namespace quire
