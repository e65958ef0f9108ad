// A read-only file mapped into memory. The bytes are shared with the page cache, nothing is copied, and a
// page is read from disk when it is first touched.
#ifndef QUIRE_BASE_MAPPED_FILE_H_
#define QUIRE_BASE_MAPPED_FILE_H_

#include <cstddef>
#include <span>
#include <string>

#include "quire/base/result.h"

namespace quire {

class MappedFile {
 public:
  // Maps the whole file at `path`. An empty file gives an empty span.
  // Errors: kNotFound, kIo (a folder, no permission, mmap refused).
  static Result<MappedFile> Open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

  // Tells the system that this range will not be read again soon: it leaves this process's memory but stays
  // in the page cache. A later read is still valid. The range is shrunk to whole system pages.
  void Release(std::span<const std::byte> range) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
};

}  // namespace quire

#endif  // QUIRE_BASE_MAPPED_FILE_H_
