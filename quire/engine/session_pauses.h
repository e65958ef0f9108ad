// What the engine remembers of sessions: when they began, so that policies can serve them in that order, and
// how long they pause in tool calls. While one pauses its pages are pinned, for the time that the retention
// policy predicts.
#ifndef QUIRE_ENGINE_SESSION_PAUSES_H_
#define QUIRE_ENGINE_SESSION_PAUSES_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "quire/engine/request.h"
#include "quire/kv/kv_cache.h"
#include "quire/policies/retention.h"

namespace quire {

class SessionPauses {
 public:
  // REQUIRES: the cache outlives it.
  explicit SessionPauses(KvCache& cache) : cache_(cache) {}

  // A request arrives; its session's pin stays until it has run. Returns when the session began, or the
  // request that has none: no two at the same time.
  double Arrive(const Request& request, double now_s);
  // A request has run, and `table` has been published with what it computed. With a tool the session is
  // expected back.
  void Leave(const Request& request, const std::string& tool, const PageTable& table, double recompute_s,
             bool contended, double now_s);
  int64_t size() const { return std::ssize(sessions_); }

 private:
  struct Session {
    double begin_s = 0;
    double left_s = 0;
    std::string tenant, tool;  // it pauses in the tool's call; empty: it does not
  };

  double NextBegin(double now_s);
  void Learn(const Session& session, double now_s);
  void Forget(double now_s);

  KvCache& cache_;
  std::map<std::string, Session, std::less<>> sessions_;
  double newest_s_ = 0;  // begin
  double forgotten_s_ = 0;
};

// The tool of `tools` that the answer calls last; empty when it calls none. A call is JSON that has the
// tool's name as its "name", or the name with an opening parenthesis where a call can begin.
std::string CalledTool(std::string_view answer, const std::vector<std::string>& tools);

}  // namespace quire

#endif  // QUIRE_ENGINE_SESSION_PAUSES_H_
