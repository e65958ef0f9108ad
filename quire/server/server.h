// Serves one model over HTTP in OpenAI's API. It listens before the model is loaded, and answers 503 until
// it is attached:
//
//   auto server = Server::Listen(options);        // binds, answers 503
//   auto runtime = LoadRuntime(path, ...);
//   (*server)->Attach(**runtime);                 // answers
//   (*server)->Run();                             // until Drain or Stop, from another thread
#ifndef QUIRE_SERVER_SERVER_H_
#define QUIRE_SERVER_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "quire/base/result.h"
#include "quire/engine/runtime.h"
#include "quire/server/http_server.h"

namespace quire {

struct ServerOptions {
  HttpServerOptions http;  // address, threads, limits
  // Where there is one, every route but /health wants "Authorization: Bearer KEY" with one of them.
  std::vector<std::string> api_keys;
  // Names that requests may call the model; the first is shown. Empty: the model's own.
  std::vector<std::string> model_names;
  // The web origin whose pages may use the server, or "*". Empty: none.
  std::string cors_origin;
  bool log_requests = false;  // a line per request on standard error
};

class Server {
 public:
  // Binds and answers at once, on I/O threads of its own. Errors: kIo, kInvalidArgument.
  static Result<std::unique_ptr<Server>> Listen(const ServerOptions& options);
  virtual ~Server() = default;  // stops

  // The model is ready. REQUIRES: called once; `runtime` outlives the server.
  virtual void Attach(Runtime& runtime) = 0;

  // Returns when, after Drain or Stop, the last connection is closed.
  virtual void Run() = 0;
  // Thread-safe; both return at once. Drain accepts nothing new and lets running answers finish, at most for
  // the drain timeout; Stop cancels them.
  virtual void Drain() = 0;
  virtual void Stop() = 0;

  virtual int port() const = 0;
};

}  // namespace quire

#endif  // QUIRE_SERVER_SERVER_H_
