// A model as a Hugging Face folder: config.json, tokenizer files, and one or more safetensors files.
#ifndef QUIRE_FILES_SAFETENSORS_MODEL_H_
#define QUIRE_FILES_SAFETENSORS_MODEL_H_

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "quire/files/model_files.h"
#include "quire/files/safetensors.h"

namespace quire {

class SafetensorsModel final : public ModelFiles {
 public:
  // Takes model.safetensors; else the shards that model.safetensors.index.json lists; else every
  // *.safetensors file of the folder.
  static Result<std::unique_ptr<ModelFiles>> Open(const std::string& folder);

  Format format() const override { return Format::kSafetensors; }
  const std::string& path() const override { return folder_; }
  const TensorView* Find(std::string_view name) const override;
  std::vector<std::string> TensorNames() const override;
  void Release(const TensorView& tensor) const override;
  const GgufMetadata& gguf() const override { return no_metadata_; }
  Result<nlohmann::json> Json(std::string_view file_name) const override;
  Result<std::string> Text(std::string_view file_name) const override;

 private:
  std::string FilePath(std::string_view file_name) const;
  bool Has(std::string_view file_name) const;
  Status OpenIndexed();
  Status OpenShard(const std::string& file_name);
  Status KeepOnly(const nlohmann::json& weight_map, const std::string& index_path);

  // Where a tensor is: its view, and the name of its shard.
  struct Place {
    TensorView view;
    std::string shard;
  };

  std::string folder_;
  std::vector<SafetensorsFile> shards_;
  std::map<std::string, Place, std::less<>> tensors_;
  GgufMetadata no_metadata_;
};

}  // namespace quire

#endif  // QUIRE_FILES_SAFETENSORS_MODEL_H_
