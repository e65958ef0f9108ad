// CLI11 splits the command line; values are converted here, so that a wrong one gets the same sentence
// whichever source it comes from.
#include "quire/cli/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "quire/base/byte_size.h"
#include "quire/base/parse_number.h"

namespace quire {
namespace {

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

constexpr size_t kHelpColumn = 31;

bool IsPositional(const Flag& flag) { return !flag.names.starts_with('-'); }

std::string LongName(const Flag& flag) {
  return IsPositional(flag) ? flag.names : flag.names.substr(flag.names.find("--"));
}

std::string EnvironmentName(const Flag& flag) {
  std::string name = "QUIRE_" + FlagKey(flag);
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

std::optional<bool> ParseBool(std::string_view text) {
  if (text == "true" || text == "1" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "0" || text == "no" || text == "off" || text.empty()) return false;
  return std::nullopt;
}

std::string RangeText(const FlagLimits& limits) {
  const bool low = limits.min != FlagLimits{}.min, high = limits.max != FlagLimits{}.max;
  if (low && high) return fmt::format(" from {:.15g} to {:.15g}", limits.min, limits.max);
  if (low) return fmt::format(" of {:.15g} or more", limits.min);
  if (high) return fmt::format(" of {:.15g} or less", limits.max);
  return "";
}

template <typename T>
Result<T> ParseLimited(std::string_view text, const FlagLimits& limits) {
  const auto value = ParseNumber<T>(text);
  const double number = value ? static_cast<double>(*value) : 0.0;
  if (value && std::isfinite(number) && number >= limits.min && number <= limits.max) return *value;
  return Fail(ErrorCode::kInvalidArgument, "'{}' is not a {}{}", text,
              std::is_integral_v<T> ? "whole number" : "number", RangeText(limits));
}

template <typename T>
Status SetNumber(T& target, std::string_view text, const FlagLimits& limits) {
  QUIRE_ASSIGN(target, ParseLimited<T>(text, limits));
  return {};
}

template <typename T>
Status SetNumber(std::optional<T>& target, std::string_view text, const FlagLimits& limits) {
  QUIRE_ASSIGN(target, ParseLimited<T>(text, limits));
  return {};
}

Status SetBool(bool& target, std::string_view text) {
  const auto value = ParseBool(text);
  if (!value) return Fail(ErrorCode::kInvalidArgument, "'{}' is neither true nor false", text);
  target = *value;
  return {};
}

Status SetText(std::string& target, const std::string& text, const FlagLimits& limits) {
  if (!limits.choices.empty() && std::ranges::find(limits.choices, text) == limits.choices.end()) {
    return Fail(ErrorCode::kInvalidArgument, "'{}' is not one of {}", text, fmt::join(limits.choices, ", "));
  }
  target = text;
  return {};
}

Status SetBytes(ByteSize& target, std::string_view text) {
  if (text.ends_with('%')) return Fail(ErrorCode::kInvalidArgument, "'{}' is not a size such as 10MiB", text);
  QUIRE_ASSIGN(target.bytes, ParseByteSize(text, 0));
  return {};
}

// "0.2", "0.2s" or "200ms"; the limits are in seconds.
Status SetDuration(std::chrono::milliseconds& target, std::string_view text, FlagLimits limits) {
  double per_second = 1;
  if (text.ends_with("ms")) {
    per_second = 1000;
    text.remove_suffix(2);
  } else if (text.ends_with('s')) {
    text.remove_suffix(1);
  }
  limits.min *= per_second;
  if (limits.max != FlagLimits().max) limits.max *= per_second;
  QUIRE_ASSIGN(const double value, ParseLimited<double>(text, limits));
  target = std::chrono::milliseconds(std::llround(value / per_second * 1000));
  return {};
}

Status SetNumbers(std::vector<int64_t>& target, const std::vector<std::string>& texts,
                  const FlagLimits& limits) {
  target.clear();
  for (const std::string& text : texts) {
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find(',', begin), text.size());
      QUIRE_ASSIGN(const int64_t value, ParseLimited<int64_t>(text.substr(begin, end - begin), limits));
      target.push_back(value);
      begin = end + 1;
    }
  }
  return {};
}

Status SetTypes(LayerTypes& target, std::string_view text) {
  QUIRE_ASSIGN(target, LayerTypes::Parse(text));
  return {};
}

Status SetTypesOrAuto(std::optional<LayerTypes>& target, std::string_view text) {
  if (text == "auto") return {};
  QUIRE_ASSIGN(target, LayerTypes::Parse(text));
  return {};
}

Status SetTypeList(std::vector<LayerTypes>& target, const std::vector<std::string>& texts) {
  target.clear();
  for (const std::string& text : texts) {
    QUIRE_ASSIGN(const LayerTypes types, LayerTypes::Parse(text));
    target.push_back(types);
  }
  return {};
}

Status SetTarget(const Flag& flag, const std::vector<std::string>& values) {
  const FlagLimits& limits = flag.limits;
  const std::string& last = values.back();
  return std::visit(Overloaded{[&](bool* t) { return SetBool(*t, last); },
                               [&](std::string* t) { return SetText(*t, last, limits); },
                               [&](ByteSize* t) { return SetBytes(*t, last); },
                               [&](std::chrono::milliseconds* t) { return SetDuration(*t, last, limits); },
                               [&](std::vector<std::string>* t) {
                                 *t = values;
                                 return Status();
                               },
                               [&](std::vector<int64_t>* t) { return SetNumbers(*t, values, limits); },
                               [&](LayerTypes* t) { return SetTypes(*t, last); },
                               [&](std::optional<LayerTypes>* t) { return SetTypesOrAuto(*t, last); },
                               [&](std::vector<LayerTypes>* t) { return SetTypeList(*t, values); },
                               [&](auto* t) { return SetNumber(*t, last, limits); }},
                    flag.target);
}

// The default as the help shows it; empty for switches and where there is none.
std::string DefaultText(const FlagTarget& target) {
  const auto optional = [](const auto* t) { return *t ? fmt::format("{}", **t) : std::string(); };
  return std::visit(
      Overloaded{[](const bool*) { return std::string(); }, [](const std::string* t) { return *t; },
                 [](const ByteSize* t) { return t->bytes == 0 ? std::string() : FormatByteSize(t->bytes); },
                 [](const std::chrono::milliseconds* t) {
                   return fmt::format("{:g}", static_cast<double>(t->count()) / 1000.0);
                 },
                 [&](const std::optional<int64_t>* t) { return optional(t); },
                 [&](const std::optional<uint64_t>* t) { return optional(t); },
                 [&](const std::optional<double>* t) { return optional(t); },
                 [](const std::vector<std::string>* t) { return fmt::format("{}", fmt::join(*t, " ")); },
                 [](const LayerTypes* t) { return t->Name(); },
                 [](const std::vector<LayerTypes>*) { return std::string(); },
                 [](const std::optional<LayerTypes>* t) { return *t ? (*t)->Name() : "auto"; },
                 [](const std::vector<int64_t>* t) { return fmt::format("{}", fmt::join(*t, ",")); },
                 [](const auto* t) { return fmt::format("{}", *t); }},
      target);
}

CLI::Option* AddToApp(CLI::App& app, const Flag& flag) {
  const std::string names = flag.alias.empty() ? flag.names : flag.names + "," + flag.alias;
  if (std::holds_alternative<bool*>(flag.target)) return app.add_flag(names);
  CLI::Option* option = app.add_option(names, [](const CLI::results_t&) { return true; });
  const bool list = std::holds_alternative<std::vector<std::string>*>(flag.target) ||
                    std::holds_alternative<std::vector<int64_t>*>(flag.target) ||
                    std::holds_alternative<std::vector<LayerTypes>*>(flag.target);
  if (list) return option->take_all()->allow_extra_args(false);
  return option->take_last();
}

Error UsageError(const std::string& verb, std::string what) {
  while (!what.empty() && (what.back() == '.' || what.back() == '\n')) what.pop_back();
  return {ErrorCode::kInvalidArgument, fmt::format("{}; see quire {} --help", what, verb)};
}

// A misspelt flag leaves its value over, too: the flag is what to name.
std::string UnknownWord(const std::vector<std::string>& extras) {
  const auto flag =
      std::ranges::find_if(extras, [](const std::string& word) { return word.starts_with('-'); });
  return flag != extras.end() ? *flag : extras.front();
}

}  // namespace

