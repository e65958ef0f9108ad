// From the regular expressions of tokenizer.json to PCRE2's. The two agree on nearly everything; what
// differs:
//   - character classes: Unicode 16 instead of the one PCRE2 was built with, and no U+180E in \s
//   - sets inside sets, which are flattened, and X{n,m}+, which repeats instead of being possessive
//   - \h is a hexadecimal digit
#ifndef QUIRE_TEXT_REGEX_SYNTAX_H_
#define QUIRE_TEXT_REGEX_SYNTAX_H_

#include <string>
#include <string_view>

#include "quire/base/result.h"

namespace quire {

// Errors: kUnsupported for intersections and for negated sets inside sets.
Result<std::string> ToPcre2(std::string_view pattern);

}  // namespace quire

#endif  // QUIRE_TEXT_REGEX_SYNTAX_H_
