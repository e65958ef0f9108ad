// The lock on the part file goes with the process, so a killed download leaves nothing that blocks the next.
#include "quire/cli/part_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "quire/base/byte_size.h"

namespace quire {

namespace fs = std::filesystem;

PartFile::PartFile(std::string path, int fd) : path_(std::move(path)), part_path_(path_ + ".part"), fd_(fd) {
  struct stat info{};
  if (fstat(fd_, &info) == 0) bytes_ = static_cast<uint64_t>(info.st_size);
  std::ifstream tag(TagPath());
  tag_.assign(std::istreambuf_iterator<char>(tag), {});
}

PartFile::PartFile(PartFile&& other) noexcept
    : path_(std::move(other.path_)),
      part_path_(std::move(other.part_path_)),
      fd_(std::exchange(other.fd_, -1)),
      bytes_(other.bytes_),
      tag_(std::move(other.tag_)) {}

PartFile::~PartFile() {
  if (fd_ >= 0) close(fd_);
}

Status PartFile::IoError(const char* what, int error) const {
  if (error == ENOSPC || error == EDQUOT) {
    return Fail(ErrorCode::kResourceExhausted,
                "the disk of {} is full; make room, or name another folder with QUIRE_CACHE", part_path_);
  }
  return Fail(ErrorCode::kIo, "cannot {} {}: {}; check the folder, or name another with QUIRE_CACHE", what,
              part_path_, std::strerror(error));
}

Result<PartFile> PartFile::Open(const std::string& path) {
  std::error_code error;
  const fs::path folder = fs::path(path).parent_path();
  fs::create_directories(folder, error);
  if (error) {
    return Fail(ErrorCode::kIo, "cannot make the folder {}: {}; name another cache with QUIRE_CACHE",
                folder.string(), error.message());
  }
  const int fd = open((path + ".part").c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const int open_error = errno;
  PartFile part(path, fd);
  if (fd < 0) return std::unexpected(part.IoError("open", open_error).error());
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return Fail(ErrorCode::kUnavailable, "another quire pull is downloading {}; wait for it", path);
  }
  return part;
}

Status PartFile::Append(std::string_view data) {
  while (!data.empty()) {
    const ssize_t written = write(fd_, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return IoError("write", errno);
    data.remove_prefix(static_cast<size_t>(written));
    bytes_ += static_cast<uint64_t>(written);
  }
  return {};
}

Status PartFile::Restart(const std::string& tag) {
  if (ftruncate(fd_, 0) != 0) return IoError("truncate", errno);
  bytes_ = 0;
  tag_ = tag;
  std::error_code ignored;
  if (tag.empty()) {
    fs::remove(TagPath(), ignored);
  } else {
    std::ofstream(TagPath(), std::ios::trunc) << tag;
  }
  return {};
}

Status PartFile::CheckRoom(uint64_t more_bytes) const {
  std::error_code error;
  const auto space = fs::space(fs::path(part_path_).parent_path(), error);
  if (error || space.available >= more_bytes) return {};
  return Fail(ErrorCode::kResourceExhausted,
              "{} needs {} and the disk has {}; make room, or name another folder with QUIRE_CACHE", path_,
              FormatByteSize(more_bytes), FormatByteSize(space.available));
}

Status PartFile::Publish() {
  if (fsync(fd_) != 0) return IoError("write", errno);
  if (rename(part_path_.c_str(), path_.c_str()) != 0) return IoError("rename", errno);
  std::error_code ignored;
  fs::remove(TagPath(), ignored);
  return {};
}

void PartFile::Remove() {
  std::error_code ignored;
  fs::remove(part_path_, ignored);
  fs::remove(TagPath(), ignored);
}

}  // namespace quire
