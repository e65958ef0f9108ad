// Invariants: every accepted tensor lies inside the file, apart from all others, has exactly the bytes of its
// shape, and is aligned to its element size.
#include "quire/files/safetensors.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "quire/files/json_text.h"
#include "quire/files/quoted.h"

namespace quire {
namespace {

using nlohmann::json;

constexpr uint64_t kMostHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr int64_t kMostElements = int64_t{1} << 56;

struct Placed {
  std::string name;
  TensorView view;
  uint64_t begin = 0;
  uint64_t end = 0;
};

class SafetensorsParser {
 public:
  SafetensorsParser(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  Result<SafetensorsFile> Parse() {
    QUIRE_ASSIGN(const json header, ReadHeader());
    for (const auto& [tensor, entry] : header.items()) {
      if (tensor == "__metadata__") continue;
      QUIRE_ASSIGN(Placed placed, ReadTensor(tensor, entry));
      placed_.push_back(std::move(placed));
    }
    QUIRE_TRY(CheckSeparate());
    QUIRE_TRY(Realign());
    for (Placed& placed : placed_) out_.tensors.emplace(std::move(placed.name), placed.view);
    return std::move(out_);
  }

 private:
  template <typename... Args>
  std::unexpected<Error> Corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    return Fail(ErrorCode::kCorrupt, "{}: {}", name_, fmt::format(format, std::forward<Args>(args)...));
  }

  Result<json> ReadHeader();
  Result<Placed> ReadTensor(const std::string& tensor, const json& entry) const;
  Result<DType> ReadType(const std::string& tensor, const json& entry) const;
  Status ReadShape(const std::string& tensor, const json& entry, TensorView& view) const;
  Status ReadPlace(const json& entry, Placed& placed) const;
  Status CheckSeparate();
  Status Realign();

  std::span<const std::byte> bytes_;
  const std::string& name_;
  std::span<const std::byte> data_;
  std::vector<Placed> placed_;
  SafetensorsFile out_;
};

Result<json> SafetensorsParser::ReadHeader() {
  uint64_t length = 0;
  if (bytes_.size() < sizeof(length)) {
    return Corrupt("the header length: expected 8 bytes, but the file has {}; it is cut short, get it again",
                   bytes_.size());
  }
  std::memcpy(&length, bytes_.data(), sizeof(length));
  const uint64_t most = std::min(kMostHeaderBytes, bytes_.size() - sizeof(length));
  if (length < 2 || length > most) {
    return Corrupt(
        "the header length: it is {}, expected 2 to {}; this is no safetensors file, or it is cut short",
        length, most);
  }
  data_ = bytes_.subspan(sizeof(length) + length);
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + sizeof(length), length);
  QUIRE_ASSIGN(json header,
               ParseJson(text, name_ + ": the header",
                         {.most_bytes = kMostHeaderBytes, .most_depth = 4, .unique_keys = true}));
  if (!header.is_object()) return Corrupt("the header: expected a JSON object of tensors");
  return header;
}

Result<Placed> SafetensorsParser::ReadTensor(const std::string& tensor, const json& entry) const {
  if (tensor.empty()) return Corrupt("the header: a tensor has an empty name, expected a name");
  if (!entry.is_object()) return Corrupt("tensor {}: expected a JSON object", Quoted(tensor));
  Placed placed;
  placed.name = tensor;
  QUIRE_ASSIGN(placed.view.type, ReadType(tensor, entry));
  QUIRE_TRY(ReadShape(tensor, entry, placed.view));
  QUIRE_TRY(ReadPlace(entry, placed));
  return placed;
}

Result<DType> SafetensorsParser::ReadType(const std::string& tensor, const json& entry) const {
  const auto type = entry.find("dtype");
  if (type == entry.end() || !type->is_string()) {
    return Corrupt("dtype of tensor {}: expected a text such as \"BF16\"", Quoted(tensor));
  }
  const auto& text = type->get_ref<const std::string&>();
  for (const DType known : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (text == Info(known).name) return known;
  }
  return Fail(ErrorCode::kUnsupported,
              "{}: dtype of tensor {}: {} is not supported, expected F32, F16 or BF16", name_, Quoted(tensor),
              Quoted(text));
}

Status SafetensorsParser::ReadShape(const std::string& tensor, const json& entry, TensorView& view) const {
  const auto shape = entry.find("shape");
  if (shape == entry.end() || !shape->is_array() || shape->size() > TensorView::kMaxRank) {
    return Corrupt("shape of tensor {}: expected an array of at most {} dimensions", Quoted(tensor),
                   TensorView::kMaxRank);
  }
  int64_t elements = 1;
  for (const json& length : *shape) {
    const uint64_t value = length.is_number_unsigned() ? length.get<uint64_t>() : 0;
    if (value < 1 || value > static_cast<uint64_t>(kMostElements / elements)) {
      return Corrupt("shape of tensor {}: expected positive integers and less than 2^56 elements in all",
                     Quoted(tensor));
    }
    view.shape[view.rank++] = static_cast<int64_t>(value);
    elements *= static_cast<int64_t>(value);
  }
  return {};
}

Status SafetensorsParser::ReadPlace(const json& entry, Placed& placed) const {
  const auto offsets = entry.find("data_offsets");
  if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2 ||
      !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned()) {
    return Corrupt("data_offsets of tensor {}: expected two offsets [begin, end]", Quoted(placed.name));
  }
  placed.begin = (*offsets)[0].get<uint64_t>();
  placed.end = (*offsets)[1].get<uint64_t>();
  if (placed.begin > placed.end || placed.end > data_.size()) {
    return Corrupt(
        "data_offsets of tensor {}: they are [{}, {}], expected a range inside the {} bytes of data; the "
        "file is "
        "cut short or damaged, get it again",
        Quoted(placed.name), placed.begin, placed.end, data_.size());
  }
  const uint64_t wanted = static_cast<uint64_t>(placed.view.rows()) * placed.view.row_bytes();
  if (placed.end - placed.begin != wanted) {
    return Corrupt("data_offsets of tensor {}: they hold {} bytes, expected the {} bytes of its shape",
                   Quoted(placed.name), placed.end - placed.begin, wanted);
  }
  placed.view.data = data_.subspan(placed.begin, wanted);
  return {};
}

