// Builds the bytes of a GGUF file in memory. For tests and fuzz corpora: it writes whatever it is told, right
// or wrong, and makes it easy to be wrong in one place only.
#ifndef QUIRE_FILES_GGUF_BYTES_H_
#define QUIRE_FILES_GGUF_BYTES_H_

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quire {

class GgufBytes {
 public:
  enum Type : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

  uint32_t magic = 0x46554747;
  uint32_t version = 3;
  uint64_t alignment = 32;
  // What the header claims, where it is not the truth.
  int64_t claimed_keys = -1;
  int64_t claimed_tensors = -1;

  static std::string Number(auto value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  static std::string Text(std::string_view text) { return Number(uint64_t{text.size()}) + std::string(text); }

  // One metadata key, its value already encoded.
  GgufBytes& Key(std::string_view key, Type type, const std::string& value) {
    keys_ += Text(key) + Number(uint32_t{type}) + value;
    ++key_count_;
    return *this;
  }
  GgufBytes& String(std::string_view key, std::string_view value) { return Key(key, kString, Text(value)); }
  GgufBytes& U32(std::string_view key, uint32_t value) { return Key(key, kU32, Number(value)); }
  GgufBytes& F32(std::string_view key, float value) { return Key(key, kF32, Number(value)); }
  GgufBytes& Bool(std::string_view key, bool value) { return Key(key, kBool, Number(uint8_t{value})); }
  GgufBytes& Array(std::string_view key, Type type, const std::vector<std::string>& elements) {
    std::string all = Number(uint32_t{type}) + Number(uint64_t{elements.size()});
    for (const std::string& element : elements) all += element;
    return Key(key, kArray, all);
  }
  GgufBytes& Strings(std::string_view key, std::initializer_list<std::string_view> values) {
    std::vector<std::string> elements;
    for (const std::string_view value : values) elements.push_back(Text(value));
    return Array(key, kString, elements);
  }

  // The header of one tensor, at any offset. `dimensions` are in the order of the file, innermost first.
  GgufBytes& TensorHeader(std::string_view name, const std::vector<uint64_t>& dimensions, uint32_t type,
                          uint64_t offset) {
    headers_ += Text(name) + Number(static_cast<uint32_t>(dimensions.size()));
    for (const uint64_t dimension : dimensions) headers_ += Number(dimension);
    headers_ += Number(type) + Number(offset);
    ++tensor_count_;
    return *this;
  }
  // One tensor with its data, behind the data so far.
  GgufBytes& Tensor(std::string_view name, const std::vector<uint64_t>& dimensions, uint32_t type,
                    const std::string& data) {
    Pad(data_);
    TensorHeader(name, dimensions, type, data_.size());
    data_ += data;
    return *this;
  }
  GgufBytes& Data(const std::string& data) {
    data_ += data;
    return *this;
  }

  std::string Header() const {
    const uint64_t tensors = claimed_tensors < 0 ? tensor_count_ : claimed_tensors;
    const uint64_t keys = claimed_keys < 0 ? key_count_ : claimed_keys;
    return Number(magic) + Number(version) + Number(tensors) + Number(keys) + keys_ + headers_;
  }
  std::string Bytes() const {
    std::string bytes = Header();
    if (!data_.empty()) Pad(bytes);
    return bytes + data_;
  }

 private:
  void Pad(std::string& bytes) const { bytes.resize((bytes.size() + alignment - 1) / alignment * alignment); }

  std::string keys_;
  std::string headers_;
  std::string data_;
  uint64_t key_count_ = 0;
  uint64_t tensor_count_ = 0;
};

}  // namespace quire

#endif  // QUIRE_FILES_GGUF_BYTES_H_
