// The text of tools/fetch.py, put into the program when it is built.
#ifndef QUIRE_CLI_FETCH_SCRIPT_H_
#define QUIRE_CLI_FETCH_SCRIPT_H_

#include <string_view>

namespace quire {
extern const std::string_view kFetchScript;
}  // namespace quire

#endif  // QUIRE_CLI_FETCH_SCRIPT_H_
