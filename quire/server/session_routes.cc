#include "quire/server/session_routes.h"

#include <ctime>
#include <mutex>

#include "quire/server/call_fields.h"
#include "quire/server/json_body.h"
#include "quire/server/json_fields.h"
#include "quire/tiers/page_key.h"

// Invariants: a session is looked up by its owner before anything is done with it, and what is another's
// answers as what does not exist. Answers that wait for the engine are posted to the exchange.

namespace quire {
namespace {

using nlohmann::ordered_json;
using ExchangePtr = std::shared_ptr<HttpExchange>;

constexpr std::string_view kPath = "/v1/sessions/";
constexpr int64_t kDay_s = 86400;
constexpr int64_t kMaxTtl_s = 30 * kDay_s;
constexpr int64_t kMaxPin_s = 7 * kDay_s;
constexpr int64_t kMaxName = 256, kMaxMetadataText = 512;
constexpr size_t kMaxMetadataKeys = 16;

int64_t Now() { return time(nullptr); }

void Respond(const ExchangePtr& exchange, const ordered_json& json) { exchange->Respond(JsonResponse(json)); }

void Respond(const ExchangePtr& exchange, const ApiResult<Session>& session) {
  if (!session) return exchange->Respond(ErrorResponse(session.error()));
  Respond(exchange, SessionJson(*session));
}

// The value of `name` in a query such as "user=anna&limit=5"; the first one, decoded.
std::optional<std::string> QueryValue(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    if (part.starts_with(name) && part.substr(name.size()).starts_with('=')) {
      return PercentDecode(part.substr(name.size() + 1));
    }
  }
  return std::nullopt;
}

std::string PinName(const std::string& session) { return "session/" + session; }

std::string IdIn(const HttpRequest& request) {
  const std::string_view rest = std::string_view(request.path).substr(kPath.size());
  return std::string(rest.substr(0, rest.find('/')));
}

// The body of a POST that may have none.
ApiResult<ordered_json> BodyOf(const HttpRequest& request) {
  if (request.body.empty()) return ordered_json::object();
  return ParseJsonBody(request.body);
}

std::string ReadName(JsonFields& fields) { return ReadShortText(fields, "name", kMaxName); }

ordered_json ReadMetadata(JsonFields& fields) {
  const ordered_json* metadata = fields.Object("metadata");
  if (metadata == nullptr) return ordered_json::object();
  bool good = metadata->size() <= kMaxMetadataKeys;
  for (const auto& [key, value] : metadata->items()) {
    good = good && CountCharacters(key) <= kMaxMetadataText && value.is_string() &&
           CountCharacters(value.get_ref<const std::string&>()) <= kMaxMetadataText;
  }
  if (good) return *metadata;
  fields.Reject("metadata", fmt::format("must be an object of at most {} texts of {} characters",
                                        kMaxMetadataKeys, kMaxMetadataText));
  return ordered_json::object();
}

// Computes a prompt and answers what of it was there.
class WarmingSink final : public TokenSink {
 public:
  explicit WarmingSink(std::function<void(const OutputEvent&)> done) : done_(std::move(done)) {}
  void OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>>) override {}
  void OnOutput(OutputEvent event) override {
    if (event.finish) done_(event);
  }

 private:
  const std::function<void(const OutputEvent&)> done_;
};

}  // namespace

std::string OwnerOf(std::string_view api_key, std::string_view user) {
  if (api_key.empty()) return std::string(user);
  return "key-" + ToHex(RootKey("owner of " + std::string(api_key))).substr(0, 24);
}

// -- Routes -------------------------------------------------------------------------------------------------

void SessionRoutes::Add(Router& router) {
  const auto add = [&](const char* method, const std::string& path, auto answer) {
    router.Add(method, path, [this, answer](const HttpRequest& request, ExchangePtr exchange) {
      (this->*answer)(request, std::move(exchange));
    });
  };
  add("GET", "/v1/sessions", &SessionRoutes::List);
  add("POST", "/v1/sessions", &SessionRoutes::Create);
  add("GET", "/v1/sessions/{}", &SessionRoutes::Show);
  add("DELETE", "/v1/sessions/{}", &SessionRoutes::Delete);
  AddAction(router, "fork", &SessionRoutes::Fork);
  AddAction(router, "pin", &SessionRoutes::Pin);
  AddAction(router, "unpin", &SessionRoutes::Unpin);
  AddAction(router, "save", &SessionRoutes::Save);
  AddAction(router, "restore", &SessionRoutes::Restore);
}

