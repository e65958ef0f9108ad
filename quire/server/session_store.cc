#include "quire/server/session_store.h"

#include <algorithm>
#include <cstring>

#include "quire/server/call_fields.h"
#include "quire/server/json_body.h"

// Invariant: tokens_ and of_owner_ count what is in sessions_. Time is Unix time, and comes from the caller.

namespace quire {
namespace {

using nlohmann::ordered_json;

ApiError NoSession(std::string_view id) {
  ApiError error =
      ErrorWithStatus(404, fmt::format("there is no session '{}'; see /v1/sessions for those there are", id),
                      "session_not_found");
  error.param = "session_id";
  return error;
}

bool IsOver(const Session& session, int64_t now) {
  return !session.saved && now - session.last_used >= session.ttl_s;
}

// A line of JSON, then the tokens.
std::string ToRecord(const Session& session) {
  ordered_json head = {{"id", session.id},           {"owner", session.owner},
                       {"name", session.name},       {"metadata", session.metadata},
                       {"salt", session.salt},       {"kv_type", session.kv_type},
                       {"created", session.created}, {"last_used", session.last_used},
                       {"ttl", session.ttl_s},       {"requests", session.requests},
                       {"saved", *session.saved}};
  std::string record = DumpJson(head) + "\n";
  record.append(reinterpret_cast<const char*>(session.tokens.data()), session.tokens.size() * sizeof(Token));
  return record;
}

std::optional<Session> FromRecord(std::string_view record) {
  const size_t end = record.find('\n');
  if (end == record.npos || (record.size() - end - 1) % sizeof(Token) != 0) return std::nullopt;
  try {
    const ordered_json head = ordered_json::parse(record.substr(0, end));
    Session session{.id = head.at("id"),
                    .owner = head.at("owner"),
                    .name = head.at("name"),
                    .metadata = head.at("metadata"),
                    .salt = head.at("salt"),
                    .kv_type = head.value("kv_type", ""),
                    .created = head.at("created"),
                    .last_used = head.at("last_used"),
                    .ttl_s = head.at("ttl"),
                    .requests = head.at("requests"),
                    .tokens = {},
                    .pin = std::nullopt,
                    .saved = head.at("saved").get<int64_t>()};
    session.tokens.resize((record.size() - end - 1) / sizeof(Token));
    std::memcpy(session.tokens.data(), record.data() + end + 1, record.size() - end - 1);
    return session;
  } catch (const ordered_json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

ordered_json SessionJson(const Session& session) {
  ordered_json pin = nullptr;
  if (session.pin) pin = {{"tokens", session.pin->tokens}, {"expires_at", session.pin->expires}};
  return {
      {"id", session.id},
      {"object", "session"},
      {"created_at", session.created},
      {"last_used_at", session.last_used},
      {"expires_at", session.saved ? ordered_json(nullptr) : ordered_json(session.last_used + session.ttl_s)},
      {"name", session.name.empty() ? ordered_json(nullptr) : ordered_json(session.name)},
      {"metadata", session.metadata},
      {"kv_type", session.kv_type.empty() ? ordered_json(nullptr) : ordered_json(session.kv_type)},
      {"requests", session.requests},
      {"tokens", session.tokens.size()},
      {"pin", std::move(pin)},
      {"saved_at", session.saved ? ordered_json(*session.saved) : ordered_json(nullptr)}};
}

std::optional<Session> SessionStore::ReadSaved(const std::string& id) const {
  const auto record = folder_->Read(id);
  auto session = record ? FromRecord(*record) : std::nullopt;
  if (!session || session->id != id) return std::nullopt;
  const auto is_token = [&](Token token) { return token >= 0 && token < vocab_size_; };
  return std::ranges::all_of(session->tokens, is_token) ? session : std::nullopt;
}

void SessionStore::Open(const RecordFolder* folder, int vocab_size) {
  const std::lock_guard lock(mutex_);
  folder_ = folder;
  vocab_size_ = vocab_size;
  if (folder == nullptr) return;
  for (const std::string& id : folder->Names()) {
    auto session = ReadSaved(id);
    if (!session) continue;
    tokens_ += std::ssize(session->tokens);
    ++of_owner_[session->owner];
    sessions_.emplace(id, *std::move(session));
  }
}

ApiResult<Session> SessionStore::Add(Session session, int64_t now) {
  const std::lock_guard lock(mutex_);
  Expire(now);
  const auto mine = of_owner_.find(session.owner);
  if (mine != of_owner_.end() && mine->second >= kMostOfOwner) {
    return std::unexpected(ErrorWithStatus(
        429, fmt::format("you have {} sessions, as many as one may; delete some", mine->second),
        "too_many_sessions"));
  }
  if (sessions_.size() >= kMost || tokens_ + std::ssize(session.tokens) > kMostTokens) {
    return std::unexpected(
        ErrorWithStatus(429, "the server holds as many sessions as it can; try later", "too_many_sessions"));
  }
  session.id = NewId("sess-");
  session.created = session.last_used = now;
  tokens_ += std::ssize(session.tokens);
  ++of_owner_[session.owner];
  return sessions_.emplace(session.id, session).first->second;
}

// Null for what is another's, or over.
Session* SessionStore::Get(std::string_view owner, const std::string& id, int64_t now) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end() || found->second.owner != owner) return nullptr;
  if (!IsOver(found->second, now)) return &found->second;
  Erase(found);
  return nullptr;
}

ApiResult<Session> SessionStore::Find(std::string_view owner, const std::string& id, int64_t now) {
  const std::lock_guard lock(mutex_);
  const Session* session = Get(owner, id, now);
  if (session == nullptr) return std::unexpected(NoSession(id));
  Session found = *session;
  if (found.pin && found.pin->expires <= now) found.pin.reset();
  return found;
}

std::vector<Session> SessionStore::List(std::string_view owner, const std::string& after, size_t limit,
                                        int64_t now) {
  const std::lock_guard lock(mutex_);
  Expire(now);
  std::vector<const Session*> mine;
  for (const auto& [id, session] : sessions_) {
    if (session.owner == owner && !IsOver(session, now)) mine.push_back(&session);
  }
  const auto newest_first = [](const Session* session) { return std::pair(-session->created, session->id); };
  std::ranges::sort(mine, {}, newest_first);
  const auto from = std::ranges::find(mine, after, &Session::id);
  std::vector<Session> page;
  for (auto at = from == mine.end() ? mine.begin() : from + 1; at != mine.end() && page.size() < limit;
       ++at) {
    page.push_back(**at);
    if (page.back().pin && page.back().pin->expires <= now) page.back().pin.reset();
  }
  return page;
}

ApiResult<Session> SessionStore::Remove(std::string_view owner, const std::string& id, int64_t now) {
  const std::lock_guard lock(mutex_);
  const Session* session = Get(owner, id, now);
  if (session == nullptr) return std::unexpected(NoSession(id));
  Session removed = *session;
  Erase(sessions_.find(id));
  if (folder_ != nullptr && removed.saved) folder_->Remove(id);
  return removed;
}

std::optional<Session> SessionStore::Record(const std::string& id, std::vector<Token> tokens, int64_t now) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return std::nullopt;
  Session& session = found->second;
  tokens_ += std::ssize(tokens) - std::ssize(session.tokens);
  session.tokens = std::move(tokens);
  session.last_used = now;
  ++session.requests;
  return session;
}

void SessionStore::SetPin(const std::string& id, std::optional<SessionPin> pin) {
  const std::lock_guard lock(mutex_);
  if (const auto found = sessions_.find(id); found != sessions_.end()) found->second.pin = pin;
}

ApiResult<Session> SessionStore::Save(std::string_view owner, const std::string& id, int64_t now) {
  const std::lock_guard lock(mutex_);
  Session* session = Get(owner, id, now);
  if (session == nullptr) return std::unexpected(NoSession(id));
  Session saved = *session;
  saved.saved = now;
  if (const Status status = folder_->Write(id, ToRecord(saved)); !status)
    return std::unexpected(FromError(status.error()));
  session->saved = now;
  return *session;
}

ApiResult<Session> SessionStore::Restore(std::string_view owner, const std::string& id, int64_t now) {
  const std::lock_guard lock(mutex_);
  Session* session = Get(owner, id, now);
  if (session == nullptr) return std::unexpected(NoSession(id));
  auto saved = folder_ != nullptr && session->saved ? ReadSaved(id) : std::nullopt;
  if (!saved) {
    return std::unexpected(ErrorWithStatus(
        409, fmt::format("session '{}' was not saved, or is damaged on disk; save it first", id),
        "not_saved"));
  }
  tokens_ += std::ssize(saved->tokens) - std::ssize(session->tokens);
  session->tokens = std::move(saved->tokens);
  session->last_used = now;
  return *session;
}

size_t SessionStore::size() {
  const std::lock_guard lock(mutex_);
  return sessions_.size();
}

// Looks at all of them, now and then.
void SessionStore::Expire(int64_t now) {
  const bool full = sessions_.size() >= kMost;
  if (!full && now - expired_at_ < 60) return;
  expired_at_ = now;
  for (auto next = sessions_.begin(); next != sessions_.end();) {
    const auto session = next++;
    if (IsOver(session->second, now)) Erase(session);
  }
}

void SessionStore::Erase(Sessions::iterator session) {
  tokens_ -= std::ssize(session->second.tokens);
  const auto mine = of_owner_.find(session->second.owner);
  if (--mine->second == 0) of_owner_.erase(mine);
  sessions_.erase(session);
}

}  // namespace quire
