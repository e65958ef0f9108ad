// Small records in a folder, by name: what must outlive the process and is no page. A record is there whole
// or not at all, and is sealed as pages are (page_seal.h): with a secret it is encrypted, and one that was
// cut, changed or renamed does not open.
#ifndef QUIRE_TIERS_RECORD_FOLDER_H_
#define QUIRE_TIERS_RECORD_FOLDER_H_

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/tiers/page_seal.h"

namespace quire {

// Thread-safe for different names.
class RecordFolder {
 public:
  static constexpr size_t kMostBytes = 64 << 20;  // of a record

  // REQUIRES: as PageSeal.
  RecordFolder(std::filesystem::path folder, std::string_view format, std::string_view secret);

  // Names that Write would take. Empty where there is no folder yet.
  std::vector<std::string> Names() const;
  // REQUIRES: a name of 1 to 64 letters, digits and hyphens. Errors: kIo, kInvalidArgument (too large).
  Status Write(const std::string& name, std::string_view record) const;
  // Nothing when it is absent, or not what was written.
  std::optional<std::string> Read(const std::string& name) const;
  void Remove(const std::string& name) const;

 private:
  std::filesystem::path PathOf(const std::string& name) const;

  const std::filesystem::path folder_;
  const PageSeal seal_;
};

}  // namespace quire

#endif  // QUIRE_TIERS_RECORD_FOLDER_H_
