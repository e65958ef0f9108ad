#include "quire/cli/url.h"

#include <algorithm>
#include <cctype>

namespace quire {
namespace {

// Splits "host:port", "[::1]:port" into the URL. False when it is neither.
bool SetHost(std::string_view authority, Url& url) {
  url.port = url.tls ? "443" : "80";
  std::string_view rest;
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return false;
    url.host = authority.substr(1, end - 1);
    rest = authority.substr(end + 1);
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    url.host = authority.substr(0, colon);
    rest = authority.substr(colon);
  }
  if (!rest.empty()) {
    url.port = rest.substr(1);
    const bool digits = std::ranges::all_of(url.port, [](unsigned char c) { return std::isdigit(c) != 0; });
    if (rest[0] != ':' || url.port.empty() || url.port.size() > 5 || !digits) return false;
  }
  return !url.host.empty();
}

}  // namespace

std::string Url::Authority() const {
  std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != (tls ? "443" : "80")) text += ":" + port;
  return text;
}

std::string Url::Text() const { return (tls ? "https://" : "http://") + Authority() + target; }

std::string Url::FileName() const {
  const std::string path = target.substr(0, target.find('?'));
  return path.substr(path.rfind('/') + 1);
}

Result<Url> ParseUrl(std::string_view text) {
  const auto wrong = [&] {
    return Fail(ErrorCode::kInvalidArgument, "'{}' is no URL; write it as https://host/path", text);
  };
  Url url;
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    url.tls = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return wrong();
  }
  const bool printable = std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c < 0x7F; });
  rest = rest.substr(0, rest.find('#'));
  const size_t path = std::min(rest.find_first_of("/?"), rest.size());
  std::string_view authority = rest.substr(0, path);
  if (path < rest.size()) url.target = (rest[path] == '?' ? "/" : "") + std::string(rest.substr(path));
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    url.user_info = authority.substr(0, at);
    authority.remove_prefix(at + 1);
  }
  if (!printable || !SetHost(authority, url)) return wrong();
  return url;
}

Result<Url> ResolveUrl(const Url& base, std::string_view location) {
  if (location.starts_with("http://") || location.starts_with("https://")) return ParseUrl(location);
  if (location.starts_with("//")) return ParseUrl((base.tls ? "https:" : "http:") + std::string(location));
  Url url = base;
  if (location.starts_with('/')) {
    url.target = location.substr(0, location.find('#'));
  } else {
    const std::string path = base.target.substr(0, base.target.find('?'));
    url.target = path.substr(0, path.rfind('/') + 1) + std::string(location);
  }
  return ParseUrl(url.Text());
}

std::string EncodePath(std::string_view path) {
  std::string text;
  for (const unsigned char c : path) {
    const bool plain = std::isalnum(c) != 0 ||
                       std::string_view("-._~/").find(static_cast<char>(c)) != std::string_view::npos;
    text += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  }
  return text;
}

}  // namespace quire
