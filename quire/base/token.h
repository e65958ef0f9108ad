// The id of a vocabulary entry: what prompts, pages and samplers speak.
#ifndef QUIRE_BASE_TOKEN_H_
#define QUIRE_BASE_TOKEN_H_

#include <cstdint>

namespace quire {
using Token = int32_t;
}  // namespace quire

#endif  // QUIRE_BASE_TOKEN_H_