std::optional<std::string> GetEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::string FlagKey(const Flag& flag) {
  std::string key = LongName(flag);
  if (!IsPositional(flag)) return key.substr(2);
  for (char& c : key) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return key;
}

Flags::Flags(std::string verb, std::string usage, std::string summary)
    : verb_(std::move(verb)), usage_(std::move(usage)), summary_(std::move(summary)) {}

void Flags::Add(Flag flag) {
  defaults_.push_back(DefaultText(flag.target));
  flags_.push_back(std::move(flag));
}

Status Flags::Assign(const Flag& flag, const std::vector<std::string>& values, const std::string& source) {
  if (values.empty()) return {};
  if (auto set = SetTarget(flag, values); !set) {
    return Fail(ErrorCode::kInvalidArgument, "{}: {}; see quire {} --help", source, set.error().message,
                verb_);
  }
  given_.insert(FlagKey(flag));
  return {};
}

Status Flags::Parse(const std::vector<std::string>& arguments, const Environment& environment) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  CLI::Option* help = app.add_flag("-h,--help");
  CLI::Option* config = app.add_option("--config", config_);
  std::vector<CLI::Option*> options;
  for (const Flag& flag : flags_) options.push_back(AddToApp(app, flag));
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    help_ = help->count() > 0;
    if (help_) return {};
    return std::unexpected(UsageError(verb_, error.what()));
  }
  help_ = help->count() > 0;
  if (help_) return {};
  if (const auto extras = app.remaining(); !extras.empty()) {
    const std::string word = UnknownWord(extras);
    return std::unexpected(
        UsageError(verb_, fmt::format("'{}' is nothing that quire {} takes", word, verb_)));
  }
  if (config->count() == 0) config_ = environment("QUIRE_CONFIG").value_or("");
  for (size_t i = 0; i < flags_.size(); ++i) {
    const Flag& flag = flags_[i];
    if (options[i]->count() > 0) {
      QUIRE_TRY(Assign(flag, options[i]->results(), LongName(flag)));
    } else if (const auto value = environment(EnvironmentName(flag))) {
      QUIRE_TRY(Assign(flag, {*value}, EnvironmentName(flag)));
    }
  }
  return {};
}

