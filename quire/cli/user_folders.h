// Where the program keeps things of the user, after the XDG base directory specification.
#ifndef QUIRE_CLI_USER_FOLDERS_H_
#define QUIRE_CLI_USER_FOLDERS_H_

#include <string>

namespace quire {

// Pulled models: $QUIRE_CACHE, or quire/models in $XDG_CACHE_HOME or ~/.cache.
std::string ModelCacheFolder();
// quire/config.toml in $XDG_CONFIG_HOME or ~/.config where there is one, else empty.
std::string DefaultConfigFile();
// quire in $XDG_STATE_HOME or ~/.local/state: the history of quire chat. It is made, and empty is returned
// where that is impossible.
std::string StateFolder();

}  // namespace quire

#endif  // QUIRE_CLI_USER_FOLDERS_H_
