// One coroutine carries a request from the lookup of the host to the last byte of the body; Step() names what
// it is doing, for the sentence when that fails, and starts the timeout anew.
#include "quire/cli/http_client.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <exception>
#include <filesystem>

#include "quire/cli/flags.h"

namespace quire {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using asio::use_awaitable;

constexpr int kMostRedirects = 10;
constexpr size_t kChunkBytes = 256 << 10;
constexpr uint32_t kMostHeaderBytes = 64 << 10;

// An Error on its way out of a coroutine.
struct Failure : std::exception {
  explicit Failure(Error e) : error(std::move(e)) {}
  Error error;
};

// Where systems keep the certificates they trust; OpenSSL knows only the place of the system it was built on.
constexpr const char* kCertificateFiles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                             "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                                             "/etc/ssl/cert.pem"};

void TrustSystem(ssl::context& context, const std::string& certificates) {
  boost::system::error_code ignored;
  context.set_default_verify_paths(ignored);
  for (const char* file : kCertificateFiles) {
    std::error_code missing;
    if (std::filesystem::exists(file, missing)) context.load_verify_file(file, ignored);
  }
  if (!certificates.empty()) context.load_verify_file(certificates, ignored);
}

std::string Base64(std::string_view text) {
  std::string out(4 * ((text.size() + 2) / 3), '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                  reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  return out;
}

std::string_view Find(const HeaderList& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// One request to one server, without following redirects.
class Exchange {
 public:
  Exchange(const HttpClientOptions& options, Url url, HeaderList headers, std::optional<Url> proxy)
      : options_(options), url_(std::move(url)), headers_(std::move(headers)), proxy_(std::move(proxy)) {}

  // on_head returns whether the body is wanted.
  Result<HttpReply> Run(const std::function<bool(const HttpReply&)>& on_head,
                        const std::function<void(std::string_view)>& on_body) {
    on_head_ = &on_head;
    on_body_ = &on_body;
    std::exception_ptr thrown;
    asio::co_spawn(io_, Carry(), [&](std::exception_ptr e) { thrown = std::move(e); });
    io_.run();
    if (!thrown) return std::move(reply_);
    try {
      std::rethrow_exception(thrown);
    } catch (const Failure& failure) {
      return std::unexpected(failure.error);
    } catch (const boost::system::system_error& error) {
      return std::unexpected(Describe(error.code()));
    }
  }

 private:
  asio::awaitable<void> Carry() {
    beast::tcp_stream tcp(io_);
    co_await Connect(tcp, proxy_ ? *proxy_ : url_);
    if (!url_.tls) {
      co_await Ask(tcp, tcp);
      co_return;
    }
    if (proxy_) co_await OpenTunnel(tcp);
    ssl::context context(ssl::context::tls_client);
    SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
    TrustSystem(context, options_.certificates);
    context.set_verify_mode(ssl::verify_peer);
    beast::ssl_stream<beast::tcp_stream> stream(std::move(tcp), context);
    stream.set_verify_callback(ssl::host_name_verification(url_.host));
    SSL_set_tlsext_host_name(stream.native_handle(), url_.host.c_str());
    Step(beast::get_lowest_layer(stream), "agree on encryption with");
    co_await stream.async_handshake(ssl::stream_base::client, use_awaitable);
    co_await Ask(stream, beast::get_lowest_layer(stream));
  }

  asio::awaitable<void> Connect(beast::tcp_stream& tcp, const Url& server) {
    step_ = "find the address of";
    asio::ip::tcp::resolver resolver(io_);
    const auto addresses = co_await resolver.async_resolve(server.host, server.port, use_awaitable);
    Step(tcp, "connect to");
    co_await tcp.async_connect(addresses, use_awaitable);
  }

  asio::awaitable<void> OpenTunnel(beast::tcp_stream& tcp) {
    Step(tcp, "get through the proxy to");
    const std::string target = url_.host + ":" + url_.port;
    http::request<http::empty_body> request(http::verb::connect, target, 11);
    request.set(http::field::host, target);
    AddProxyKey(request);
    co_await http::async_write(tcp, request, use_awaitable);
    beast::flat_buffer buffer;
    http::response_parser<http::empty_body> parser;
    parser.skip(true);
    co_await http::async_read_header(tcp, buffer, parser, use_awaitable);
    if (parser.get().result() == http::status::ok) co_return;
    throw Failure({ErrorCode::kUnavailable,
                   fmt::format("the proxy {} answered {} for {}; check https_proxy and no_proxy",
                               proxy_->Text(), parser.get().result_int(), target)});
  }

  template <typename Stream>
  asio::awaitable<void> Ask(Stream& stream, beast::tcp_stream& tcp) {
    Step(tcp, "send the request to");
    const bool whole_target = proxy_ && !url_.tls;
    http::request<http::empty_body> request(http::verb::get, whole_target ? url_.Text() : url_.target, 11);
    request.set(http::field::host, url_.Authority());
    request.set(http::field::user_agent, "quire");
    request.set(http::field::accept_encoding, "identity");
    request.set(http::field::connection, "close");
    for (const auto& [name, value] : headers_) request.set(name, value);
    if (whole_target) AddProxyKey(request);
    co_await http::async_write(stream, request, use_awaitable);

    Step(tcp, "get an answer from");
    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    parser.header_limit(kMostHeaderBytes);
    co_await http::async_read_header(stream, buffer, parser, use_awaitable);
    TakeHead(parser);
    if ((*on_head_)(reply_)) co_await ReadBody(stream, tcp, buffer, parser);
  }

  template <typename Stream>
  asio::awaitable<void> ReadBody(Stream& stream, beast::tcp_stream& tcp, beast::flat_buffer& buffer,
                                 http::response_parser<http::buffer_body>& parser) {
    std::vector<char> chunk(kChunkBytes);
    while (!parser.is_done()) {
      Step(tcp, "read more from");
      auto& body = parser.get().body();
      body.data = chunk.data();
      body.size = chunk.size();
      auto [error, bytes] =
          co_await http::async_read_some(stream, buffer, parser, asio::as_tuple(use_awaitable));
      const size_t got = chunk.size() - body.size;
      if (got > 0) (*on_body_)({chunk.data(), got});
      if (error && error != http::error::need_buffer) throw boost::system::system_error(error);
    }
  }

  void TakeHead(const http::response_parser<http::buffer_body>& parser) {
    reply_.status = static_cast<int>(parser.get().result_int());
    reply_.url = url_;
    for (const auto& field : parser.get()) {
      std::string name(field.name_string());
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
      reply_.headers.emplace_back(std::move(name), std::string(field.value()));
    }
    if (const auto length = parser.content_length()) reply_.bytes = *length;
  }

  void AddProxyKey(http::request<http::empty_body>& request) const {
    if (!proxy_->user_info.empty()) {
      request.set(http::field::proxy_authorization, "Basic " + Base64(proxy_->user_info));
    }
  }

  void Step(beast::tcp_stream& tcp, const char* step) {
    step_ = step;
    tcp.expires_after(options_.timeout);
  }

  Error Describe(const boost::system::error_code& code) const {
    const std::string server = (proxy_ ? *proxy_ : url_).Authority();
    if (code.category() == asio::error::get_ssl_category() &&
        ERR_GET_REASON(code.value()) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
      return {
          ErrorCode::kIo,
          fmt::format("the certificate of {} does not verify; install the system's ca-certificates, or name "
                      "the right ones with SSL_CERT_FILE",
                      url_.Authority())};
    }
    if (code == beast::error::timeout) {
      return {ErrorCode::kUnavailable,
              fmt::format("could not {} {} within {:g} s; check the network, or raise --timeout", step_,
                          server, static_cast<double>(options_.timeout.count()) / 1000)};
    }
    if (code == http::error::partial_message || code == http::error::end_of_stream ||
        code == asio::ssl::error::stream_truncated) {
      return {ErrorCode::kUnavailable, fmt::format("{} closed the connection too early; try again", server)};
    }
    if (code.category() == http::make_error_code(http::error::bad_version).category()) {
      return {ErrorCode::kCorrupt,
              fmt::format("{} does not speak HTTP as it should ({}); check the URL", server, code.message())};
    }
    return {ErrorCode::kUnavailable, fmt::format("could not {} {}: {}; check the network and the address",
                                                 step_, server, code.message())};
  }

  const HttpClientOptions& options_;
  const Url url_;
  const HeaderList headers_;
  const std::optional<Url> proxy_;
  const std::function<bool(const HttpReply&)>* on_head_ = nullptr;
  const std::function<void(std::string_view)>* on_body_ = nullptr;
  asio::io_context io_;
  const char* step_ = "";
  HttpReply reply_;
};

bool NoProxyMatches(std::string_view list, std::string_view host) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    std::string_view entry = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    while (entry.ends_with(' ')) entry.remove_suffix(1);
    if (entry.starts_with('.')) entry.remove_prefix(1);
    if (entry.empty()) continue;
    if (entry == "*" || entry == host) return true;
    if (host.ends_with(entry) && host[host.size() - entry.size() - 1] == '.') return true;
  }
  return false;
}

// Where a redirect leads, if it may be followed.
Result<Url> NextUrl(const Url& from, const HttpReply& reply) {
  const std::string_view location = reply.Header("location");
  if (location.empty()) {
    return Fail(ErrorCode::kCorrupt, "{} answered {} without saying where to go; check the URL", from.Text(),
                reply.status);
  }
  QUIRE_ASSIGN(Url next, ResolveUrl(from, location));
  if (from.tls && !next.tls) {
    return Fail(ErrorCode::kIo, "{} redirects to {}, which is not encrypted; use another source", from.Text(),
                next.Text());
  }
  return next;
}

}  // namespace

