// Amounts of memory as people write them: "512MiB", "4GiB", "1.5GB", "50%".
#ifndef QUIRE_BASE_BYTE_SIZE_H_
#define QUIRE_BASE_BYTE_SIZE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "quire/base/result.h"

namespace quire {

// Parses a size. Units: none or B, KB MB GB TB (powers of 1000), K M G T and KiB MiB GiB TiB (powers of
// 1024), in any case; a percentage is taken of `whole_bytes`. Errors: kInvalidArgument.
Result<uint64_t> ParseByteSize(std::string_view text, uint64_t whole_bytes);

// "1.5 GiB", "640 B".
std::string FormatByteSize(uint64_t bytes);

}  // namespace quire

#endif  // QUIRE_BASE_BYTE_SIZE_H_
