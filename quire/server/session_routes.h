// /v1/sessions: make, list, fork, pin, save, restore and delete sessions, and let calls join them.
#ifndef QUIRE_SERVER_SESSION_ROUTES_H_
#define QUIRE_SERVER_SESSION_ROUTES_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "quire/server/call.h"
#include "quire/server/http.h"
#include "quire/server/json_fields.h"
#include "quire/server/router.h"
#include "quire/server/served_model.h"
#include "quire/server/session_store.h"

namespace quire {

// Whose sessions and pins a request may use: the key's, where the server wants keys; else the `user` that it
// names, who may be nobody. A key shows as a hash.
std::string OwnerOf(std::string_view api_key, std::string_view user);

class SessionRoutes {
 public:
  // Both outlive it. `wants_keys`: the server does.
  SessionRoutes(const ServedModel& served, bool wants_keys) : served_(served), wants_keys_(wants_keys) {}

  void Add(Router& router);
  // What is saved can be found from now on. REQUIRES: called once, before the first request.
  void Open(const RecordFolder* folder) { store_.Open(folder, served_.tokenizer->vocab_size()); }

  // Makes the call's requests the owner's, and part of the session that it names. Errors: 404, 400.
  ApiResult<void> Join(const HttpRequest& head, Call& call);

 private:
  using Body = nlohmann::ordered_json;
  using Action = void (SessionRoutes::*)(const Session& session, JsonFields& fields,
                                         std::shared_ptr<HttpExchange> exchange);

  std::string Owner(const HttpRequest& head, std::string_view user) const;
  void AddAction(Router& router, const std::string& name, Action action);

  void Create(const HttpRequest& request, std::shared_ptr<HttpExchange> exchange);
  void List(const HttpRequest& request, std::shared_ptr<HttpExchange> exchange);
  void Show(const HttpRequest& request, std::shared_ptr<HttpExchange> exchange);
  void Delete(const HttpRequest& request, std::shared_ptr<HttpExchange> exchange);
  void Fork(const Session& session, JsonFields& fields, std::shared_ptr<HttpExchange> exchange);
  void Pin(const Session& session, JsonFields& fields, std::shared_ptr<HttpExchange> exchange);
  void Unpin(const Session& session, JsonFields& fields, std::shared_ptr<HttpExchange> exchange);
  void Save(const Session& session, JsonFields& fields, std::shared_ptr<HttpExchange> exchange);
  void Restore(const Session& session, JsonFields& fields, std::shared_ptr<HttpExchange> exchange);
  void Answered(const std::string& id, std::vector<Token> tokens);

  const ServedModel& served_;
  const bool wants_keys_;
  SessionStore store_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_SESSION_ROUTES_H_
