#include "quire/files/folder.h"

#include <algorithm>
#include <filesystem>

namespace quire {

namespace fs = std::filesystem;

Result<std::vector<std::string>> ListFiles(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code unreadable;  // a link that leads nowhere is no file
    if (it->is_regular_file(unreadable)) names.push_back(it->path().filename().string());
  }
  if (error) return Fail(ErrorCode::kIo, "{}: cannot list the folder: {}", folder, error.message());
  std::ranges::sort(names);
  return names;
}

std::string InFolder(std::string_view folder, std::string_view file_name) {
  return (fs::path(folder) / fs::path(file_name)).string();
}

bool IsPlainFileName(std::string_view name) {
  constexpr std::string_view kForbidden("/\\\0", 3);
  return !name.empty() && name != "." && name != ".." && name.find_first_of(kForbidden) == name.npos;
}

}  // namespace quire
