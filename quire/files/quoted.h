// Names that come from a file, made fit for an error message: quoted, short, and without control characters.
#ifndef QUIRE_FILES_QUOTED_H_
#define QUIRE_FILES_QUOTED_H_

#include <string>
#include <string_view>

namespace quire {

// "'blk.0.attn_q.weight'"; bytes outside printable ASCII become \xNN, and a long name is cut with "...".
std::string Quoted(std::string_view name);

}  // namespace quire

#endif  // QUIRE_FILES_QUOTED_H_
