// The names of the parts of a split GGUF model: "name-00001-of-00003.gguf".
#ifndef QUIRE_FILES_SPLIT_NAME_H_
#define QUIRE_FILES_SPLIT_NAME_H_

#include <optional>
#include <string>
#include <string_view>

namespace quire {

struct SplitName {
  std::string prefix;  // with the folder
  int number = 0;      // from 1
  int count = 0;

  std::string Part(int part_number) const;
};

// Nothing for a name of another form.
std::optional<SplitName> ParseSplitName(std::string_view path);

}  // namespace quire

#endif  // QUIRE_FILES_SPLIT_NAME_H_
