// The unfinished copy of a file being downloaded: "PATH.part", and beside it "PATH.part.tag" with what the
// server called that version. It survives interruptions and becomes PATH by one rename.
#ifndef QUIRE_CLI_PART_FILE_H_
#define QUIRE_CLI_PART_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "quire/base/result.h"

namespace quire {

class PartFile {
 public:
  // Opens or creates it, with its folders, for this process alone. Errors: kIo; kUnavailable when another
  // process is downloading the same file.
  static Result<PartFile> Open(const std::string& path);
  PartFile(PartFile&& other) noexcept;
  PartFile& operator=(PartFile&&) = delete;
  ~PartFile();

  const std::string& part_path() const { return part_path_; }
  uint64_t bytes() const { return bytes_; }
  // The server's name of the version that was begun; empty when it has none.
  const std::string& tag() const { return tag_; }

  // Errors: kIo, kResourceExhausted on a full disk.
  Status Append(std::string_view data);
  // Begins anew, with the version that the server calls `tag`.
  Status Restart(const std::string& tag);
  // kResourceExhausted when the disk has no room for so many more bytes.
  Status CheckRoom(uint64_t more_bytes) const;

  // The file is complete: it reaches the disk, then it is there. The part file is gone.
  Status Publish();
  void Remove();

 private:
  PartFile(std::string path, int fd);
  std::string TagPath() const { return part_path_ + ".tag"; }
  Status IoError(const char* what, int error) const;

  std::string path_, part_path_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
  std::string tag_;
};

}  // namespace quire

#endif  // QUIRE_CLI_PART_FILE_H_
