// What a model looks like on disk, whatever its format: named tensors, and metadata. A model is either one
// GGUF file (or a split one, named by its first part), or a folder with safetensors and Hugging Face's JSON
// files. Files are mapped, never copied; every number in them is checked before it is used.
#ifndef QUIRE_FILES_MODEL_FILES_H_
#define QUIRE_FILES_MODEL_FILES_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/files/gguf.h"
#include "quire/kernels/tensor_view.h"

namespace quire {

class ModelFiles {
 public:
  enum class Format { kGguf, kSafetensors };

  // `path`: a .gguf file, or a folder that holds config.json and *.safetensors (with or without an index).
  // Errors: kNotFound, kIo, kCorrupt, kUnsupported; the message names the file, the field and what was
  // expected.
  static Result<std::unique_ptr<ModelFiles>> Open(const std::string& path);
  virtual ~ModelFiles() = default;

  virtual Format format() const = 0;
  virtual const std::string& path() const = 0;

  // Tensors under the names of the file; nullptr when absent.
  virtual const TensorView* Find(std::string_view name) const = 0;
  virtual std::vector<std::string> TensorNames() const = 0;
  // The mapping leaves this process's memory after its tensor was packed (see MappedFile::Release).
  virtual void Release(const TensorView& tensor) const = 0;

  // GGUF metadata; empty for safetensors.
  virtual const GgufMetadata& gguf() const = 0;
  // Folder files as JSON, null when the file is absent (and always for GGUF): "config.json",
  // "tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json".
  virtual Result<nlohmann::json> Json(std::string_view file_name) const = 0;
  // The text of a folder file, e.g. "chat_template.jinja"; kNotFound when absent.
  virtual Result<std::string> Text(std::string_view file_name) const = 0;
};

}  // namespace quire

#endif  // QUIRE_FILES_MODEL_FILES_H_