std::string_view HttpReply::Header(std::string_view name) const { return Find(headers, name); }

std::string_view HttpReply::HeaderOnTheWay(std::string_view name) const {
  const std::string_view last = Find(headers, name);
  return last.empty() ? Find(redirect_headers, name) : last;
}

HttpClientOptions HttpClientOptionsFromEnvironment() {
  const auto either = [](const char* lower, const char* upper) {
    const auto value = GetEnvironment(lower);
    return value ? *value : GetEnvironment(upper).value_or("");
  };
  HttpClientOptions options;
  options.proxy_for_tls = either("https_proxy", "HTTPS_PROXY");
  options.proxy =
      GetEnvironment("http_proxy").value_or("");  // upper case is not to be trusted: CVE-2016-5385
  options.no_proxy = either("no_proxy", "NO_PROXY");
  options.certificates = GetEnvironment("SSL_CERT_FILE").value_or("");
  return options;
}

std::optional<Url> HttpClient::ProxyFor(const Url& url) const {
  const std::string& proxy = url.tls ? options_.proxy_for_tls : options_.proxy;
  if (proxy.empty() || NoProxyMatches(options_.no_proxy, url.host)) return std::nullopt;
  auto parsed = ParseUrl(proxy.find("://") == std::string::npos ? "http://" + proxy : proxy);
  if (!parsed || parsed->tls) return std::nullopt;
  return *parsed;
}

