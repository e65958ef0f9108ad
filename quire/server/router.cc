#include "quire/server/router.h"

#include <algorithm>

namespace quire {
namespace {

bool Matches(std::string_view pattern, std::string_view path) {
  if (const size_t at = pattern.find("{}"); at != pattern.npos) {
    if (!path.starts_with(pattern.substr(0, at))) return false;
    path.remove_prefix(at);
    const size_t end = std::min(path.find('/'), path.size());
    return end > 0 && path.substr(end) == pattern.substr(at + 2);
  }
  if (!pattern.ends_with("/*")) return pattern == path;
  pattern.remove_suffix(1);
  return path.starts_with(pattern) && path.size() > pattern.size();
}

}  // namespace

void Router::Add(std::string method, std::string path, Route::Handler handler) {
  routes_.push_back({std::move(method), std::move(path), std::move(handler)});
}

const Route* Router::Find(std::string_view method, std::string_view path) const {
  if (method == "HEAD") method = "GET";
  for (const Route& route : routes_) {
    if (route.method == method && Matches(route.path, path)) return &route;
  }
  return nullptr;
}

std::string Router::Allowed(std::string_view path) const {
  std::string methods;
  for (const Route& route : routes_) {
    if (Matches(route.path, path)) methods += route.method == "GET" ? "GET, HEAD, " : route.method + ", ";
  }
  return methods.empty() ? "" : methods + "OPTIONS";
}

std::string Router::PatternOf(std::string_view path) const {
  for (const Route& route : routes_) {
    if (Matches(route.path, path)) return route.path;
  }
  return "other";
}

}  // namespace quire