Status SafetensorsParser::CheckSeparate() {
  std::ranges::sort(placed_, {}, &Placed::begin);
  for (size_t i = 1; i < placed_.size(); ++i) {
    if (placed_[i].begin < placed_[i - 1].end) {
      return Corrupt("data_offsets of tensor {}: it begins inside the data of {}, expected separate data",
                     Quoted(placed_[i].name), Quoted(placed_[i - 1].name));
    }
  }
  return {};
}

bool Misaligned(const TensorView& view) {
  return reinterpret_cast<uintptr_t>(view.data.data()) % Info(view.type).block_bytes != 0;
}

Status SafetensorsParser::Realign() {
  constexpr size_t kStep = sizeof(float);
  const auto padded = [](const TensorView& view) { return (view.data.size() + kStep - 1) / kStep * kStep; };
  size_t bytes = 0;
  for (const Placed& placed : placed_) bytes += Misaligned(placed.view) ? padded(placed.view) : 0;
  if (bytes == 0) return {};
  QUIRE_ASSIGN(out_.realigned, AlignedBuffer::Allocate(bytes));
  std::byte* to = out_.realigned.data();
  for (Placed& placed : placed_) {
    if (!Misaligned(placed.view)) continue;
    const std::span<const std::byte> from = placed.view.data;
    std::memcpy(to, from.data(), from.size());
    placed.view.data = {to, from.size()};
    to += padded(placed.view);
  }
  return {};
}

}  // namespace

Result<SafetensorsFile> SafetensorsFile::Parse(std::span<const std::byte> bytes, const std::string& name) {
  return SafetensorsParser(bytes, name).Parse();
}

Result<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  QUIRE_ASSIGN(MappedFile file, MappedFile::Open(path));
  QUIRE_ASSIGN(SafetensorsFile safetensors, Parse(file.bytes(), path));
  safetensors.file = std::move(file);
  return safetensors;
}

}  // namespace quire
