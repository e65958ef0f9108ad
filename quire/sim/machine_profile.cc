#include "quire/sim/machine_profile.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>

#include "quire/base/check.h"
#include "quire/base/parse_number.h"
#include "quire/kernels/kv_codec.h"

namespace quire {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

double Between(const std::pair<double, double>& a, const std::pair<double, double>& b, double x) {
  return a.second + (b.second - a.second) * (x - a.first) / (b.first - a.first);
}

ordered_json CurveJson(const Curve& curve) {
  auto list = ordered_json::array();
  for (const auto& [x, y] : curve.points()) list.push_back({x, y});
  return list;
}

// Reads members of one object; the first that is wrong stays as the error.
class Reader {
 public:
  Reader(const json& from, std::string where) : from_(from), where_(std::move(where)) {}

  double Number(const char* key, double least) {
    const json* value = Member(key);
    if (value == nullptr || !value->is_number()) return Wrong<double>(key, "a number");
    const auto number = value->get<double>();
    return std::isfinite(number) && number >= least ? number : Wrong<double>(key, "a positive number");
  }
  std::string Text(const char* key) {
    const json* value = Member(key);
    return value != nullptr && value->is_string() ? value->get<std::string>()
                                                  : Wrong<std::string>(key, "a text");
  }
  Curve Points(const char* key) {
    const json* value = Member(key);
    std::vector<std::pair<double, double>> points;
    if (value != nullptr && value->is_array()) {
      for (const json& point : *value) {
        if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_number()) break;
        const auto x = point[0].get<double>(), y = point[1].get<double>();
        if (!(y > 0 && std::isfinite(y) && x > (points.empty() ? 0 : points.back().first))) break;
        points.emplace_back(x, y);
      }
      if (!points.empty() && points.size() == value->size()) return Curve(std::move(points));
    }
    return Wrong<Curve>(key, "a list of pairs of positive numbers, the first of which grow");
  }
  // Calls fn(name, Reader) for the members of an object below `key`.
  template <typename Fn>
  void ForMembers(const char* key, Fn fn) {
    const json* value = Member(key);
    if (value == nullptr || !value->is_object() || value->empty()) {
      Wrong<int>(key, "an object with members");
      return;
    }
    for (const auto& [name, member] : value->items()) {
      Reader below(member, fmt::format("{}.{}.{}", where_, key, name));
      fn(name, below);
      if (!error_) error_ = below.error_;
    }
  }
  template <typename T>
  T Wrong(const char* key, const char* wanted) {
    if (!error_) error_ = Error{ErrorCode::kCorrupt, fmt::format("{}: '{}' must be {}", where_, key, wanted)};
    return T();
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  const json* Member(const char* key) const {
    const auto found = from_.is_object() ? from_.find(key) : from_.end();
    return found != from_.end() ? &*found : nullptr;
  }

  const json& from_;
  const std::string where_;
  std::optional<Error> error_;
};

std::optional<DType> WeightType(const std::string& name) {
  for (int i = 0; i < kWeightTypeCount; ++i) {
    if (Info(static_cast<DType>(i)).name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

void ReadAttention(Reader& reader, MachineProfile& profile) {
  reader.ForMembers("attention", [&](const std::string& type, Reader& dims) {
    const auto kv_type = FindKvType(type);
    if (!kv_type) return;  // of another version
    dims.ForMembers("head_dims", [&](const std::string& dim, Reader& speed) {
      const auto number = ParseNumber<int>(dim);
      if (!number || *number < 1) return speed.Wrong<void>("head_dims", "named by dimensions");
      profile.attention[*kv_type][*number] = {speed.Points("seconds_per_call_by_rows"),
                                              speed.Points("seconds_per_key_by_rows"),
                                              speed.Points("masked_seconds_by_rows"),
                                              {speed.Points("from_cache_seconds_per_call_by_rows"),
                                               speed.Points("from_cache_seconds_per_key_by_rows")},
                                              {speed.Points("from_memory_seconds_per_call_by_rows"),
                                               speed.Points("from_memory_seconds_per_key_by_rows")}};
    });
  });
}

}  // namespace

Curve::Curve(std::vector<std::pair<double, double>> points) : points_(std::move(points)) {
  QUIRE_CHECK(!points_.empty() && points_.front().first > 0);
}

double Curve::At(double x) const {
  const auto next = std::ranges::upper_bound(points_, x, {}, &std::pair<double, double>::first);
  if (next == points_.begin()) return points_.front().second;
  if (next == points_.end()) return points_.back().second;
  return Between(*std::prev(next), *next, x);
}

double Curve::Work(double x) const {
  const auto& [last, value] = points_.back();
  return x > last ? value * x / last : At(x);
}

double MachineProfile::MissShare(double bytes) const {
  const double cached = 1 / ReadSpeed(cached_bytes), memory = 1 / read.points().back().second;
  if (memory <= cached) return 1;  // nothing was cached
  return std::clamp((1 / ReadSpeed(bytes) - cached) / (memory - cached), 0.0, 1.0);
}

double MachineProfile::OperationsPerSecond(DType type) const {
  constexpr double kRows = 64;
  return 2 * kRows / products.at(type).seconds.At(kRows);
}

AttentionCost MachineProfile::Attention(DType kv_type, int head_dim, double rows, double miss_share) const {
  const auto at_dim = [&](auto value) {
    std::vector<std::pair<double, double>> points;
    for (const auto& [dim, speed] : attention.at(kv_type)) points.emplace_back(dim, value(speed));
    return Curve(std::move(points)).Work(head_dim);
  };
  const auto at_rows = [&](Curve AttentionSpeed::* curve) {
    return at_dim([&](const AttentionSpeed& speed) { return (speed.*curve).Work(rows); });
  };
  const auto reading = [&](Curve AttentionSpeed::Reading::* curve) {
    return at_dim([&](const AttentionSpeed& speed) {
      return std::lerp((speed.from_cache.*curve).At(rows), (speed.from_memory.*curve).At(rows), miss_share);
    });
  };
  return {.call = at_rows(&AttentionSpeed::call_seconds),
          .key = at_rows(&AttentionSpeed::seconds),
          .masked = at_rows(&AttentionSpeed::masked_seconds),
          .call_reading = reading(&AttentionSpeed::Reading::call_seconds),
          .key_reading = reading(&AttentionSpeed::Reading::seconds)};
}

ordered_json ProfileJson(const MachineProfile& p) {
  ordered_json json = {{"cpu", p.name},
                       {"kernels", p.kernels},
                       {"threads", p.threads},
                       {"memory_bytes", p.memory_bytes},
                       {"read_bytes_per_second_by_bytes", CurveJson(p.read)},
                       {"read_bytes_per_second_one_thread", p.read_one},
                       {"cached_bytes", p.cached_bytes},
                       {"region_seconds", p.region_s},
                       {"exchange_seconds_per_byte", p.exchange_s},
                       {"norm_seconds_per_float_by_floats", CurveJson(p.norm)},
                       {"activate_seconds_per_float_by_floats", CurveJson(p.activate)},
                       {"rotate_seconds_per_float_by_floats", CurveJson(p.rotate)},
                       {"quantize_seconds_per_float_by_floats", CurveJson(p.quantize)},
                       {"store_seconds_per_float", p.store_s},
                       {"merge_seconds_per_float", p.merge_s},
                       {"copy_bytes_per_second", p.copy_bytes_per_s},
                       {"disk_write_bytes_per_second", p.disk_write_bytes_per_s},
                       {"disk_read_bytes_per_second", p.disk_read_bytes_per_s}};
  for (const auto& [type, speed] : p.products) {
    json["products"][std::string(Info(type).name)] = {
        {"seconds_per_output_by_rows", CurveJson(speed.output_seconds)},
        {"seconds_per_weight_by_rows", CurveJson(speed.seconds)},
        {"from_cache_seconds_per_weight_by_rows", CurveJson(speed.from_cache)},
        {"from_memory_seconds_per_weight_by_rows", CurveJson(speed.from_memory)}};
  }
  for (const auto& [type, by_dim] : p.attention) {
    for (const auto& [dim, speed] : by_dim) {
      json["attention"][KvTypeName(type)]["head_dims"][std::to_string(dim)] = {
          {"seconds_per_call_by_rows", CurveJson(speed.call_seconds)},
          {"seconds_per_key_by_rows", CurveJson(speed.seconds)},
          {"masked_seconds_by_rows", CurveJson(speed.masked_seconds)},
          {"from_cache_seconds_per_call_by_rows", CurveJson(speed.from_cache.call_seconds)},
          {"from_cache_seconds_per_key_by_rows", CurveJson(speed.from_cache.seconds)},
          {"from_memory_seconds_per_call_by_rows", CurveJson(speed.from_memory.call_seconds)},
          {"from_memory_seconds_per_key_by_rows", CurveJson(speed.from_memory.seconds)}};
    }
  }
  return json;
}

Result<MachineProfile> ParseProfile(const json& json, const std::string& name) {
  Reader reader(json, name);
  MachineProfile p;
  p.name = reader.Text("cpu");
  p.kernels = reader.Text("kernels");
  p.threads = static_cast<int>(std::min(reader.Number("threads", 1), 65536.0));
  p.memory_bytes = static_cast<uint64_t>(std::min(reader.Number("memory_bytes", 0), 1e18));
  p.read = reader.Points("read_bytes_per_second_by_bytes");
  constexpr double kLeast = 1e-15;  // above 0
  p.read_one = reader.Number("read_bytes_per_second_one_thread", kLeast);
  p.region_s = reader.Number("region_seconds", 0);
  p.cached_bytes = reader.Number("cached_bytes", 1);
  p.exchange_s = reader.Number("exchange_seconds_per_byte", 0);
  p.norm = reader.Points("norm_seconds_per_float_by_floats");
  p.activate = reader.Points("activate_seconds_per_float_by_floats");
  p.rotate = reader.Points("rotate_seconds_per_float_by_floats");
  p.quantize = reader.Points("quantize_seconds_per_float_by_floats");
  p.store_s = reader.Number("store_seconds_per_float", 0);
  p.merge_s = reader.Number("merge_seconds_per_float", 0);
  p.copy_bytes_per_s = reader.Number("copy_bytes_per_second", kLeast);
  p.disk_write_bytes_per_s = reader.Number("disk_write_bytes_per_second", 0);
  p.disk_read_bytes_per_s = reader.Number("disk_read_bytes_per_second", 0);
  reader.ForMembers("products", [&](const std::string& type, Reader& speed) {
    if (const auto known = WeightType(type)) {
      p.products[*known] = {speed.Points("seconds_per_weight_by_rows"),
                            speed.Points("seconds_per_output_by_rows"),
                            speed.Points("from_cache_seconds_per_weight_by_rows"),
                            speed.Points("from_memory_seconds_per_weight_by_rows")};
    }
  });
  ReadAttention(reader, p);
  if (reader.error()) return std::unexpected(*reader.error());
  return p;
}

}  // namespace quire
