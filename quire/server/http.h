// HTTP as the rest of the server sees it: a request in one piece, a response in one piece or as a stream, and
// nothing of sockets. http_server.h moves the bytes.
#ifndef QUIRE_SERVER_HTTP_H_
#define QUIRE_SERVER_HTTP_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quire/base/clock.h"

namespace quire {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;   // "POST"
  std::string path;     // percent-decoded, without the query
  std::string query;    // as it came, without the '?'
  HttpHeaders headers;  // names in lower case
  std::string body;
  std::string peer;  // the client's address

  // The first header of that name (given in lower case); empty when absent.
  std::string_view Header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  HttpHeaders headers;  // beside Content-Type, Content-Length, Date and Connection
};

// One request that is being answered. Handlers are called on the connection's executor, and every member but
// Post must be called there; Post brings the work of other threads to it.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  // Thread-safe: runs `work` on the connection's executor, after the work posted before.
  virtual void Post(std::function<void()> work) = 0;

  // The whole answer. REQUIRES: nothing was answered yet.
  virtual void Respond(HttpResponse response) = 0;

  // An answer in parts: its head (the body of `head` is ignored), then the parts, then the end. What the
  // client does not read is kept up to a limit, beyond which the connection is closed.
  virtual void BeginStream(HttpResponse head) = 0;
  virtual void Write(std::string_view part) = 0;
  virtual void End() = 0;

  // Calls `closed` once, on the executor, if the client goes away before the answer was sent completely.
  // Everything written afterwards is dropped.
  virtual void OnClosed(std::function<void()> closed) = 0;
};

// What a server does with requests. Called from several threads at once.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Looks at a request before its body is read. A response refuses it.
  virtual std::optional<HttpResponse> CheckHead(const HttpRequest& head) = 0;
  // Answers through `exchange`, now or later.
  virtual void Handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) = 0;
  // The body of an answer that the HTTP layer gives itself: 400, 408, 413, 431, 500, 503.
  virtual HttpResponse Refusal(int status, std::string_view message) = 0;
  // After an answer was sent, or given up.
  virtual void OnAnswered(const HttpRequest& request, int status, Duration taken) = 0;
};

// "Not Found"
std::string_view ReasonPhrase(int status);
// Undoes %XX; nothing when it is malformed.
std::optional<std::string> PercentDecode(std::string_view text);
// The status line and headers of `response`, with the empty line. `framing` is the header that tells where
// the body ends; empty: at the end of the connection.
std::string RenderHead(const HttpResponse& response, std::string_view framing, bool keep_alive);

}  // namespace quire

#endif  // QUIRE_SERVER_HTTP_H_
