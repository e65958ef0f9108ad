// Downloads over HTTP/1.1 and HTTPS: certificates are verified, redirects followed, proxies of the
// environment used (https_proxy, http_proxy, no_proxy). One request at a time, one connection per request.
#ifndef QUIRE_CLI_HTTP_CLIENT_H_
#define QUIRE_CLI_HTTP_CLIENT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quire/base/result.h"
#include "quire/cli/url.h"

namespace quire {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct HttpReply {
  int status = 0;
  Url url;                        // of the last redirect
  HeaderList headers;             // names in lower case
  HeaderList redirect_headers;    // of all redirects on the way, latest first
  std::optional<uint64_t> bytes;  // Content-Length

  // Of the last reply; empty when absent.
  std::string_view Header(std::string_view name) const;
  // The same, but where the last reply lacks it, of the redirects that led there.
  std::string_view HeaderOnTheWay(std::string_view name) const;
};

// Called with the head of the last reply, before its body. An error ends the request with that error.
using HeadSink = std::function<Status(const HttpReply&)>;
using BodySink = std::function<Status(std::string_view)>;

struct HttpClientOptions {
  std::chrono::milliseconds timeout{30'000};  // for each thing waited for: connecting, a head, more of a body
  std::string proxy_for_tls;                  // "http://host:port"; empty: none
  std::string proxy;                          // the same for plain http
  std::string no_proxy;                       // "host,.domain" or "*"
  // A file of certificates to trust beside the system's: for a hub of one's own, and tests.
  std::string certificates;
};

// The options as the environment has them: https_proxy, http_proxy, no_proxy, SSL_CERT_FILE.
HttpClientOptions HttpClientOptionsFromEnvironment();

class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options) : options_(std::move(options)) {}

  // Errors: kUnavailable for what may work another time (no connection, a dropped one, a timeout), kIo for
  // certificates that do not verify, kCorrupt for replies that are no HTTP, and what the sinks return. A
  // status such as 404 is not an error here. "Authorization" is only sent to the server of `url`.
  Result<HttpReply> Get(const Url& url, const HeaderList& headers, const HeadSink& on_head,
                        const BodySink& on_body) const;
  // A whole small body. Errors: also kCorrupt beyond `limit` bytes.
  Result<std::pair<HttpReply, std::string>> GetText(const Url& url, const HeaderList& headers,
                                                    size_t limit) const;

  // The proxy for a URL, or nothing.
  std::optional<Url> ProxyFor(const Url& url) const;

 private:
  HttpClientOptions options_;
};

}  // namespace quire

#endif  // QUIRE_CLI_HTTP_CLIENT_H_
