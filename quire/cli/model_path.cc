#include "quire/cli/model_path.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>

#include "quire/files/split_name.h"

namespace quire {
namespace {

namespace fs = std::filesystem;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool IsGguf(const fs::path& path) { return Lower(path.extension().string()) == ".gguf"; }

bool IsLaterPart(const std::string& path) {
  const auto split = ParseSplitName(path);
  return split && split->number > 1;
}

bool IsSafetensorsFolder(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_regular_file(folder / "config.json", error)) return false;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".safetensors") return true;
  }
  return false;
}

// GGUF files directly in a folder, first parts only, sorted.
std::vector<std::string> GgufFiles(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string path = entry.path().string();
    if (IsGguf(entry.path()) && !IsLaterPart(path)) files.push_back(path);
  }
  std::ranges::sort(files);
  return files;
}

std::string FileName(const std::string& path) { return fs::path(path).filename().string(); }

// The one model in a folder, or the one with `tag`.
Result<std::string> ModelInFolder(const fs::path& folder, const std::string& tag, const std::string& model) {
  if (tag.empty() && IsSafetensorsFolder(folder)) return folder.string();
  std::vector<std::string> files = GgufFiles(folder);
  if (!tag.empty())
    std::erase_if(files, [&](const std::string& file) { return !HasTag(FileName(file), tag); });
  if (files.size() == 1) return files.front();
  if (!files.empty()) {
    std::string names;
    for (const std::string& file : files) names += (names.empty() ? "" : ", ") + FileName(file);
    return Fail(ErrorCode::kInvalidArgument, "{} holds several models: name one of {}", model, names);
  }
  // A folder that is no model at all: opening it says what is missing.
  return folder.string();
}

Error NotFound(const std::string& model, const std::string& cache_folder) {
  std::string known;
  for (const PulledModel& pulled : PulledModels(cache_folder)) {
    known += (known.empty() ? "" : ", ") + pulled.name;
  }
  return {
      ErrorCode::kNotFound,
      fmt::format("there is no model '{}': it is no file or folder, and pulled are {}; get one with 'quire "
                  "pull smollm2' or 'quire pull ORG/REPO'",
                  model, known.empty() ? "none" : "only " + known)};
}

// A pulled name never leaves the cache.
bool IsName(const std::string& name) {
  if (name.empty() || name.starts_with('/')) return false;
  for (const fs::path& part : fs::path(name)) {
    if (part == ".." || part == "." || part.empty()) return false;
  }
  return true;
}

uint64_t BytesOf(const fs::path& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  return error ? 0 : bytes;
}

PulledModel DescribeGguf(const fs::path& path, const fs::path& root) {
  PulledModel model{fs::relative(path, root).string(), path.string(), BytesOf(path)};
  if (const auto split = ParseSplitName(path.string())) {
    for (int part = 2; part <= split->count; ++part) model.bytes += BytesOf(split->Part(part));
  }
  return model;
}

PulledModel DescribeFolder(const fs::path& folder, const fs::path& root) {
  PulledModel model{fs::relative(folder, root).string(), folder.string(), 0};
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".safetensors") model.bytes += BytesOf(entry.path());
  }
  return model;
}

}  // namespace

bool HasTag(const std::string& file_name, const std::string& tag) {
  const std::string name = Lower(file_name), wanted = Lower(tag);
  const auto is_border = [&](size_t i) {
    return i >= name.size() || !(std::isalnum(static_cast<unsigned char>(name[i])) || name[i] == '_');
  };
  for (size_t at = name.find(wanted); at != std::string::npos; at = name.find(wanted, at + 1)) {
    if ((at == 0 || is_border(at - 1)) && is_border(at + wanted.size())) return true;
  }
  return false;
}

Result<std::string> ResolveModel(const std::string& model, const std::string& cache_folder) {
  std::error_code error;
  if (fs::is_directory(model, error)) return ModelInFolder(model, "", model);
  if (fs::exists(model, error)) return model;
  const size_t colon = model.rfind(':');
  const std::string name = model.substr(0, colon);
  const std::string tag = colon == std::string::npos ? "" : model.substr(colon + 1);
  if (!IsName(name)) return std::unexpected(NotFound(model, cache_folder));
  for (const fs::path& path : {fs::path(cache_folder) / name, fs::path(cache_folder) / (name + ".gguf")}) {
    if (fs::is_directory(path, error)) {
      QUIRE_ASSIGN(const std::string found, ModelInFolder(path, tag, name));
      if (found != path.string() || IsSafetensorsFolder(path)) return found;
    } else if (tag.empty() && fs::is_regular_file(path, error)) {
      return path.string();
    }
  }
  return std::unexpected(NotFound(model, cache_folder));
}

std::vector<PulledModel> PulledModels(const std::string& cache_folder) {
  std::map<std::string, PulledModel> models;
  std::error_code error;
  const auto add = [&](PulledModel model) { models.emplace(model.name, std::move(model)); };
  auto it = fs::recursive_directory_iterator(cache_folder, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const fs::path path = it->path();
    if (it->is_directory(error) && path.filename().string().starts_with('.')) {
      it.disable_recursion_pending();
    } else if (it->is_directory(error)) {
      if (IsSafetensorsFolder(path)) add(DescribeFolder(path, cache_folder));
    } else if (IsGguf(path) && !IsLaterPart(path.string())) {
      add(DescribeGguf(path, cache_folder));
    }
  }
  std::vector<PulledModel> sorted;
  for (auto& [name, model] : models) sorted.push_back(std::move(model));
  return sorted;
}

}  // namespace quire
