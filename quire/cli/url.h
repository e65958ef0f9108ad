// http and https URLs, as far as downloads need them.
#ifndef QUIRE_CLI_URL_H_
#define QUIRE_CLI_URL_H_

#include <string>
#include <string_view>

#include "quire/base/result.h"

namespace quire {

struct Url {
  bool tls = false;
  std::string user_info;  // "name:password", still percent-encoded
  std::string host;       // without the brackets of an IPv6 address
  std::string port;
  std::string target = "/";  // path and query

  // As a Host header has it: with brackets, and with the port unless it is the scheme's own.
  std::string Authority() const;
  std::string Text() const;  // without user_info
  bool SameServer(const Url& other) const {
    return tls == other.tls && host == other.host && port == other.port;
  }
  // The last part of the path, without the query.
  std::string FileName() const;
};

// Errors: kInvalidArgument.
Result<Url> ParseUrl(std::string_view text);
// What a Location header means on a page at `base`: a whole URL, or a path.
Result<Url> ResolveUrl(const Url& base, std::string_view location);
// Percent-encodes what may not stand in a path; slashes stay.
std::string EncodePath(std::string_view path);

}  // namespace quire

#endif  // QUIRE_CLI_URL_H_
