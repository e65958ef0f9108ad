// JSON from files that nobody vouches for: bounded in size and depth, and an Error instead of an exception.
#ifndef QUIRE_FILES_JSON_TEXT_H_
#define QUIRE_FILES_JSON_TEXT_H_

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "quire/base/result.h"

namespace quire {

struct JsonLimits {
  size_t most_bytes = size_t{128} << 20;  // the largest tokenizer.json known is 33 MiB
  int most_depth = 64;                    // objects and arrays inside each other
  bool unique_keys = false;               // the outermost object may have no key twice
};

// `name` is the file in messages. Errors: kCorrupt.
Result<nlohmann::json> ParseJson(std::string_view text, const std::string& name,
                                 const JsonLimits& limits = {});

// The same for a whole file, which must not be larger than `most_bytes`. Errors: kNotFound, kIo, kCorrupt.
Result<nlohmann::json> ReadJsonFile(const std::string& path, const JsonLimits& limits = {});
Result<std::string> ReadTextFile(const std::string& path, size_t most_bytes);

}  // namespace quire

#endif  // QUIRE_FILES_JSON_TEXT_H_