void SessionRoutes::AddAction(Router& router, const std::string& name, Action action) {
  router.Add("POST", "/v1/sessions/{}/" + name,
             [this, action](const HttpRequest& request, ExchangePtr exchange) {
               const auto body = BodyOf(request);
               if (!body) return exchange->Respond(ErrorResponse(body.error()));
               JsonFields fields(*body);
               const std::string user = fields.String("user").value_or("");
               if (fields.error()) return exchange->Respond(ErrorResponse(*fields.error()));
               const auto session = store_.Find(Owner(request, user), IdIn(request), Now());
               if (!session) return exchange->Respond(ErrorResponse(session.error()));
               (this->*action)(*session, fields, std::move(exchange));
             });
}

std::string SessionRoutes::Owner(const HttpRequest& head, std::string_view user) const {
  constexpr size_t kScheme = std::string_view("bearer ").size();
  return wants_keys_ ? OwnerOf(head.Header("authorization").substr(kScheme), "") : OwnerOf("", user);
}

void SessionRoutes::Create(const HttpRequest& request, ExchangePtr exchange) {
  const auto body = BodyOf(request);
  if (!body) return exchange->Respond(ErrorResponse(body.error()));
  JsonFields fields(*body);
  Session session;
  session.name = ReadName(fields);
  session.metadata = ReadMetadata(fields);
  session.ttl_s = fields.Integer("ttl", 1, kMaxTtl_s).value_or(kDay_s);
  session.salt = ReadCacheSalt(fields);
  session.kv_type = ReadKvType(fields, served_);
  session.owner = Owner(request, fields.String("user").value_or(""));
  if (fields.error()) return exchange->Respond(ErrorResponse(*fields.error()));
  Respond(exchange, store_.Add(std::move(session), Now()));
}

void SessionRoutes::List(const HttpRequest& request, ExchangePtr exchange) {
  constexpr int64_t kMostOfPage = 1000;
  ordered_json query = ordered_json::object();
  if (const auto limit = QueryValue(request.query, "limit")) {
    const ordered_json number = ordered_json::parse(*limit, nullptr, false);
    query["limit"] = number.is_number() ? number : ordered_json(*limit);
  }
  JsonFields fields(query);
  const auto limit = static_cast<size_t>(fields.Integer("limit", 1, kMostOfPage).value_or(100));
  if (fields.error()) return exchange->Respond(ErrorResponse(*fields.error()));
  const std::string owner = Owner(request, QueryValue(request.query, "user").value_or(""));
  auto sessions = store_.List(owner, QueryValue(request.query, "after").value_or(""), limit + 1, Now());
  const bool has_more = sessions.size() > limit;
  if (has_more) sessions.pop_back();
  ordered_json data = ordered_json::array();
  for (const Session& session : sessions) data.push_back(SessionJson(session));
  Respond(exchange, ordered_json{{"object", "list"}, {"data", std::move(data)}, {"has_more", has_more}});
}

void SessionRoutes::Show(const HttpRequest& request, ExchangePtr exchange) {
  const std::string owner = Owner(request, QueryValue(request.query, "user").value_or(""));
  Respond(exchange, store_.Find(owner, IdIn(request), Now()));
}

void SessionRoutes::Delete(const HttpRequest& request, ExchangePtr exchange) {
  const std::string owner = Owner(request, QueryValue(request.query, "user").value_or(""));
  const auto session = store_.Remove(owner, IdIn(request), Now());
  if (!session) return exchange->Respond(ErrorResponse(session.error()));
  served_.engine->Unpin(PinName(session->id));
  Respond(exchange, ordered_json{{"id", session->id}, {"object", "session.deleted"}, {"deleted", true}});
}

// -- Actions ------------------------------------------------------------------------------------------------

void SessionRoutes::Fork(const Session& session, JsonFields& fields, ExchangePtr exchange) {
  Session fork = session;
  fork.name = ReadName(fields);
  if (fields.Has("metadata")) fork.metadata = ReadMetadata(fields);
  if (fields.error()) return exchange->Respond(ErrorResponse(*fields.error()));
  fork.requests = 0;
  fork.pin.reset();
  fork.saved.reset();
  Respond(exchange, store_.Add(std::move(fork), Now()));
}

void SessionRoutes::Pin(const Session& session, JsonFields& fields, ExchangePtr exchange) {
  const int64_t ttl_s = fields.Integer("ttl", 1, kMaxPin_s).value_or(300);
  if (fields.error()) return exchange->Respond(ErrorResponse(*fields.error()));
  if (session.tokens.empty()) {
    return exchange->Respond(ErrorResponse(ErrorWithStatus(
        409, "the session has no tokens yet; send a request with its session_id first", "empty_session")));
  }
  const auto answer = [this, id = session.id, owner = session.owner, ttl_s,
                       exchange](const Result<int64_t>& pinned) {
    if (pinned) store_.SetPin(id, SessionPin{.tokens = *pinned, .expires = Now() + ttl_s});
    exchange->Post([this, id, owner, exchange, pinned] {
      if (pinned) return Respond(exchange, store_.Find(owner, id, Now()));
      ApiError error = FromError(pinned.error());
      if (error.status == 429) error.code = "pin_limit";
      exchange->Respond(ErrorResponse(error));
    });
  };
  const bool asked = served_.engine->Pin({.name = PinName(session.id),
                                          .owner = session.owner,
                                          .salt = session.salt,
                                          .kv_type = session.kv_type,
                                          .tokens = session.tokens,
                                          .ttl_s = static_cast<double>(ttl_s)},
                                         answer);
  if (!asked) exchange->Respond(ErrorResponse(ShuttingDown()));
}

