#include "quire/server/server.h"

#include <atomic>
#include <ctime>

#include "quire/server/api_error.h"
#include "quire/server/call_routes.h"
#include "quire/server/generation.h"
#include "quire/server/http_metrics.h"
#include "quire/server/json_body.h"
#include "quire/server/memory_route.h"
#include "quire/server/request_log.h"
#include "quire/server/router.h"
#include "quire/server/served_model.h"
#include "quire/server/session_routes.h"
#include "quire/server/token_routes.h"

// Invariants: served_ is written once, before ready_ is set, and read only after ready_ was seen set. The
// HTTP server is the last member, so its threads end before anything they use.

namespace quire {
namespace {

using nlohmann::ordered_json;
using ExchangePtr = std::shared_ptr<HttpExchange>;

// Takes the same time whatever the two have in common.
bool SameSecret(std::string_view given, std::string_view key) {
  size_t difference = given.size() ^ key.size();
  for (size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned char>(given[i] ^ (key.empty() ? 0 : key[i % key.size()]));
  }
  return difference == 0;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return std::tolower(x) == std::tolower(y); });
}

// "application/json", with or without parameters. A browser sends it to a foreign origin only with consent.
bool IsJson(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return type.empty() || EqualsIgnoringCase(type, "application/json");
}

class ApiServer final : public Server, private HttpHandler {
 public:
  explicit ApiServer(const ServerOptions& options)
      : options_(options), sessions_(served_, !options.api_keys.empty()) {
    AddRoutes();
  }

  Status Open() {
    QUIRE_ASSIGN(http_, HttpServer::Listen(options_.http, *this));
    return {};
  }

  void Attach(Runtime& runtime) override {
    served_ = ServedFrom(runtime, options_.model_names);
    sessions_.Open(runtime.records.get());
    ready_ = true;
  }

  void Run() override { http_->Wait(); }
  void Drain() override {
    draining_ = true;
    http_->Drain();
  }
  void Stop() override {
    draining_ = true;
    http_->Stop();
  }
  int port() const override { return http_->port(); }

 private:
  using JsonRoute = ApiResult<ordered_json> (*)(const ordered_json&, const ServedModel&);

  void AddRoutes();
  void AddCall(const CallRoute& route);
  void AddJson(const std::string& path, JsonRoute answer);

  std::optional<HttpResponse> CheckHead(const HttpRequest& head) override;
  void Handle(HttpRequest request, ExchangePtr exchange) override;
  HttpResponse Refusal(int status, std::string_view message) override;
  void OnAnswered(const HttpRequest& request, int status, Duration taken) override;

  std::optional<ApiError> Problem(const HttpRequest& head) const;
  bool HasKey(const HttpRequest& head) const;
  bool IsPreflight(const HttpRequest& head) const;
  HttpResponse OptionsResponse(const HttpRequest& head) const;
  HttpResponse WithCors(HttpResponse response) const;

  HttpResponse Health() const;
  HttpResponse ListModels() const;
  HttpResponse ShowModel(const HttpRequest& request) const;
  HttpResponse Metrics();
  ordered_json ModelJson(const std::string& name) const;

  const ServerOptions options_;
  Router router_;
  HttpMetrics metrics_;
  ServedModel served_;
  SessionRoutes sessions_;
  std::atomic<bool> ready_ = false;
  std::atomic<bool> draining_ = false;
  std::unique_ptr<HttpServer> http_;
};

// Adds the CORS header to whatever a handler answers.
class CorsExchange final : public HttpExchange {
 public:
  CorsExchange(ExchangePtr inner, std::string origin)
      : inner_(std::move(inner)), origin_(std::move(origin)) {}
  void Post(std::function<void()> work) override { inner_->Post(std::move(work)); }
  void Respond(HttpResponse response) override {
    response.headers.emplace_back("Access-Control-Allow-Origin", origin_);
    inner_->Respond(std::move(response));
  }
  void BeginStream(HttpResponse head) override {
    head.headers.emplace_back("Access-Control-Allow-Origin", origin_);
    inner_->BeginStream(std::move(head));
  }
  void Write(std::string_view part) override { inner_->Write(part); }
  void End() override { inner_->End(); }
  void OnClosed(std::function<void()> closed) override { inner_->OnClosed(std::move(closed)); }

