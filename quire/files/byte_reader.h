// Reads little-endian values, one after the other, from bytes that nobody vouches for. Every read is checked
// against what is left, and an error names the file, the field that was being read, and the byte.
#ifndef QUIRE_FILES_BYTE_READER_H_
#define QUIRE_FILES_BYTE_READER_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "quire/base/result.h"

namespace quire {

static_assert(std::endian::native == std::endian::little,
              "model files are little-endian and read as they are");

class ByteReader {
 public:
  // `name` is the file in messages. REQUIRES: `bytes` outlives the reader.
  ByteReader(std::span<const std::byte> bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

  // What the next reads are about, for messages: "the value of 'general.name'".
  void Enter(std::string field) { field_ = std::move(field); }

  template <typename T>
  Result<T> Read() {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    if (left() < sizeof(T)) return EndsEarly(sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  // A 64-bit length and that many bytes, which stay where they are.
  Result<std::string_view> ReadString() {
    QUIRE_ASSIGN(const uint64_t length, Read<uint64_t>());
    if (length > left()) return EndsEarly(length);
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + position_, length);
    position_ += length;
    return text;
  }

  // The errors: "FILE: FIELD: problem".
  template <typename... Args>
  std::unexpected<Error> Fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) const {
    return quire::Fail(code, "{}: {}: {}", name_, field_, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  std::unexpected<Error> Corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    return Fail(ErrorCode::kCorrupt, format, std::forward<Args>(args)...);
  }
  std::unexpected<Error> EndsEarly(uint64_t wanted) const {
    return Corrupt(
        "expected {} bytes at byte {}, but only {} are left; the file is cut short or damaged, get it again",
        wanted, position_, left());
  }

 private:
  std::span<const std::byte> bytes_;
  std::string name_;
  std::string field_ = "the header";
  size_t position_ = 0;
};

}  // namespace quire

#endif  // QUIRE_FILES_BYTE_READER_H_
