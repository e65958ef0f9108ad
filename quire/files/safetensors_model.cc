#include "quire/files/safetensors_model.h"

#include <filesystem>
#include <set>
#include <utility>

#include "quire/files/folder.h"
#include "quire/files/json_text.h"
#include "quire/files/quoted.h"
#include "quire/files/release_tensor.h"

namespace quire {
namespace {

constexpr std::string_view kSingle = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr size_t kMostTextBytes = size_t{16} << 20;

}  // namespace

Result<std::unique_ptr<ModelFiles>> SafetensorsModel::Open(const std::string& folder) {
  auto model = std::make_unique<SafetensorsModel>();
  model->folder_ = folder;
  if (!model->Has("config.json")) {
    return Fail(ErrorCode::kNotFound,
                "{}: the folder has safetensors files but no config.json, expected both", folder);
  }
  if (model->Has(kSingle)) {
    QUIRE_TRY(model->OpenShard(std::string(kSingle)));
  } else if (model->Has(kIndex)) {
    QUIRE_TRY(model->OpenIndexed());
  } else {
    QUIRE_ASSIGN(const std::vector<std::string> names, ListFiles(folder));
    for (const std::string& name : names) {
      if (name.ends_with(".safetensors")) QUIRE_TRY(model->OpenShard(name));
    }
  }
  return model;
}

Status SafetensorsModel::OpenIndexed() {
  const std::string index_path = FilePath(kIndex);
  QUIRE_ASSIGN(const nlohmann::json index, ReadJsonFile(index_path, {.most_depth = 8}));
  const auto weight_map = index.find("weight_map");
  if (!index.is_object() || weight_map == index.end() || !weight_map->is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: weight_map: expected an object from tensor names to file names",
                index_path);
  }
  std::set<std::string> names;
  for (const auto& [tensor, shard] : weight_map->items()) {
    const std::string* name = shard.get_ptr<const std::string*>();
    if (name == nullptr || !IsPlainFileName(*name) || !name->ends_with(".safetensors")) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: weight_map of tensor {}: it is {}, expected the name of a .safetensors file in the "
                  "same folder",
                  index_path, Quoted(tensor), name == nullptr ? "no text" : Quoted(*name));
    }
    names.insert(*name);
  }
  for (const std::string& name : names) QUIRE_TRY(OpenShard(name));
  return KeepOnly(*weight_map, index_path);
}

Status SafetensorsModel::OpenShard(const std::string& file_name) {
  QUIRE_ASSIGN(SafetensorsFile shard, SafetensorsFile::Open(FilePath(file_name)));
  for (const auto& [tensor, view] : shard.tensors) {
    const auto [it, added] = tensors_.emplace(tensor, Place{view, file_name});
    if (!added) {
      return Fail(ErrorCode::kCorrupt, "{}: tensor {} is in {} too, expected it once", FilePath(file_name),
                  Quoted(tensor), it->second.shard);
    }
  }
  shards_.push_back(std::move(shard));
  return {};
}

// Exactly the tensors of the index are the model's, each in the shard that the index names.
Status SafetensorsModel::KeepOnly(const nlohmann::json& weight_map, const std::string& index_path) {
  for (const auto& [tensor, shard] : weight_map.items()) {
    const auto it = tensors_.find(tensor);
    if (it == tensors_.end() || it->second.shard != shard.get_ref<const std::string&>()) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: weight_map of tensor {}: expected it in {}, but that file does not have it",
                  index_path, Quoted(tensor), Quoted(shard.get_ref<const std::string&>()));
    }
  }
  std::erase_if(tensors_, [&](const auto& entry) { return !weight_map.contains(entry.first); });
  return {};
}

const TensorView* SafetensorsModel::Find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second.view;
}

std::vector<std::string> SafetensorsModel::TensorNames() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto& [name, place] : tensors_) names.push_back(name);
  return names;
}

void SafetensorsModel::Release(const TensorView& tensor) const {
  for (const SafetensorsFile& shard : shards_) ReleaseFrom(shard.file, tensor);
}

std::string SafetensorsModel::FilePath(std::string_view file_name) const {
  return InFolder(folder_, file_name);
}

bool SafetensorsModel::Has(std::string_view file_name) const {
  std::error_code error;
  return IsPlainFileName(file_name) && std::filesystem::is_regular_file(FilePath(file_name), error);
}

Result<nlohmann::json> SafetensorsModel::Json(std::string_view file_name) const {
  if (!Has(file_name)) return nlohmann::json();
  return ReadJsonFile(FilePath(file_name));
}

Result<std::string> SafetensorsModel::Text(std::string_view file_name) const {
  if (!Has(file_name)) {
    return Fail(ErrorCode::kNotFound, "{}: the folder has no file {}", folder_, Quoted(file_name));
  }
  return ReadTextFile(FilePath(file_name), kMostTextBytes);
}

}  // namespace quire