 private:
  const ExchangePtr inner_;
  const std::string origin_;
};

void ApiServer::AddRoutes() {
  const auto get = [this](const std::string& path, auto answer) {
    router_.Add("GET", path, [answer](const HttpRequest& request, ExchangePtr exchange) {
      exchange->Respond(answer(request));
    });
  };
  get("/health", [this](const HttpRequest&) { return Health(); });
  get("/version", [](const HttpRequest&) { return JsonResponse({{"version", QUIRE_VERSION}}); });
  get("/metrics", [this](const HttpRequest&) { return Metrics(); });
  get("/v1/models", [this](const HttpRequest&) { return ListModels(); });
  get("/v1/models/*", [this](const HttpRequest& request) { return ShowModel(request); });
  router_.Add("GET", "/memory", [this](const HttpRequest&, ExchangePtr exchange) {
    AnswerMemory(served_, std::move(exchange));
  });
  router_.Add("PUT", "/memory", [this](const HttpRequest& request, ExchangePtr exchange) {
    ResizeMemory(served_, request, std::move(exchange));
  });
  for (const CallRoute& route : CallRoutes()) AddCall(route);
  sessions_.Add(router_);
  AddJson("/tokenize", Tokenize);
  AddJson("/detokenize", Detokenize);
}

void ApiServer::AddCall(const CallRoute& route) {
  router_.Add("POST", std::string(route.path),
              [this, &route](const HttpRequest& request, ExchangePtr exchange) {
                const auto body = ParseJsonBody(request.body);
                if (!body) return exchange->Respond(ErrorResponse(body.error()));
                auto call = route.read(*body, served_);
                if (!call) return exchange->Respond(ErrorResponse(call.error()));
                if (const auto joined = sessions_.Join(request, *call); !joined) {
                  return exchange->Respond(ErrorResponse(joined.error()));
                }
                call->created = time(nullptr);
                StartGeneration(served_, *std::move(call), std::move(exchange));
              });
}

void ApiServer::AddJson(const std::string& path, JsonRoute answer) {
  router_.Add("POST", path, [this, answer](const HttpRequest& request, ExchangePtr exchange) {
    const auto body = ParseJsonBody(request.body);
    if (!body) return exchange->Respond(ErrorResponse(body.error()));
    const auto json = answer(*body, served_);
    exchange->Respond(json ? JsonResponse(*json) : ErrorResponse(json.error()));
  });
}

// The order tells a stranger nothing but /health: key, route, state, body.
std::optional<ApiError> ApiServer::Problem(const HttpRequest& head) const {
  if (head.path != "/health" && !HasKey(head)) {
    return ErrorWithStatus(401, "the API key is missing or wrong; send 'Authorization: Bearer KEY'",
                           "invalid_api_key");
  }
  const std::string allowed = router_.Allowed(head.path);
  if (allowed.empty()) {
    return ErrorWithStatus(
        404, fmt::format("there is no route {}; see docs/api.md for those there are", head.path),
        "unknown_route");
  }
  if (!router_.Find(head.method, head.path)) {
    return ErrorWithStatus(405, fmt::format("{} does not take {}; use {}", head.path, head.method, allowed),
                           "method_not_allowed");
  }
  if (head.path == "/health" || head.path == "/version") return std::nullopt;
  if (!ready_)
    return ErrorWithStatus(503, "the model is still being loaded; try again in a moment", "loading");
  if (draining_) return ShuttingDown();
  if ((head.method == "POST" || head.method == "PUT") && !IsJson(head.Header("content-type"))) {
    return ErrorWithStatus(415, "the body must be JSON; send 'Content-Type: application/json'",
                           "unsupported_media_type");
  }
  return std::nullopt;
}

std::optional<HttpResponse> ApiServer::CheckHead(const HttpRequest& head) {
  if (IsPreflight(head)) return OptionsResponse(head);
  const bool options = head.method == "OPTIONS" && !router_.Allowed(head.path).empty();
  if (options && (head.path == "/health" || HasKey(head))) return OptionsResponse(head);
  auto problem = Problem(head);
  if (!problem) return std::nullopt;
  HttpResponse response = ErrorResponse(*problem);
  if (problem->status == 405) response.headers.emplace_back("Allow", router_.Allowed(head.path));
  return WithCors(std::move(response));
}

