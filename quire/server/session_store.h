// The sessions that clients made: whose they are, and what was said in them so far, in tokens. A session is
// found by its owner only; for everybody else it does not exist. Sessions that are saved also lie in a
// folder, and are there again when the server starts.
//
// Thread-safe.
#ifndef QUIRE_SERVER_SESSION_STORE_H_
#define QUIRE_SERVER_SESSION_STORE_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/token.h"
#include "quire/server/api_error.h"
#include "quire/tiers/record_folder.h"

namespace quire {

struct SessionPin {
  int64_t tokens = 0;   // that are pinned
  int64_t expires = 0;  // Unix time
};

struct Session {
  std::string id;
  std::string owner;
  std::string name;
  nlohmann::ordered_json metadata = nlohmann::ordered_json::object();
  std::string salt;     // of all its requests
  std::string kv_type;  // of all its requests, as Request has it
  int64_t created = 0;
  int64_t last_used = 0;
  int64_t ttl_s = 0;          // without a request: then it goes, unless it is saved
  int64_t requests = 0;       // that were answered
  std::vector<Token> tokens;  // of the last request and its answer
  std::optional<SessionPin> pin;
  std::optional<int64_t> saved;  // when
};

// {"id", "object", "created_at", ...}: all but salt and tokens.
nlohmann::ordered_json SessionJson(const Session& session);

class SessionStore {
 public:
  static constexpr size_t kMostOfOwner = 1024;
  static constexpr size_t kMost = 65536;
  static constexpr int64_t kMostTokens = 64 << 20;  // of all sessions

  // Brings back what was saved. `folder`, which may be null, outlives the store; token ids are below
  // `vocab_size`.
  void Open(const RecordFolder* folder, int vocab_size);
  bool can_save() const { return folder_ != nullptr; }

  // With a new id. Errors: 429 when the owner has as many as it may.
  ApiResult<Session> Add(Session session, int64_t now);
  // Errors: 404, for those of others as well.
  ApiResult<Session> Find(std::string_view owner, const std::string& id, int64_t now);
  // The owner's, the newest first, from behind `after` on; at most `limit`.
  std::vector<Session> List(std::string_view owner, const std::string& after, size_t limit, int64_t now);
  ApiResult<Session> Remove(std::string_view owner, const std::string& id, int64_t now);

  // A request of the session was answered: these are its tokens from now on. Nothing if it is gone.
  std::optional<Session> Record(const std::string& id, std::vector<Token> tokens, int64_t now);
  void SetPin(const std::string& id, std::optional<SessionPin> pin);

  // Errors: 404; 500 when the disk refuses it.
  ApiResult<Session> Save(std::string_view owner, const std::string& id, int64_t now);
  // The session becomes what was saved of it. Errors: 404; 409 when it was not saved, or the disk lost it.
  ApiResult<Session> Restore(std::string_view owner, const std::string& id, int64_t now);

  size_t size();

 private:
  using Sessions = std::map<std::string, Session, std::less<>>;  // by id

  std::optional<Session> ReadSaved(const std::string& id) const;
  Session* Get(std::string_view owner, const std::string& id, int64_t now);
  void Expire(int64_t now);
  void Erase(Sessions::iterator session);

  std::mutex mutex_;
  Sessions sessions_;
  std::map<std::string, size_t, std::less<>> of_owner_;  // how many
  int64_t tokens_ = 0;
  int64_t expired_at_ = 0;
  const RecordFolder* folder_ = nullptr;
  int vocab_size_ = 0;
};

}  // namespace quire

#endif  // QUIRE_SERVER_SESSION_STORE_H_
