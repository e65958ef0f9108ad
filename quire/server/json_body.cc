#include "quire/server/json_body.h"

#include <cstdint>
#include <vector>

namespace quire {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxComplaintBytes = 200;
// ordered_json compares a new key with all that its object has. This many comparisons take below a second.
constexpr uint64_t kMaxKeyComparisons = 200'000'000;

// Goes over the text before it is parsed: brackets and keys outside strings. What is not JSON is left to the
// parser to refuse.
class ShapeCheck {
 public:
  std::optional<std::string> Problem(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      switch (text[i]) {
        case '"':
          i = EndOfString(text, i);
          break;
        case '{':
        case '[':
          keys_.push_back(0);
          if (keys_.size() > kMaxDepth) {
            return fmt::format("is nested deeper than {} levels; flatten it", kMaxDepth);
          }
          break;
        case '}':
        case ']':
          if (!keys_.empty()) keys_.pop_back();
          break;
        case ':':
          if (!keys_.empty()) comparisons_ += keys_.back()++;
          if (comparisons_ > kMaxKeyComparisons) return "has an object with too many keys; send fewer";
          break;
        default:
          break;
      }
    }
    return std::nullopt;
  }

 private:
  static size_t EndOfString(std::string_view text, size_t begin) {
    size_t i = begin + 1;
    while (i < text.size() && text[i] != '"') i += text[i] == '\\' ? 2 : 1;
    return i;
  }

  std::vector<uint64_t> keys_;  // so far, of every open object
  uint64_t comparisons_ = 0;
};

// The parser's complaint without its prefix "[json.exception.parse_error.101] ", and without the most of what
// it quotes.
std::string Complaint(const nlohmann::json::exception& error) {
  const std::string_view text = error.what();
  const size_t end = text.find("] ");
  return std::string((end == text.npos ? text : text.substr(end + 2)).substr(0, kMaxComplaintBytes));
}

}  // namespace

ApiResult<ordered_json> ParseJsonText(std::string_view text, std::string_view what) {
  if (auto problem = ShapeCheck().Problem(text)) {
    return std::unexpected(ErrorWithStatus(400, fmt::format("{} {}", what, *problem)));
  }
  try {
    return ordered_json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    return std::unexpected(
        ErrorWithStatus(400, fmt::format("{} is not valid JSON in UTF-8: {}", what, Complaint(error))));
  }
}

ApiResult<ordered_json> ParseJsonBody(std::string_view body) {
  auto json = ParseJsonText(body, "the body");
  if (json && !json->is_object()) {
    return std::unexpected(
        ErrorWithStatus(400, fmt::format("the body is a JSON {}; send an object", json->type_name())));
  }
  return json;
}

std::string DumpJson(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

HttpResponse JsonResponse(const ordered_json& json) { return {.body = DumpJson(json), .headers = {}}; }

void AppendJsonString(std::string& out, std::string_view text) {
  if (!IsUtf8(text)) {
    out += DumpJson(ordered_json(text));
    return;
  }
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kHex[c >> 4];
          out += kHex[c & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

bool IsUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto first = static_cast<unsigned char>(text[i]);
    const size_t length = first < 0x80   ? 1
                          : first < 0xC2 ? 0
                          : first < 0xE0 ? 2
                          : first < 0xF0 ? 3
                          : first < 0xF5 ? 4
                                         : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (size_t k = 1; k < length; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      // The second byte tells overlong forms, surrogates and what is beyond U+10FFFF.
      const unsigned low = k == 1 && first == 0xE0 ? 0xA0 : k == 1 && first == 0xF0 ? 0x90 : 0x80;
      const unsigned high = k == 1 && first == 0xED ? 0x9F : k == 1 && first == 0xF4 ? 0x8F : 0xBF;
      if (byte < low || byte > high) return false;
    }
    i += length;
  }
  return true;
}

}  // namespace quire
