// One file from a URL to a path: resumed after interruptions, checked, and there only when it is complete.
#ifndef QUIRE_CLI_DOWNLOAD_H_
#define QUIRE_CLI_DOWNLOAD_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "quire/base/result.h"
#include "quire/cli/digest.h"
#include "quire/cli/http_client.h"
#include "quire/cli/url.h"

namespace quire {

struct Download {
  Url url;
  HeaderList headers;                          // e.g. Authorization
  std::string path;                            // "PATH.part" holds what is there so far
  std::optional<Checksum> checksum;            // absent: the one the server states, if it does
  std::optional<uint64_t> bytes;               // where they are known beforehand
  int retries = 5;                             // in a row that bring nothing
  std::chrono::milliseconds retry_pause{500};  // doubled each time
};

enum class DownloadOutcome { kDownloaded, kAlreadyThere };

// Errors: kNotFound and kInvalidArgument (the server refuses), kUnavailable (it cannot be reached: what came
// is kept for the next time), kCorrupt (wrong checksum or size: nothing is kept), kIo, kResourceExhausted (no
// room on the disk).
Result<DownloadOutcome> DownloadFile(const HttpClient& client, const Download& download);

}  // namespace quire

#endif  // QUIRE_CLI_DOWNLOAD_H_
