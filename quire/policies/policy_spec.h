// How a policy is named on the command line: "priority" or "priority:age_s=30,preempt=1". Each family of
// policies has a table of rows; a row lists its parameters, and a misspelt name or key is answered with the
// known ones.
#ifndef QUIRE_POLICIES_POLICY_SPEC_H_
#define QUIRE_POLICIES_POLICY_SPEC_H_

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"

namespace quire {

// One parameter of a policy. Switches are 0 or 1.
struct PolicyParam {
  std::string_view name;
  double default_value = 0;
  double min = 0;
  double max = 0;
  std::string_view help;
  // Where there are names to choose from, the value is the place of the one chosen.
  std::span<const std::string_view> choices = {};
};

struct PolicySpec {
  std::string name;
  std::map<std::string, std::string, std::less<>> settings;
};

// Splits "name:key=value,..."; `family` ("scheduling") is for messages. Errors: kInvalidArgument.
Result<PolicySpec> ParsePolicySpec(std::string_view text, std::string_view family);

// The values of a policy's parameters, all set and in range.
class PolicyParams {
 public:
  // Errors: kInvalidArgument for a key that `known` lacks, and for a value that is no number in range.
  static Result<PolicyParams> Bind(const PolicySpec& spec, std::span<const PolicyParam> known);
  // REQUIRES: `name` is one of the row's parameters.
  double operator[](std::string_view name) const;

 private:
  std::map<std::string, double, std::less<>> values_;
};

// "fcfs, priority": names for messages.
std::string JoinNames(std::span<const std::string_view> names);

// Makes the policy that `spec` names, from the rows of its family. Errors: kInvalidArgument.
template <typename Policy, typename Row>
Result<std::unique_ptr<Policy>> MakePolicy(std::string_view spec, std::string_view family,
                                           std::span<const Row* const> table) {
  QUIRE_ASSIGN(const PolicySpec parsed, ParsePolicySpec(spec, family));
  std::vector<std::string_view> names;
  for (const Row* row : table) {
    names.push_back(row->name);
    if (row->name != parsed.name) continue;
    QUIRE_ASSIGN(const PolicyParams params, PolicyParams::Bind(parsed, row->params));
    return row->make(params);
  }
  return Fail(ErrorCode::kInvalidArgument, "there is no {} policy '{}'; use one of: {}", family, parsed.name,
              JoinNames(names));
}

}  // namespace quire

#endif  // QUIRE_POLICIES_POLICY_SPEC_H_
