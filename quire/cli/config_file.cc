#include "quire/cli/config_file.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>

namespace quire {
namespace {

// The value as a flag would give it; nothing for tables, dates and nested arrays.
std::optional<std::string> ScalarText(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return fmt::format("{}", integer->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* boolean = node.as_boolean()) return boolean->get() ? "true" : "false";
  return std::nullopt;
}

std::optional<std::vector<std::string>> Texts(const toml::node& node) {
  std::vector<std::string> texts;
  if (const toml::array* array = node.as_array()) {
    for (const toml::node& element : *array) {
      auto text = ScalarText(element);
      if (!text) return std::nullopt;
      texts.push_back(*std::move(text));
    }
    return texts;
  }
  auto text = ScalarText(node);
  if (!text) return std::nullopt;
  return std::vector{*std::move(text)};
}

Result<ConfigSection> ReadSection(const std::string& path, std::string_view name, const toml::node& node) {
  const toml::table* table = node.as_table();
  if (table == nullptr) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}:{}: '{}' stands outside a section; put it under the verb it is for, such as [serve]",
                path, node.source().begin.line, name);
  }
  ConfigSection section;
  for (const auto& [key, value] : *table) {
    auto texts = Texts(value);
    if (!texts) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}:{}: '{}' must be a text, a number, true, false, or an array of them", path,
                  value.source().begin.line, key.str());
    }
    std::string flag(key.str());
    std::ranges::replace(flag, '_', '-');
    section[flag] = *std::move(texts);
  }
  return section;
}

}  // namespace

Result<ConfigFile> ReadConfigFile(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    return Fail(ErrorCode::kNotFound, "there is no configuration file {}; check --config and QUIRE_CONFIG",
                path);
  }
  const toml::parse_result parsed = toml::parse_file(path);
  if (!parsed) {
    return Fail(ErrorCode::kInvalidArgument, "{}:{}: {}; correct the line or remove it", path,
                parsed.error().source().begin.line, parsed.error().description());
  }
  ConfigFile file{.path = path, .sections = {}};
  for (const auto& [name, node] : parsed.table()) {
    QUIRE_ASSIGN(file.sections[std::string(name.str())], ReadSection(path, name.str(), node));
  }
  return file;
}

}  // namespace quire
