// One safetensors file: a JSON header with the name, type, shape and place of every tensor, then their bytes.
#ifndef QUIRE_FILES_SAFETENSORS_H_
#define QUIRE_FILES_SAFETENSORS_H_

#include <functional>
#include <map>
#include <span>
#include <string>

#include "quire/base/aligned_buffer.h"
#include "quire/base/mapped_file.h"
#include "quire/base/result.h"
#include "quire/kernels/tensor_view.h"

namespace quire {

struct SafetensorsFile {
  MappedFile file;
  std::map<std::string, TensorView, std::less<>> tensors;
  // The format does not promise that a float begins at a multiple of its size. The rare tensor that does not
  // is copied here, so that every TensorView may be read as its element type.
  AlignedBuffer realigned;

  // Errors name the file, the tensor and what was expected there; element types other than F32, F16 and BF16
  // are kUnsupported.
  static Result<SafetensorsFile> Open(const std::string& path);
  // The same over bytes in memory, which must outlive the result: `name` stands for the path in messages.
  static Result<SafetensorsFile> Parse(std::span<const std::byte> bytes, const std::string& name);
};

}  // namespace quire

#endif  // QUIRE_FILES_SAFETENSORS_H_
