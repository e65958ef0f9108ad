#include "quire/tiers/record_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <span>
#include <system_error>

#include "quire/base/check.h"

// Invariant: a record is written under another name, synced and renamed, so its own name only ever has a
// whole one.

namespace quire {
namespace {

constexpr std::string_view kEnding = ".record";

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= 64 &&
         std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) != 0 || c == '-'; });
}

bool WriteAll(int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(file, bytes.data(), bytes.size());
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

RecordFolder::RecordFolder(std::filesystem::path folder, std::string_view format, std::string_view secret)
    : folder_(std::move(folder)), seal_(format, secret) {}

std::filesystem::path RecordFolder::PathOf(const std::string& name) const {
  QUIRE_CHECK(IsName(name));
  return folder_ / (name + std::string(kEnding));
}

std::vector<std::string> RecordFolder::Names() const {
  std::vector<std::string> names;
  std::error_code ignored;
  for (auto at = std::filesystem::directory_iterator(folder_, ignored);
       at != std::filesystem::directory_iterator(); at.increment(ignored)) {
    const std::string file = at->path().filename().string();
    if (!file.ends_with(kEnding)) continue;
    std::string name = file.substr(0, file.size() - kEnding.size());
    if (IsName(name)) names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  return names;
}

Status RecordFolder::Write(const std::string& name, std::string_view record) const {
  if (record.size() > kMostBytes) {
    return Fail(ErrorCode::kInvalidArgument, "'{}' has {} bytes; a record holds at most {}", name,
                record.size(), kMostBytes);
  }
  std::error_code refused;
  std::filesystem::create_directories(folder_, refused);
  std::vector<std::byte> room;
  PageTrailer trailer;
  const auto sealed = seal_.Close(RootKey(name), std::as_bytes(std::span(record)), room, trailer);
  const std::filesystem::path path = PathOf(name), draft = path.string() + ".draft";
  const int file = sealed ? open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
  bool ok = file >= 0 && WriteAll(file, *sealed) && WriteAll(file, trailer) && fsync(file) == 0;
  int error = errno;
  if (file >= 0) close(file);
  if (ok && rename(draft.c_str(), path.c_str()) != 0) {
    ok = false;
    error = errno;
  }
  if (ok) return {};
  std::filesystem::remove(draft, refused);
  return Fail(ErrorCode::kIo, "{}: cannot be written ({})", path.string(), std::strerror(error));
}

std::optional<std::string> RecordFolder::Read(const std::string& name) const {
  std::error_code absent;
  const std::filesystem::path path = PathOf(name);
  const auto size = std::filesystem::file_size(path, absent);
  if (absent || size < sizeof(PageTrailer) || size > kMostBytes + sizeof(PageTrailer)) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  if (bytes.size() < sizeof(PageTrailer)) return std::nullopt;
  PageTrailer trailer;
  std::memcpy(trailer.data(), bytes.data() + bytes.size() - trailer.size(), trailer.size());
  bytes.resize(bytes.size() - trailer.size());
  if (!seal_.Open(RootKey(name), std::as_writable_bytes(std::span(bytes)), trailer)) return std::nullopt;
  return bytes;
}

void RecordFolder::Remove(const std::string& name) const {
  std::error_code absent;
  std::filesystem::remove(PathOf(name), absent);
}

}  // namespace quire
