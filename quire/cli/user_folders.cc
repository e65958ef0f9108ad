#include "quire/cli/user_folders.h"

#include <filesystem>

#include "quire/cli/flags.h"

namespace quire {
namespace {

// $`variable`, or `fallback` in the home folder. The specification wants relative paths ignored.
std::string BaseFolder(const std::string& variable, const std::string& fallback) {
  const std::string given = GetEnvironment(variable).value_or("");
  if (given.starts_with('/')) return given;
  return GetEnvironment("HOME").value_or("/tmp") + "/" + fallback;
}

}  // namespace

std::string ModelCacheFolder() {
  if (const auto given = GetEnvironment("QUIRE_CACHE")) return *given;
  return BaseFolder("XDG_CACHE_HOME", ".cache") + "/quire/models";
}

std::string DefaultConfigFile() {
  const std::string path = BaseFolder("XDG_CONFIG_HOME", ".config") + "/quire/config.toml";
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) ? path : "";
}

std::string StateFolder() {
  const std::string path = BaseFolder("XDG_STATE_HOME", ".local/state") + "/quire";
  std::error_code error;
  std::filesystem::create_directories(path, error);
  return error ? "" : path;
}

}  // namespace quire
