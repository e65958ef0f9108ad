#include "quire/policies/policy_spec.h"

#include <algorithm>

#include "quire/base/check.h"
#include "quire/base/parse_number.h"

namespace quire {
namespace {

const PolicyParam* Find(std::span<const PolicyParam> params, std::string_view name) {
  for (const PolicyParam& param : params) {
    if (param.name == name) return &param;
  }
  return nullptr;
}

Result<double> ParseValue(const std::string& policy, const PolicyParam& param, std::string_view text) {
  if (!param.choices.empty()) {
    const auto chosen = std::ranges::find(param.choices, text);
    if (chosen != param.choices.end()) return static_cast<double>(chosen - param.choices.begin());
    return Fail(ErrorCode::kInvalidArgument, "{}:{}={} is not known; use one of: {}", policy, param.name,
                text, JoinNames(param.choices));
  }
  const auto value = ParseNumber<double>(text);
  // Written so that NaN fails too.
  if (!value || !(*value >= param.min && *value <= param.max)) {
    return Fail(ErrorCode::kInvalidArgument, "{}:{}={} is not a number in [{}, {}]; the default is {}",
                policy, param.name, text, param.min, param.max, param.default_value);
  }
  return *value;
}

}  // namespace

Result<PolicySpec> ParsePolicySpec(std::string_view text, std::string_view family) {
  const size_t colon = text.find(':');
  PolicySpec spec{.name = std::string(text.substr(0, colon)), .settings = {}};
  std::string_view rest = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view setting = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
    const size_t equals = setting.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return Fail(ErrorCode::kInvalidArgument,
                  "'{}' in {} policy '{}' is not key=value; write name:key=value,...", setting, family, text);
    }
    if (!spec.settings.emplace(setting.substr(0, equals), setting.substr(equals + 1)).second) {
      return Fail(ErrorCode::kInvalidArgument, "'{}' is set twice in {} policy '{}'; keep one",
                  setting.substr(0, equals), family, text);
    }
  }
  return spec;
}

Result<PolicyParams> PolicyParams::Bind(const PolicySpec& spec, std::span<const PolicyParam> known) {
  PolicyParams bound;
  for (const PolicyParam& param : known) bound.values_.emplace(param.name, param.default_value);
  for (const auto& [key, text] : spec.settings) {
    const PolicyParam* param = Find(known, key);
    if (param == nullptr) {
      std::vector<std::string_view> names;
      for (const PolicyParam& p : known) names.push_back(p.name);
      return Fail(ErrorCode::kInvalidArgument, "policy '{}' has no parameter '{}'; it has: {}", spec.name,
                  key, names.empty() ? "none" : JoinNames(names));
    }
    QUIRE_ASSIGN(bound.values_.find(key)->second, ParseValue(spec.name, *param, text));
  }
  return bound;
}

double PolicyParams::operator[](std::string_view name) const {
  const auto it = values_.find(name);
  QUIRE_CHECK(it != values_.end());
  return it->second;
}

std::string JoinNames(std::span<const std::string_view> names) {
  std::string joined;
  for (std::string_view name : names) joined.append(joined.empty() ? "" : ", ").append(name);
  return joined;
}

}  // namespace quire