void ApiServer::Handle(HttpRequest request, ExchangePtr exchange) {
  if (!options_.cors_origin.empty()) {
    exchange = std::make_shared<CorsExchange>(std::move(exchange), options_.cors_origin);
  }
  router_.Find(request.method, request.path)->handler(request, std::move(exchange));
}

HttpResponse ApiServer::Refusal(int status, std::string_view message) {
  return WithCors(ErrorResponse(ErrorWithStatus(status, std::string(message))));
}

void ApiServer::OnAnswered(const HttpRequest& request, int status, Duration taken) {
  metrics_.Count(router_.PatternOf(request.path), status, taken);
  if (options_.log_requests) LogRequest(request, status, taken);
}

bool ApiServer::HasKey(const HttpRequest& head) const {
  if (options_.api_keys.empty()) return true;
  constexpr std::string_view kScheme = "bearer ";
  std::string_view given = head.Header("authorization");
  if (!EqualsIgnoringCase(given.substr(0, kScheme.size()), kScheme)) return false;
  given.remove_prefix(kScheme.size());
  bool found = false;
  for (const std::string& key : options_.api_keys) found |= SameSecret(given, key);
  return found;
}

// A browser asks so before it sends the real request, and never with the key.
bool ApiServer::IsPreflight(const HttpRequest& head) const {
  return !options_.cors_origin.empty() && head.method == "OPTIONS" && !head.Header("origin").empty() &&
         !head.Header("access-control-request-method").empty();
}

HttpResponse ApiServer::OptionsResponse(const HttpRequest& head) const {
  HttpResponse response{.status = 204, .body = {}, .headers = {}};
  const std::string allowed = router_.Allowed(head.path);
  if (!allowed.empty()) response.headers.emplace_back("Allow", allowed);
  if (IsPreflight(head)) {
    response.headers.emplace_back("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS");
    response.headers.emplace_back("Access-Control-Allow-Headers",
                                  head.Header("access-control-request-headers"));
    response.headers.emplace_back("Access-Control-Max-Age", "600");
  }
  return WithCors(std::move(response));
}

HttpResponse ApiServer::WithCors(HttpResponse response) const {
  if (!options_.cors_origin.empty()) {
    response.headers.emplace_back("Access-Control-Allow-Origin", options_.cors_origin);
  }
  return response;
}

HttpResponse ApiServer::Health() const {
  if (draining_) return ErrorResponse(ShuttingDown());
  if (!ready_) return ErrorResponse(ErrorWithStatus(503, "the model is still being loaded", "loading"));
  return JsonResponse({{"status", "ok"}});
}

ordered_json ApiServer::ModelJson(const std::string& name) const {
  return {{"id", name},
          {"object", "model"},
          {"created", served_.created},
          {"owned_by", "quire"},
          {"root", served_.names.front()},
          {"parent", nullptr},
          {"max_model_len", served_.context_length},
          {"kv_types", served_.engine->kv_types()}};
}

HttpResponse ApiServer::ListModels() const {
  ordered_json data = ordered_json::array();
  for (const std::string& name : served_.names) data.push_back(ModelJson(name));
  return JsonResponse({{"object", "list"}, {"data", std::move(data)}});
}

HttpResponse ApiServer::ShowModel(const HttpRequest& request) const {
  const std::string name = request.path.substr(std::string_view("/v1/models/").size());
  if (served_.HasName(name)) return JsonResponse(ModelJson(name));
  ApiError error = ErrorWithStatus(
      404, fmt::format("the model '{}' is not served here; see /v1/models", name), "model_not_found");
  error.param = "model";
  return ErrorResponse(error);
}

HttpResponse ApiServer::Metrics() {
  metrics_.SetConnections(http_->connections());
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
          .body = served_.engine->metrics().registry.Render() + metrics_.Render(),
          .headers = {}};
}

}  // namespace

Result<std::unique_ptr<Server>> Server::Listen(const ServerOptions& options) {
  auto server = std::make_unique<ApiServer>(options);
  QUIRE_TRY(server->Open());
  return server;
}

}  // namespace quire
