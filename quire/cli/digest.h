// Checksums of files as model hubs state them.
#ifndef QUIRE_CLI_DIGEST_H_
#define QUIRE_CLI_DIGEST_H_

#include <functional>
#include <string>

#include "quire/base/result.h"

namespace quire {

struct Checksum {
  enum class Kind {
    kSha256,
    kGitBlob  // SHA-1 of "blob SIZE\0" and the content: how hubs name small files
  };
  Kind kind = Kind::kSha256;
  std::string hex;  // lower case
};

// Nothing wrong but the form: 64 hexadecimal digits. Errors: kInvalidArgument.
Result<Checksum> ParseSha256(std::string_view hex);

// Reads the file and computes; `progress` gets the share that is done. Errors: kIo.
Result<std::string> DigestFile(const std::string& path, Checksum::Kind kind,
                               const std::function<void(double)>& progress);

}  // namespace quire

#endif  // QUIRE_CLI_DIGEST_H_
