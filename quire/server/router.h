// Which handler answers which method and path. Routes are a table in the order they were added; a path that
// ends in "/*" matches everything below it, and "{}" in a path is one part of it, whatever it is.
#ifndef QUIRE_SERVER_ROUTER_H_
#define QUIRE_SERVER_ROUTER_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "quire/server/http.h"

namespace quire {

struct Route {
  using Handler = std::function<void(const HttpRequest&, std::shared_ptr<HttpExchange>)>;
  std::string method;  // "GET" also answers HEAD
  std::string path;    // "/v1/models", "/v1/models/*"
  Handler handler;
};

class Router {
 public:
  void Add(std::string method, std::string path, Route::Handler handler);

  // The route of a request; null when there is none.
  const Route* Find(std::string_view method, std::string_view path) const;
  // What may be done with a path, for the Allow header: "GET, HEAD, OPTIONS"; empty for an unknown path.
  std::string Allowed(std::string_view path) const;
  // The pattern that a path falls under ("/v1/models/*"), for metrics; "other" when there is none.
  std::string PatternOf(std::string_view path) const;
  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_ROUTER_H_
