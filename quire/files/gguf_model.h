// A model in GGUF: one file, or the parts of a split one ("name-00001-of-00003.gguf" and its siblings).
#ifndef QUIRE_FILES_GGUF_MODEL_H_
#define QUIRE_FILES_GGUF_MODEL_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "quire/files/gguf.h"
#include "quire/files/model_files.h"

namespace quire {

class GgufModel final : public ModelFiles {
 public:
  // `path` is the file, or the first part; the other parts lie next to it. Metadata is that of the first
  // part.
  static Result<std::unique_ptr<ModelFiles>> Open(const std::string& path);

  Format format() const override { return Format::kGguf; }
  const std::string& path() const override { return path_; }
  const TensorView* Find(std::string_view name) const override;
  std::vector<std::string> TensorNames() const override;
  void Release(const TensorView& tensor) const override;
  const GgufMetadata& gguf() const override { return parts_.front().metadata; }
  Result<nlohmann::json> Json(std::string_view) const override { return nlohmann::json(); }
  Result<std::string> Text(std::string_view file_name) const override;

 private:
  Status OpenOtherParts();
  Status AddTensors(const GgufFile& part);

  std::string path_;
  std::vector<GgufFile> parts_;
  std::map<std::string, TensorView, std::less<>> tensors_;  // of all parts
};

}  // namespace quire

#endif  // QUIRE_FILES_GGUF_MODEL_H_
