// The files of one folder.
#ifndef QUIRE_FILES_FOLDER_H_
#define QUIRE_FILES_FOLDER_H_

#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"

namespace quire {

// Names of the files in it (folders inside are left out, links to files are not), sorted. Errors: kIo.
Result<std::vector<std::string>> ListFiles(const std::string& folder);

std::string InFolder(std::string_view folder, std::string_view file_name);

// Whether a name that some file gives stays inside its folder: "a.json" does, "../a", "/a", "a/b" and "" do
// not.
bool IsPlainFileName(std::string_view name);

}  // namespace quire

#endif  // QUIRE_FILES_FOLDER_H_
