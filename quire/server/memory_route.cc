#include "quire/server/memory_route.h"

#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "quire/base/byte_size.h"
#include "quire/server/api_error.h"
#include "quire/server/json_body.h"
#include "quire/server/json_fields.h"

namespace quire {

using nlohmann::ordered_json;

namespace {

ordered_json RequestJson(const RequestMemory& request) {
  return {{"id", request.id},
          {"tenant", request.tenant},
          {"kv_type", request.kv_type},
          {"state", request.running ? "running" : "waiting"},
          {"sequences", request.sequences},
          {"age_seconds", request.age_s},
          {"prompt_tokens", request.prompt_tokens},
          {"cached_tokens", request.cached_tokens},
          {"output_tokens", request.output_tokens},
          {"own_bytes", request.own_bytes},
          {"shared_bytes", request.shared_bytes}};
}

// What the requests of every tenant hold; a page that two of them share counts for both.
ordered_json TenantsJson(const std::vector<RequestMemory>& requests) {
  struct Sum {
    int64_t requests = 0, own_bytes = 0, shared_bytes = 0;
  };
  std::map<std::string, Sum> sums;
  for (const RequestMemory& request : requests) {
    Sum& sum = sums[request.tenant];
    ++sum.requests;
    sum.own_bytes += request.own_bytes;
    sum.shared_bytes += request.shared_bytes;
  }
  ordered_json tenants = ordered_json::array();
  for (const auto& [tenant, sum] : sums) {
    tenants.push_back({{"tenant", tenant},
                       {"requests", sum.requests},
                       {"own_bytes", sum.own_bytes},
                       {"shared_bytes", sum.shared_bytes}});
  }
  return tenants;
}

ordered_json TypesJson(const std::vector<KvTypeMemory>& types) {
  ordered_json list = ordered_json::array();
  for (const KvTypeMemory& type : types) {
    list.push_back({{"kv_type", type.name},
                    {"page_tokens", type.page_tokens},
                    {"cached_bytes", type.usage.cached},
                    {"used_bytes", type.usage.used}});
  }
  return list;
}

// What every owner has pinned; a page that two of them pin counts for both.
ordered_json PinsJson(const MemoryReport& report) {
  ordered_json pins = ordered_json::array();
  for (const auto& [owner, sums] : report.pins) {
    pins.push_back({{"owner", owner}, {"pins", sums.pins}, {"bytes", sums.pages * report.page_bytes}});
  }
  return pins;
}

ordered_json PlaceJson(const TierUsage& place) {
  return {{"pages", place.pages},
          {"bytes", place.bytes},
          {"limit_bytes", place.limit},
          {"pages_written", place.pages_written},
          {"pages_read", place.pages_read},
          {"pages_failed", place.pages_failed},
          {"moved_bytes", place.bytes_moved},
          {"read_bytes_per_second", place.read_time.BytesPerSecond()}};
}

// A number of bytes, or a size as people write it. A share would be of what is free now, and so no size.
ApiResult<int64_t> ReadKvBytes(std::string_view text) {
  constexpr int64_t kLeast = 1 << 20;
  const auto body = ParseJsonBody(text);
  if (!body) return std::unexpected(body.error());
  JsonFields fields(*body);
  std::optional<int64_t> bytes;
  const ordered_json* const given = fields.Find("kv_bytes");
  if (given == nullptr) {
    fields.Reject("kv_bytes", "is missing; give a size, as \"2GiB\" or in bytes");
  } else if (!given->is_string()) {
    bytes = fields.Integer("kv_bytes", kLeast, std::numeric_limits<int64_t>::max());
  } else if (const auto size = ParseByteSize(given->get<std::string>(), 0); size && *size >= kLeast) {
    bytes = static_cast<int64_t>(*size);
  } else {
    fields.Reject("kv_bytes", "is no size of a megabyte or more; give one as \"2GiB\", or in bytes");
  }
  if (fields.error()) return std::unexpected(*fields.error());
  return *bytes;
}

// From the engine's thread.
void PostResponse(const std::shared_ptr<HttpExchange>& exchange, HttpResponse response) {
  exchange->Post(
      [exchange, response = std::move(response)]() mutable { exchange->Respond(std::move(response)); });
}

}  // namespace

ordered_json MemoryJson(const MemoryReport& report) {
  const KvUsage& kv = report.kv;
  ordered_json requests = ordered_json::array();
  for (const RequestMemory& request : report.requests) requests.push_back(RequestJson(request));
  ordered_json memory = {{"resident_bytes", report.resident_bytes},
                         {"weight_bytes", report.weight_bytes},
                         {"activation_bytes", report.activation_bytes},
                         {"prefix_index", {{"nodes", report.index.nodes}, {"bytes", report.index.bytes}}},
                         {"kv",
                          {{"page_tokens", report.page_tokens},
                           {"page_bytes", report.page_bytes},
                           {"limit_bytes", kv.limit},
                           {"total_bytes", kv.total},
                           {"committed_bytes", kv.committed},
                           {"free_bytes", kv.free},
                           {"cached_bytes", kv.cached},
                           {"used_bytes", kv.used},
                           {"shared_bytes", report.shared_bytes},
                           {"waste_bytes", kv.used - kv.filled},
                           {"types", TypesJson(report.types)}}},
                         {"tenants", TenantsJson(report.requests)},
                         {"requests", std::move(requests)}};
  memory["pinned_bytes"] = report.pinned_bytes;
  memory["pins"] = PinsJson(report);
  if (report.tier) {
    for (const TierUsage& place : report.tier->places) memory[std::string(place.name)] = PlaceJson(place);
    memory["moving"] = {{"restoring_bytes", report.tier->restoring_bytes},
                        {"buffer_bytes", report.tier->move_bytes}};
  }
  return memory;
}

void AnswerMemory(const ServedModel& served, std::shared_ptr<HttpExchange> exchange) {
  const bool asked = served.engine->AskMemory(
      [exchange](const MemoryReport& report) { PostResponse(exchange, JsonResponse(MemoryJson(report))); });
  if (!asked) exchange->Respond(ErrorResponse(ShuttingDown()));
}

void ResizeMemory(const ServedModel& served, const HttpRequest& request,
                  std::shared_ptr<HttpExchange> exchange) {
  const auto kv_bytes = ReadKvBytes(request.body);
  if (!kv_bytes) return exchange->Respond(ErrorResponse(kv_bytes.error()));
  const bool asked = served.engine->ResizeKv(*kv_bytes, [exchange](const Result<MemoryReport>& report) {
    PostResponse(exchange, report ? JsonResponse(MemoryJson(*report))
                                  : ErrorResponse(BadField("kv_bytes", report.error().message)));
  });
  if (!asked) exchange->Respond(ErrorResponse(ShuttingDown()));
}

}  // namespace quire
