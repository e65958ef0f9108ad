// Listens on a TCP port and carries HTTP/1.0 and 1.1 between clients and an HttpHandler: keep-alive,
// pipelining, chunked bodies, Expect: 100-continue, streams of any length, and limits on all that a client
// may take. A client that goes away is noticed at once, also while nothing is written to it.
#ifndef QUIRE_SERVER_HTTP_SERVER_H_
#define QUIRE_SERVER_HTTP_SERVER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "quire/base/result.h"
#include "quire/server/http.h"

namespace quire {

struct HttpLimits {
  uint32_t max_header_bytes = 32 << 10;              // beyond: 431
  uint64_t max_body_bytes = 10 << 20;                // beyond: 413
  std::chrono::milliseconds header_timeout{10'000};  // for the whole head; beyond: 408
  std::chrono::milliseconds body_timeout{60'000};    // for the whole body; beyond: 408
  std::chrono::milliseconds idle_timeout{75'000};    // between two requests; beyond: closed
  std::chrono::milliseconds write_timeout{30'000};   // a client that reads nothing; beyond: closed
  size_t max_unread_bytes = 4 << 20;                 // kept for a client that reads slowly
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  int port = 8000;  // 0: any free one
  int io_threads = 4;
  int max_connections = 4096;                       // beyond: 503
  std::chrono::milliseconds drain_timeout{30'000};  // then what still runs is closed
  HttpLimits limits;
};

class HttpServer {
 public:
  // Binds and serves at once, on threads of its own. REQUIRES: `handler` outlives the server.
  // Errors: kIo, kInvalidArgument with host and port.
  static Result<std::unique_ptr<HttpServer>> Listen(const HttpServerOptions& options, HttpHandler& handler);
  virtual ~HttpServer() = default;  // stops and waits

  virtual int port() const = 0;
  virtual int connections() const = 0;

  // Thread-safe, and both return at once. Drain accepts nothing more and closes every connection after its
  // present answer; Stop closes all of them now.
  virtual void Drain() = 0;
  virtual void Stop() = 0;
  // Returns when, after Drain or Stop, the last connection is closed.
  virtual void Wait() = 0;
};

}  // namespace quire

#endif  // QUIRE_SERVER_HTTP_SERVER_H_
