// The configuration file: TOML with a section per verb, whose keys are the verb's flags.
//
//   [serve]
//   port = 9000
//   kv-memory = "4GiB"
#ifndef QUIRE_CLI_CONFIG_FILE_H_
#define QUIRE_CLI_CONFIG_FILE_H_

#include <map>
#include <string>
#include <vector>

#include "quire/base/result.h"

namespace quire {

// Values by key, as text: one, or those of an array. Underscores in keys are read as dashes.
using ConfigSection = std::map<std::string, std::vector<std::string>>;

struct ConfigFile {
  std::string path;
  std::map<std::string, ConfigSection> sections;  // by verb
};

// Errors: kNotFound, kIo, and kInvalidArgument with the line of what is no TOML or no section of plain
// values.
Result<ConfigFile> ReadConfigFile(const std::string& path);

}  // namespace quire

#endif  // QUIRE_CLI_CONFIG_FILE_H_
