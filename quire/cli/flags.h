// The flags of one verb. Each can be given on the command line (--max-queue 8), in the environment
// (QUIRE_MAX_QUEUE=8) and in the configuration file (max-queue = 8 under the verb's section); the first of
// the three that has it wins. Fields that no source sets keep the value they had, which is the default.
//
//   Flags flags("serve", "MODEL [flags]", "Serves a model over HTTP.");
//   flags.Add({"--port", &options.port, "N", "port to listen on", {.min = 0, .max = 65535}});
//   QUIRE_TRY(flags.Parse(arguments, GetEnvironment));
#ifndef QUIRE_CLI_FLAGS_H_
#define QUIRE_CLI_FLAGS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "quire/base/result.h"
#include "quire/cli/config_file.h"
#include "quire/kv/layer_types.h"

namespace quire {

// Where a flag's value goes. Lists of numbers are separated by commas; others repeat the flag.
// Durations are given in seconds. Byte sizes take units ("10MiB"). An optional type of pages is absent for
// "auto".
struct ByteSize {
  uint64_t bytes = 0;
};
using FlagTarget = std::variant<bool*, int*, int64_t*, double*, std::string*, ByteSize*,
                                std::chrono::milliseconds*, std::optional<int64_t>*, std::optional<double>*,
                                std::optional<uint64_t>*, std::vector<std::string>*, std::vector<int64_t>*,
                                LayerTypes*, std::optional<LayerTypes>*, std::vector<LayerTypes>*>;

struct FlagLimits {
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
  std::vector<std::string> choices = {};  // for texts
};

struct Flag {
  std::string names;  // "--port", "-n,--max-tokens"; without dashes ("MODEL") an argument by its place
  FlagTarget target;
  std::string value;  // what the value is called in the help: "N", "FILE"
  std::string help;
  FlagLimits limits = {};
  bool required = false;
  std::string alias = {};  // another name: "--max-model-len"
};

using Environment = std::function<std::optional<std::string>(const std::string& name)>;
// The process's environment; a variable that is set to nothing counts as unset.
std::optional<std::string> GetEnvironment(const std::string& name);

class Flags {
 public:
  Flags(std::string verb, std::string usage, std::string summary);

  void Add(Flag flag);
  // A line below the flags in the help.
  void AddNote(std::string note) { notes_.push_back(std::move(note)); }

  // Sets the targets. `arguments` are those behind the verb. Errors: kInvalidArgument, naming the flag, the
  // variable or the key, and what would be right.
  Status Parse(const std::vector<std::string>& arguments, const Environment& environment);

  bool help_wanted() const { return help_; }
  std::string Help() const;
  // The keys that the verb's section of the configuration file may have.
  std::set<std::string> ConfigKeys() const;
  // The file that --config or QUIRE_CONFIG names; empty when there is none.
  const std::string& config_file() const { return config_; }

  // Sets what neither the command line nor the environment set. REQUIRES: after Parse.
  Status ApplyConfig(const ConfigSection& section, const std::string& file);
  // Errors: kInvalidArgument for a required flag that no source has set.
  Status CheckRequired() const;

 private:
  Status Assign(const Flag& flag, const std::vector<std::string>& values, const std::string& source);

  std::string verb_, usage_, summary_;
  std::vector<Flag> flags_;
  std::vector<std::string> defaults_;  // as shown, by flag
  std::vector<std::string> notes_;
  std::set<std::string> given_;  // keys of flags that a source has set
  std::string config_;
  bool help_ = false;
};

// "max-tokens" of "-n,--max-tokens", "model" of "MODEL".
std::string FlagKey(const Flag& flag);

}  // namespace quire

#endif  // QUIRE_CLI_FLAGS_H_
