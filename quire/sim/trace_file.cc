#include "quire/sim/trace_file.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>

#include "quire/base/mapped_file.h"
#include "quire/base/parse_number.h"

// Invariant: every number of the file is checked before it is used; a line is refused whole.

namespace quire {
namespace {

constexpr int64_t kMostTokens = 100'000'000;
constexpr double kMostSeconds = 1e12;

using Fields = std::vector<std::string_view>;

std::string_view TakeLine(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

Fields SplitCsv(std::string_view line) {
  Fields fields;
  for (size_t begin = 0; begin <= line.size();) {
    const size_t end = std::min(line.find(',', begin), line.size());
    fields.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return fields;
}

std::optional<int64_t> ParseCount(std::string_view text) {
  const auto value = ParseNumber<int64_t>(text);
  return value && *value >= 0 && *value <= kMostTokens ? value : std::nullopt;
}

// "2023-11-16 18:15:46.6805900" or seconds.
std::optional<double> ParseTime(std::string_view text) {
  if (const auto seconds = ParseNumber<double>(text)) {
    return std::abs(*seconds) <= kMostSeconds ? seconds : std::nullopt;
  }
  std::tm date{};
  double second = 0;
  if (std::sscanf(std::string(text).c_str(), "%4d-%2d-%2d%*1[ T]%2d:%2d:%lf", &date.tm_year, &date.tm_mon,
                  &date.tm_mday, &date.tm_hour, &date.tm_min, &second) != 6 ||
      !(second >= 0 && second < 61)) {
    return std::nullopt;
  }
  date.tm_year -= 1900;
  date.tm_mon -= 1;
  return static_cast<double>(timegm(&date)) + second;
}

// The column with one of the names; -1 where there is none.
int Column(const Fields& header, std::initializer_list<std::string_view> names) {
  const auto found = std::ranges::find_first_of(header, names);
  return found == header.end() ? -1 : static_cast<int>(found - header.begin());
}

Error AtLine(int64_t line, std::string_view what) {
  return {ErrorCode::kCorrupt, fmt::format("line {}: {}", line, what)};
}

Result<std::vector<TraceRequest>> ParseCsv(std::string_view text) {
  const Fields header = SplitCsv(TakeLine(text));
  const int time = Column(header, {"TIMESTAMP", "Timestamp"});
  const int prompt = Column(header, {"ContextTokens", "Request tokens"});
  const int output = Column(header, {"GeneratedTokens", "Response tokens"});
  if (time < 0 || prompt < 0 || output < 0) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "line 1: neither JSON nor a header with TIMESTAMP,ContextTokens,GeneratedTokens (Azure) or "
        "Timestamp,Request tokens,Response tokens (BurstGPT); a compressed trace must be unpacked first");
  }
  std::vector<TraceRequest> requests;
  for (int64_t line = 2; !text.empty(); ++line) {
    const std::string_view whole = TakeLine(text);
    if (whole.empty()) continue;
    const Fields fields = SplitCsv(whole);
    if (fields.size() != header.size()) {
      return std::unexpected(
          AtLine(line, fmt::format("{} fields instead of {}", fields.size(), header.size())));
    }
    const auto arrival = ParseTime(fields[time]);
    const auto in = ParseCount(fields[prompt]), out = ParseCount(fields[output]);
    if (!arrival || !in || !out) {
      return std::unexpected(AtLine(line, "a time and two counts of tokens are expected"));
    }
    requests.push_back({*arrival, *in, *out});
  }
  return requests;
}

bool IsCount(int64_t tokens) { return tokens >= 0 && tokens <= kMostTokens; }

TraceTurn ReadTurn(const nlohmann::json& object) {
  return {.pause_s = object.at("pause").get<double>() / 1000,
          .tool = object.value("tool", ""),
          .prompt_tokens = object.at("input_length").get<int64_t>(),
          .output_tokens = object.at("output_length").get<int64_t>()};
}

bool IsGood(const TraceRequest& request) {
  return IsCount(request.prompt_tokens) && IsCount(request.output_tokens) &&
         std::abs(request.arrival_s) <= kMostSeconds &&
         std::ranges::all_of(request.turns, [](const TraceTurn& turn) {
           return IsCount(turn.prompt_tokens) && IsCount(turn.output_tokens) && turn.pause_s >= 0 &&
                  turn.pause_s <= kMostSeconds;
         });
}

// Throws what nlohmann_json throws.
TraceRequest ParseDialogue(const nlohmann::json& object, double arrival_s) {
  TraceRequest request{.arrival_s = arrival_s, .hash_ids = {}, .turns = {}, .dialogue = {}};
  for (const auto& turn : object.at("history")) {
    request.dialogue.push_back({turn.at("user").get<std::string>(), turn.at("bot").get<std::string>()});
  }
  return request;
}

Result<std::vector<TraceRequest>> ParseJsonLines(std::string_view text) {
  using nlohmann::json;
  std::vector<TraceRequest> requests;
  for (int64_t line = 1; !text.empty(); ++line) {
    const std::string_view whole = TakeLine(text);
    if (whole.empty()) continue;
    const json object = json::parse(whole, nullptr, false);
    TraceRequest request;
    try {
      if (object.contains("history")) {
        requests.push_back(ParseDialogue(object, static_cast<double>(requests.size())));
        continue;
      }
      request.arrival_s = object.at("timestamp").get<double>() / 1000;
      request.prompt_tokens = object.at("input_length").get<int64_t>();
      request.output_tokens = object.at("output_length").get<int64_t>();
      if (object.contains("hash_ids")) request.hash_ids = object["hash_ids"].get<std::vector<int64_t>>();
      if (object.contains("turns")) {
        for (const json& turn : object["turns"]) request.turns.push_back(ReadTurn(turn));
      }
    } catch (const json::exception&) {
      return std::unexpected(AtLine(
          line,
          "no JSON object with timestamp, input_length, output_length and hash_ids, as Mooncake's traces "
          "have, or turns with pause and lengths, or a history of user and bot"));
    }
    if (!IsGood(request)) {
      return std::unexpected(AtLine(line, "a time or a number of tokens is out of range"));
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

}  // namespace

Result<std::vector<TraceRequest>> ParseTrace(std::string_view text) {
  QUIRE_ASSIGN(auto requests, text.starts_with('{') ? ParseJsonLines(text) : ParseCsv(text));
  if (requests.empty()) return Fail(ErrorCode::kInvalidArgument, "there is no request in it");
  std::ranges::stable_sort(requests, {}, &TraceRequest::arrival_s);
  const double first = requests.front().arrival_s;
  for (TraceRequest& request : requests) request.arrival_s -= first;
  return requests;
}

Result<std::vector<TraceRequest>> ReadTrace(const std::string& path, int64_t limit) {
  QUIRE_ASSIGN(const MappedFile file, MappedFile::Open(path));
  const auto bytes = file.bytes();
  auto requests = ParseTrace({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!requests) return Fail(requests.error().code, "{}: {}", path, requests.error().message);
  if (limit > 0 && limit < std::ssize(*requests)) requests->resize(limit);
  return requests;
}

}  // namespace quire
