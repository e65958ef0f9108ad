#include "quire/cli/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "quire/base/byte_size.h"
#include "quire/cli/text_table.h"
#include "quire/text/utf8.h"

namespace quire {
namespace {

using nlohmann::json;

// The value of a metric without labels other than the model's name; 0 where there is none.
double Metric(std::string_view text, std::string_view name) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(name)) continue;
    if (const char next = line.substr(name.size(), 1)[0]; next != '{' && next != ' ') continue;
    const std::string_view number = line.substr(line.rfind(' ') + 1);
    double value = 0;
    std::from_chars(number.data(), number.data() + number.size(), value);
    return value;
  }
  return 0;
}

std::string Bytes(const json& object, const char* key) {
  return FormatByteSize(object.at(key).get<uint64_t>());
}

// "[####====....]": used, cached, free.
std::string Bar(const json& kv, int width) {
  const auto total = std::max(1.0, kv.at("total_bytes").get<double>());
  const auto cells = [&](const char* key) {
    const double share = kv.at(key).get<double>() / total * width;
    return std::clamp(static_cast<int>(share + 0.999), 0, width);  // anything shows
  };
  const int used = cells("used_bytes"), cached = std::min(cells("cached_bytes"), width - used);
  return fmt::format("[{:#>{}}{:=>{}}{:.>{}}]", "", used, "", cached, "", width - used - cached);
}

// What a client chose may hold anything: no control characters reach the terminal.
std::string Label(const json& text, size_t most) {
  std::string label = ReplaceControls(text.get<std::string>());
  if (label.size() <= most) return label;
  label.resize(most - 2);
  return ReplaceInvalidUtf8(label) + "..";
}

constexpr size_t kMostOwners = 4;  // that are shown

std::string Owner(const json& owner) { return owner == "" ? "nobody's" : Label(owner, 12); }

// How much of the total has main memory; and what it is to become, while that is less than what is used.
std::string Size(const json& kv) {
  std::string text = fmt::format(", {} committed", Bytes(kv, "committed_bytes"));
  if (kv.at("limit_bytes") < kv.at("total_bytes")) {
    text += fmt::format(", shrinking to {}", Bytes(kv, "limit_bytes"));
  }
  return text;
}

std::string Summary(const json& memory, std::optional<TopRates> rates) {
  int running = 0, waiting = 0;
  for (const json& request : memory.at("requests")) ++(request.at("state") == "running" ? running : waiting);
  std::string line = fmt::format("requests  {} running, {} waiting", running, waiting);
  if (rates) {
    line += fmt::format("; {:.1f} tokens/s out, {:.1f} prompt tokens/s", rates->output_tokens_per_s,
                        rates->prompt_tokens_per_s);
  }
  const json &kv = memory.at("kv"), &index = memory.at("prefix_index");
  line += fmt::format(
      "\nprocess   {} resident: weights {}, activations {},\n          prefix index {} ({} nodes), and what "
      "mapped files and KV pages are touched\n",
      Bytes(memory, "resident_bytes"), Bytes(memory, "weight_bytes"), Bytes(memory, "activation_bytes"),
      Bytes(index, "bytes"), index.at("nodes").get<int64_t>());
  line += fmt::format("KV        {} of {}{}\n", Bar(kv, 32), Bytes(kv, "total_bytes"), Size(kv));
  line += fmt::format("          # used {} (shared {}, waste {})  = cached {}  . free {}\n",
                      Bytes(kv, "used_bytes"), Bytes(kv, "shared_bytes"), Bytes(kv, "waste_bytes"),
                      Bytes(kv, "cached_bytes"), Bytes(kv, "free_bytes"));
  if (const json& pins = memory.at("pins"); !pins.empty()) {
    line += fmt::format("pinned    {} of it:", Bytes(memory, "pinned_bytes"));
    for (size_t i = 0; i < pins.size() && i < kMostOwners; ++i) {
      line += fmt::format("{} {} {}", i == 0 ? "" : ",", Owner(pins[i].at("owner")), Bytes(pins[i], "bytes"));
    }
    line += pins.size() > kMostOwners ? fmt::format(" and {} others\n", pins.size() - kMostOwners) : "\n";
  }
  for (const char* tier : {"compressed", "disk"}) {
    const auto place = memory.find(tier);
    if (place == memory.end()) continue;
    line += fmt::format("{:<11}{} of {} ({} pages); {} written, {} read\n", tier, Bytes(*place, "bytes"),
                        Bytes(*place, "limit_bytes"), place->at("pages").get<int64_t>(),
                        place->at("pages_written").get<int64_t>(), place->at("pages_read").get<int64_t>());
  }
  if (const auto moving = memory.find("moving"); moving != memory.end()) {
    line += fmt::format("          {} on their way up\n", Bytes(*moving, "restoring_bytes"));
  }
  return line;
}

std::string Requests(const json& memory) {
  const json& requests = memory.at("requests");
  const bool tenants = std::ranges::any_of(requests, [](const json& r) { return r.at("tenant") != ""; });
  std::vector<std::string> header = {"request", "state", "age s", "prompt", "cached", "out", "own", "shared"};
  if (tenants) header.emplace_back("tenant");
  TextTable table(header);
  for (const json& request : requests) {
    const auto count = [&](const char* key) { return fmt::format("{}", request.at(key).get<int64_t>()); };
    std::vector<std::string> row = {Label(request.at("id"), 12),
                                    Label(request.at("state"), 7),
                                    fmt::format("{:.0f}", request.at("age_seconds").get<double>()),
                                    count("prompt_tokens"),
                                    count("cached_tokens"),
                                    count("output_tokens"),
                                    Bytes(request, "own_bytes"),
                                    Bytes(request, "shared_bytes")};
    if (tenants) row.push_back(Label(request.at("tenant"), 12));
    table.Add(row);
  }
  return table.Render();
}

// Cuts by bytes: wider lines than the terminal would wrap and scroll.
std::string Fit(const std::string& text, TopSize size) {
  std::string fitted;
  int lines = 0;
  for (size_t at = 0; at < text.size() && lines < size.lines; ++lines) {
    const size_t end = text.find('\n', at);
    const auto width = std::min(end - at, static_cast<size_t>(size.columns));
    fitted += text.substr(at, width) + '\n';
    at = end + 1;
  }
  return fitted;
}

}  // namespace

ServerWork ReadWork(std::string_view metrics) {
  return {.prompt_tokens = Metric(metrics, "quire:prompt_tokens_total"),
          .output_tokens = Metric(metrics, "quire:generation_tokens_total")};
}

Result<std::string> RenderTop(std::string_view memory, std::optional<TopRates> rates, TopSize size) {
  try {
    const json parsed = json::parse(memory);
    return Fit(Summary(parsed, rates) + "\n" + Requests(parsed), size);
  } catch (const json::exception&) {
    return Fail(ErrorCode::kCorrupt,
                "the server's answer to /memory is not what quire serve gives; is it another one?");
  }
}

}  // namespace quire
