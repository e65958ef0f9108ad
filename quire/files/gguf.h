// GGUF v2 and v3: typed key-value metadata and named tensors in one memory-mapped file.
#ifndef QUIRE_FILES_GGUF_H_
#define QUIRE_FILES_GGUF_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "quire/base/mapped_file.h"
#include "quire/base/result.h"
#include "quire/kernels/tensor_view.h"

namespace quire {

// One metadata value. Integers of every width become (u)int64_t, f32 becomes double; arrays keep their
// element kind.
using GgufValue =
    std::variant<bool, int64_t, uint64_t, double, std::string, std::vector<bool>, std::vector<int64_t>,
                 std::vector<uint64_t>, std::vector<double>, std::vector<std::string>>;

class GgufMetadata {
 public:
  const GgufValue* Find(std::string_view key) const;

  // Typed reads. A number of any kind converts when it fits. Absent keys give nullopt/nullptr; a key of the
  // wrong kind is an error that names the key.
  Result<std::optional<int64_t>> Integer(std::string_view key) const;
  Result<std::optional<double>> Number(std::string_view key) const;
  Result<std::optional<bool>> Bool(std::string_view key) const;
  Result<std::optional<std::string>> String(std::string_view key) const;
  Result<const std::vector<std::string>*> Strings(std::string_view key) const;  // nullptr when absent
  // A scalar number gives one element; an array of bools gives zeros and ones.
  Result<std::optional<std::vector<int64_t>>> Integers(std::string_view key) const;
  Result<std::optional<std::vector<double>>> Numbers(std::string_view key) const;

  const std::map<std::string, GgufValue, std::less<>>& values() const { return values_; }
  std::map<std::string, GgufValue, std::less<>>& values() { return values_; }

 private:
  std::map<std::string, GgufValue, std::less<>> values_;
};

struct GgufFile {
  MappedFile file;
  uint32_t version = 0;
  GgufMetadata metadata;
  std::map<std::string, TensorView, std::less<>> tensors;

  // Errors name the file, the field and what was expected there. Tensor types this build cannot compute with
  // are kUnsupported and name the type.
  static Result<GgufFile> Open(const std::string& path);
  // The same over bytes in memory, which must outlive the result: `name` stands for the path in messages.
  static Result<GgufFile> Parse(std::span<const std::byte> bytes, const std::string& name);
};

}  // namespace quire

#endif  // QUIRE_FILES_GGUF_H_
