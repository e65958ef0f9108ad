// The retention family: for how long the pages of a program that pauses in a tool call are pinned, and which
// pin gives way when everything is pinned and somebody who runs needs room. A policy sees facts and returns
// numbers; kv's PagePins and the engine carry them out.
//
// To add one: a file in retention/ that defines its RetentionRow, a line in retention_table.cc, a line in
// CMakeLists.txt. The flag, the listing and the contract test come with the row.
#ifndef QUIRE_POLICIES_RETENTION_H_
#define QUIRE_POLICIES_RETENTION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/policies/policy_spec.h"

namespace quire {

// A request of a program ended in a tool call: the program is expected back.
struct PauseFacts {
  std::string_view tenant = {};
  std::string_view tool = {};
  double recompute_s = 0;  // to compute its tokens again
  double pool_share = 0;   // of the KV memory that its pages take
  bool contended = false;  // others wait for room
};

// A pin that could give way. Times are on the clock of `now_s`.
struct PinFacts {
  std::string owner = {};
  std::string tool = {};  // that its program waits for
  bool asked = false;     // by the client, with its time; else predicted
  int64_t pages = 0;      // it shares some with other pins
  double begin_s = 0;
  double expiry_s = 0;
  double recompute_s = 0;
};

class RetentionPolicy {
 public:
  virtual ~RetentionPolicy() = default;
  // Seconds to pin the pages for; 0: not.
  virtual double TimeToLive(const PauseFacts& pause) = 0;
  // The program came back after `pause_s`, or has been away for so long that nobody expects it any more.
  virtual void Returned(const PauseFacts& pause, double pause_s) {}
  // The index of the pin that gives way first. The default: of those that were predicted, then of those that
  // were asked for, the one that expires first. REQUIRES: there is one.
  virtual size_t Yields(std::span<const PinFacts> pins, double now_s);
};

struct RetentionRow {
  std::string_view name;
  std::string_view summary;
  std::span<const PolicyParam> params;
  std::unique_ptr<RetentionPolicy> (*make)(const PolicyParams& params);
};

// All rows, sorted by name.
std::span<const RetentionRow* const> RetentionTable();

inline constexpr std::string_view kDefaultRetention = "learned";
// Makes the policy that `spec` names ("fixed:ttl_s=5"). Errors: kInvalidArgument, naming the known ones.
Result<std::unique_ptr<RetentionPolicy>> MakeRetentionPolicy(std::string_view spec);

}  // namespace quire

#endif  // QUIRE_POLICIES_RETENTION_H_
