#include "quire/kv/layer_types.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "quire/base/parse_number.h"
#include "quire/kernels/kv_codec.h"

namespace quire {
namespace {

Result<DType> ParseType(std::string_view text) {
  if (const auto type = FindKvType(text)) return *type;
  return Fail(ErrorCode::kInvalidArgument, "'{}' is no type of KV pages; choose {}", text,
              fmt::join(KvTypeNames(), ", "));
}

// What stands before the next `mark`, which is taken away with it.
std::string_view TakeUntil(std::string_view& text, char mark) {
  const size_t end = std::min(text.find(mark), text.size());
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return taken;
}

std::string LayersText(int first, int last) {
  return first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
}

}  // namespace

Result<LayerTypes::Range> LayerTypes::ParseRange(std::string_view text) {
  std::string_view type = text;
  std::string_view end = TakeUntil(type, '=');
  const bool single = !end.contains('-');
  const auto first = ParseNumber<int>(TakeUntil(end, '-'));
  const auto last = single ? first : ParseNumber<int>(end);
  if (!first || !last || *first < 0 || *last < *first || type.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "'{}' is no range of layers with a type; write LAYER=TYPE or FIRST-LAST=TYPE, as 0-1=f16",
                text);
  }
  QUIRE_ASSIGN(const DType parsed, ParseType(type));
  return Range{*first, *last, parsed};
}

Result<LayerTypes> LayerTypes::Parse(std::string_view text) {
  size_t ranges = std::ranges::count(text, ',');
  QUIRE_ASSIGN(LayerTypes types, ParseType(TakeUntil(text, ',')));
  for (; ranges > 0; --ranges) {
    QUIRE_ASSIGN(const Range range, ParseRange(TakeUntil(text, ',')));
    types.ranges_.push_back(range);
  }
  std::ranges::sort(types.ranges_, {}, &Range::first);
  for (size_t i = 1; i < types.ranges_.size(); ++i) {
    const Range &one = types.ranges_[i - 1], &next = types.ranges_[i];
    if (next.first > one.last) continue;
    return Fail(ErrorCode::kInvalidArgument, "layer {} is in {} and in {}; give each layer one type of pages",
                next.first, LayersText(one.first, one.last), LayersText(next.first, next.last));
  }
  return types;
}

LayerTypes LayerTypes::From(std::span<const DType> types) {
  LayerTypes from =
      *std::ranges::max_element(types, {}, [&](DType type) { return std::ranges::count(types, type); });
  for (int layer = 0; layer < std::ssize(types); ++layer) {
    const DType type = types[layer];
    if (type == from.type_) continue;
    const bool goes_on = layer > 0 && types[layer - 1] == type;
    if (!goes_on) from.ranges_.push_back({layer, layer, type});
    from.ranges_.back().last = layer;
  }
  return from;
}

Result<std::vector<DType>> LayerTypes::Of(int layers) const {
  std::vector<DType> types(static_cast<size_t>(layers), type_);
  for (const Range& range : ranges_) {
    if (range.last >= layers) {
      return Fail(ErrorCode::kInvalidArgument,
                  "'{}' gives layer {} a type of KV pages, and the model's layers are 0 to {}", Name(),
                  std::max(range.first, layers), layers - 1);
    }
    std::fill(types.begin() + range.first, types.begin() + range.last + 1, range.type);
  }
  return types;
}

std::string LayerTypes::Name() const {
  std::string name(KvTypeName(type_));
  for (const Range& range : ranges_) {
    name += fmt::format(",{}={}", LayersText(range.first, range.last), KvTypeName(range.type));
  }
  return name;
}

}  // namespace quire
