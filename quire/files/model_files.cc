#include "quire/files/model_files.h"

#include <filesystem>

#include "quire/files/folder.h"
#include "quire/files/gguf_model.h"
#include "quire/files/safetensors_model.h"
#include "quire/files/split_name.h"

namespace quire {
namespace {

// The GGUF models of a folder: a split model counts once, by its first part.
std::vector<std::string> GgufModelsIn(const std::vector<std::string>& names) {
  std::vector<std::string> models;
  for (const std::string& name : names) {
    const auto split = ParseSplitName(name);
    if (name.ends_with(".gguf") && (!split || split->number == 1)) models.push_back(name);
  }
  return models;
}

Result<std::unique_ptr<ModelFiles>> OpenFolder(const std::string& path) {
  QUIRE_ASSIGN(const std::vector<std::string> names, ListFiles(path));
  for (const std::string& name : names) {
    if (name.ends_with(".safetensors")) return SafetensorsModel::Open(path);
  }
  const std::vector<std::string> models = GgufModelsIn(names);
  if (models.size() == 1) return GgufModel::Open(InFolder(path, models.front()));
  if (models.empty()) {
    return Fail(
        ErrorCode::kNotFound,
        "{}: the folder has no model in it, expected one .gguf file, or config.json and *.safetensors", path);
  }
  return Fail(ErrorCode::kInvalidArgument,
              "{}: the folder has {} GGUF models ({}, {} ...), name the file to open", path, models.size(),
              models[0], models[1]);
}

}  // namespace

Result<std::unique_ptr<ModelFiles>> ModelFiles::Open(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (std::filesystem::is_directory(status)) return OpenFolder(path);
  if (std::filesystem::exists(status) &&
      !std::filesystem::is_regular_file(status)) {  // opening a pipe could block
    return Fail(ErrorCode::kIo, "{}: not a regular file, expected a .gguf file or a folder", path);
  }
  if (path.ends_with(".safetensors") && std::filesystem::exists(status)) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: a safetensors model is a folder, name the folder that holds the file", path);
  }
  return GgufModel::Open(path);
}

}  // namespace quire
