#include "quire/files/json_text.h"

#include <set>

#include "quire/base/byte_size.h"
#include "quire/base/mapped_file.h"
#include "quire/files/quoted.h"

namespace quire {
namespace {

using nlohmann::json;

// Thrown to stop the parser, and caught around it.
struct Violation {
  std::string problem;
};

// The parser's callback: stops it before anything deeper or doubled is kept.
class Watcher {
 public:
  explicit Watcher(const JsonLimits& limits) : limits_(limits) {}

  bool operator()(int depth, json::parse_event_t event, json& value) {
    const bool opens =
        event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
    if (opens && depth >= limits_.most_depth) {
      throw Violation{fmt::format("it is nested deeper than {} levels, expected less", limits_.most_depth)};
    }
    if (limits_.unique_keys && depth == 1 && event == json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      const bool added = keys_.insert(key).second;
      if (!added) throw Violation{fmt::format("the key {} is there twice, expected once", Quoted(key))};
    }
    return true;
  }

 private:
  const JsonLimits& limits_;
  std::set<std::string> keys_;
};

Result<MappedFile> OpenBounded(const std::string& path, size_t most_bytes) {
  QUIRE_ASSIGN(MappedFile file, MappedFile::Open(path));
  if (file.bytes().size() > most_bytes) {
    return Fail(ErrorCode::kCorrupt, "{}: the file has {}, expected at most {}", path,
                FormatByteSize(file.bytes().size()), FormatByteSize(most_bytes));
  }
  return file;
}

std::string_view Text(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace

Result<json> ParseJson(std::string_view text, const std::string& name, const JsonLimits& limits) {
  if (text.size() > limits.most_bytes) {
    return Fail(ErrorCode::kCorrupt, "{}: the JSON has {}, expected at most {}", name,
                FormatByteSize(text.size()), FormatByteSize(limits.most_bytes));
  }
  Watcher watcher(limits);
  try {
    return json::parse(text, std::ref(watcher));
  } catch (const Violation& violation) {
    return Fail(ErrorCode::kCorrupt, "{}: {}", name, violation.problem);
  } catch (const json::parse_error& error) {
    return Fail(ErrorCode::kCorrupt, "{}: not valid JSON at byte {}; the file is damaged, get it again", name,
                error.byte);
  } catch (const json::exception&) {
    return Fail(ErrorCode::kCorrupt, "{}: not valid JSON: a number is out of range", name);
  }
}

Result<json> ReadJsonFile(const std::string& path, const JsonLimits& limits) {
  QUIRE_ASSIGN(const MappedFile file, OpenBounded(path, limits.most_bytes));
  return ParseJson(Text(file), path, limits);
}

Result<std::string> ReadTextFile(const std::string& path, size_t most_bytes) {
  QUIRE_ASSIGN(const MappedFile file, OpenBounded(path, most_bytes));
  return std::string(Text(file));
}

}  // namespace quire