Status Flags::ApplyConfig(const ConfigSection& section, const std::string& file) {
  for (const Flag& flag : flags_) {
    const auto entry = section.find(FlagKey(flag));
    if (entry == section.end() || given_.contains(FlagKey(flag))) continue;
    QUIRE_TRY(Assign(flag, entry->second, fmt::format("{} in [{}] of {}", entry->first, verb_, file)));
  }
  return {};
}

Status Flags::CheckRequired() const {
  for (const Flag& flag : flags_) {
    if (!flag.required || given_.contains(FlagKey(flag))) continue;
    return Fail(ErrorCode::kInvalidArgument, "{} is missing: {}; see quire {} --help", LongName(flag),
                flag.help, verb_);
  }
  return {};
}

std::set<std::string> Flags::ConfigKeys() const {
  std::set<std::string> keys;
  for (const Flag& flag : flags_) keys.insert(FlagKey(flag));
  return keys;
}

std::string Flags::Help() const {
  std::string text = fmt::format("usage: quire {} {}\n{}\n\n", verb_, usage_, summary_);
  const auto line = [&](const std::string& names, const std::string& value, std::string help) {
    std::string left = "  " + names + (value.empty() || !names.starts_with('-') ? "" : " " + value);
    left += left.size() < kHelpColumn ? std::string(kHelpColumn - left.size(), ' ') : "  ";
    text += left + help + "\n";
  };
  for (size_t i = 0; i < flags_.size(); ++i) {
    const std::string& value = defaults_[i];
    const bool shown = !value.empty() && value != "0" && !value.contains('\n');
    std::string names = flags_[i].names;
    if (const size_t comma = names.find(','); comma != std::string::npos) names.insert(comma + 1, " ");
    line(names, flags_[i].value, flags_[i].help + (shown ? fmt::format(" [{}]", value) : ""));
  }
  line("--config", "FILE", "read flags from this TOML file, section [" + verb_ + "]");
  line("-h, --help", "", "this page");
  for (const std::string& note : notes_) text += note + "\n";
  return text;
}

}  // namespace quire