Result<HttpReply> HttpClient::Get(const Url& url, const HeaderList& headers, const HeadSink& on_head,
                                  const BodySink& on_body) const {
  Url at = url;
  HeaderList passed;
  for (int hop = 0; hop <= kMostRedirects; ++hop) {
    HeaderList sent = headers;
    if (!at.SameServer(url)) std::erase_if(sent, [](const auto& h) { return h.first == "Authorization"; });
    Exchange exchange(options_, at, sent, ProxyFor(at));
    const auto take_head = [&](HttpReply reply) {
      if (IsRedirect(reply.status)) return false;
      reply.redirect_headers = passed;
      if (auto taken = on_head(reply); !taken) throw Failure(taken.error());
      return true;
    };
    const auto take_body = [&](std::string_view part) {
      if (auto taken = on_body(part); !taken) throw Failure(taken.error());
    };
    QUIRE_ASSIGN(HttpReply reply, exchange.Run(take_head, take_body));
    if (!IsRedirect(reply.status)) {
      reply.redirect_headers = std::move(passed);
      return reply;
    }
    QUIRE_ASSIGN(at, NextUrl(at, reply));
    passed.insert(passed.begin(), reply.headers.begin(), reply.headers.end());
  }
  return Fail(ErrorCode::kUnavailable, "{} redirects more than {} times; check the URL", url.Text(),
              kMostRedirects);
}

Result<std::pair<HttpReply, std::string>> HttpClient::GetText(const Url& url, const HeaderList& headers,
                                                              size_t limit) const {
  std::string text;
  const auto take = [&](std::string_view part) -> Status {
    text += part;
    if (text.size() <= limit) return {};
    return Fail(ErrorCode::kCorrupt, "the answer of {} is longer than {} bytes; check the URL", url.Text(),
                limit);
  };
  QUIRE_ASSIGN(HttpReply reply, Get(url, headers, [](const HttpReply&) { return Status(); }, take));
  return std::pair(std::move(reply), std::move(text));
}

}  // namespace quire