void SessionRoutes::Unpin(const Session& session, JsonFields&, ExchangePtr exchange) {
  served_.engine->Unpin(PinName(session.id));
  store_.SetPin(session.id, std::nullopt);
  Respond(exchange, store_.Find(session.owner, session.id, Now()));
}

void SessionRoutes::Save(const Session& session, JsonFields&, ExchangePtr exchange) {
  if (!store_.can_save()) {
    return exchange->Respond(ErrorResponse(ErrorWithStatus(
        409, "nothing can be saved: the server was started without --kv-disk FOLDER", "no_disk")));
  }
  served_.engine->Keep(session.salt, session.kv_type, session.tokens);
  Respond(exchange, store_.Save(session.owner, session.id, Now()));
}

// Computes what was said again, from whatever the cache and the disk still have of it.
void SessionRoutes::Restore(const Session& session, JsonFields&, ExchangePtr exchange) {
  const auto restored = store_.Restore(session.owner, session.id, Now());
  if (!restored) return exchange->Respond(ErrorResponse(restored.error()));
  if (restored->tokens.empty()) return Respond(exchange, restored);
  Request request;
  request.id = session.id;
  request.prompt = restored->tokens;
  request.sampling.max_tokens = 0;
  request.tenant = request.owner = session.owner;
  request.cache_salt = session.salt;
  request.kv_type = session.kv_type;
  const auto done = [this, exchange, id = session.id, owner = session.owner](const OutputEvent& event) {
    exchange->Post([this, exchange, id, owner, event] {
      if (event.error) return exchange->Respond(ErrorResponse(FromError(*event.error)));
      const auto session = store_.Find(owner, id, Now());
      if (!session) return exchange->Respond(ErrorResponse(session.error()));
      ordered_json json = SessionJson(*session);
      json["cached_tokens"] = event.cached_tokens;
      Respond(exchange, json);
    });
  };
  const auto submitted = served_.engine->Submit(std::move(request), std::make_shared<WarmingSink>(done));
  if (!submitted) exchange->Respond(ErrorResponse(FromError(submitted.error())));
}

// -- Calls --------------------------------------------------------------------------------------------------

ApiResult<void> SessionRoutes::Join(const HttpRequest& head, Call& call) {
  for (Request& request : call.requests) request.owner = Owner(head, request.tenant);
  Request& request = call.requests.front();
  if (request.session.id.empty()) return {};
  const auto session = store_.Find(request.owner, request.session.id, Now());
  if (!session) return std::unexpected(session.error());
  if (call.requests.size() > 1) {
    return std::unexpected(
        BadField("session_id", "session_id goes with one prompt; send the others in calls of their own"));
  }
  if (request.cache_salt.empty()) request.cache_salt = session->salt;
  if (request.cache_salt != session->salt) {
    return std::unexpected(
        BadField("cache_salt", "cache_salt differs from that of the session; leave one of them out"));
  }
  if (request.kv_type.empty()) request.kv_type = session->kv_type;
  const auto named = [this](const std::string& type) {
    return type.empty() ? served_.engine->kv_types().front() : type;
  };
  if (named(request.kv_type) != named(session->kv_type)) {
    return std::unexpected(
        BadField("kv_type", "kv_type differs from that of the session; leave one of them out"));
  }
  call.record = [this, id = session->id](std::vector<Token> tokens) { Answered(id, std::move(tokens)); };
  return {};
}

// On the engine's thread. A session that is pinned stays so with what was said since.
void SessionRoutes::Answered(const std::string& id, std::vector<Token> tokens) {
  const int64_t now = Now();
  const auto session = store_.Record(id, std::move(tokens), now);
  if (!session || !session->pin || session->pin->expires <= now) return;
  const int64_t expires = session->pin->expires;
  served_.engine->Pin({.name = PinName(id),
                       .owner = session->owner,
                       .salt = session->salt,
                       .kv_type = session->kv_type,
                       .tokens = session->tokens,
                       .ttl_s = static_cast<double>(expires - now)},
                      [this, id, expires](const Result<int64_t>& pinned) {
                        if (pinned) store_.SetPin(id, SessionPin{.tokens = *pinned, .expires = expires});
                      });
}

}  // namespace quire
