#include "quire/engine/session_pauses.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

namespace quire {
namespace {

constexpr double kForgetAfter_s = 3600;  // without a request
constexpr size_t kMostSessions = 1 << 16;

// Pins of other kinds have other names.
std::string PinOf(const Request& request) { return "pause/" + request.session.id; }

bool EndsWithNameKey(std::string_view before) {
  const auto drop_spaces = [&] {
    while (!before.empty() && (before.back() == ' ' || before.back() == '\n')) before.remove_suffix(1);
  };
  drop_spaces();
  if (!before.ends_with(':')) return false;
  before.remove_suffix(1);
  drop_spaces();
  return before.ends_with("\"name\"");
}

bool CallsAt(std::string_view answer, size_t at, size_t length) {
  const std::string_view before = answer.substr(0, at), behind = answer.substr(at + length);
  if (before.ends_with('"') && behind.starts_with('"')) return EndsWithNameKey(before.substr(0, at - 1));
  return behind.starts_with('(') && (before.empty() || std::string_view("[ \n,;`").contains(before.back()));
}

}  // namespace

std::string CalledTool(std::string_view answer, const std::vector<std::string>& tools) {
  std::string_view called;
  size_t last = 0;
  for (const std::string& tool : tools) {
    if (tool.empty()) continue;
    for (size_t at = answer.find(tool); at != answer.npos; at = answer.find(tool, at + 1)) {
      if (!CallsAt(answer, at, tool.size()) || (!called.empty() && at < last)) continue;
      last = at;
      called = tool;
    }
  }
  return std::string(called);
}

double SessionPauses::Arrive(const Request& request, double now_s) {
  if (request.session.id.empty()) return NextBegin(now_s);
  Forget(now_s);
  const auto [found, is_new] = sessions_.try_emplace(request.session.id);
  Session& session = found->second;
  if (is_new) session.begin_s = NextBegin(now_s);
  Learn(session, now_s);
  session.tool.clear();
  session.left_s = now_s;
  cache_.RenewPin(PinOf(request), std::numeric_limits<double>::infinity());
  return session.begin_s;
}

void SessionPauses::Leave(const Request& request, const std::string& tool, const PageTable& table,
                          double recompute_s, bool contended, double now_s) {
  const std::string name = PinOf(request);
  const auto found = sessions_.find(request.session.id);
  if (tool.empty() || found == sessions_.end()) {
    cache_.Unpin(name);
    return;
  }
  found->second = {.begin_s = found->second.begin_s, .left_s = now_s, .tenant = request.tenant, .tool = tool};
  const auto share = static_cast<double>(table.pages_held) / static_cast<double>(cache_.pages());
  const double ttl_s = cache_.retention().TimeToLive({.tenant = request.tenant,
                                                      .tool = tool,
                                                      .recompute_s = recompute_s,
                                                      .pool_share = share,
                                                      .contended = contended});
  if (ttl_s <= 0) {
    cache_.Unpin(name);
    return;
  }
  cache_.Pin(name, table, table.tokens,
             {.owner = request.tenant,
              .tool = tool,
              .begin_s = now_s,
              .expiry_s = now_s + ttl_s,
              .recompute_s = recompute_s});
}

double SessionPauses::NextBegin(double now_s) {
  newest_s_ = std::max(now_s, std::nextafter(newest_s_, std::numeric_limits<double>::infinity()));
  return newest_s_;
}

void SessionPauses::Learn(const Session& session, double now_s) {
  if (session.tool.empty()) return;
  cache_.retention().Returned({.tenant = session.tenant, .tool = session.tool}, now_s - session.left_s);
}

// Who does not come back is remembered as a long pause.
void SessionPauses::Forget(double now_s) {
  const bool full = sessions_.size() >= kMostSessions;
  if (!full && now_s - forgotten_s_ < kForgetAfter_s / 10) return;
  forgotten_s_ = now_s;
  std::erase_if(sessions_, [&](const auto& entry) {
    const Session& session = entry.second;
    if (!full && now_s - session.left_s < kForgetAfter_s) return false;
    Learn(session, now_s);
    return true;
  });
}

}  // namespace quire
