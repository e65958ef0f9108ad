// Invariants: no number of the file is used before it was compared with the bytes that are really there;
// memory grows with what was read, never with what a count claims; and every accepted tensor lies inside the
// file, apart from all others, aligned to at least kLeastAlignment.
#include "quire/files/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <utility>

#include "quire/files/byte_reader.h"
#include "quire/files/quoted.h"

namespace quire {
namespace {

// Far above any real model, low enough that a hostile file cannot take much memory.
constexpr uint64_t kMostKeys = uint64_t{1} << 16;
constexpr uint64_t kMostTensors = uint64_t{1} << 17;
constexpr uint64_t kMostArrayElements = uint64_t{1} << 23;  // of all arrays together
constexpr size_t kLongestName = 65535;
constexpr int64_t kMostElements = int64_t{1} << 56;  // of one tensor: its bytes still fit in 63 bits

constexpr uint64_t kLeastKeyBytes = 8 + 4 + 1;             // length, type, the shortest value
constexpr uint64_t kLeastTensorBytes = 8 + 4 + 8 + 4 + 8;  // length, rank, one dimension, type, offset
constexpr int64_t kDefaultAlignment = 32;
constexpr int64_t kLeastAlignment = 8;

// ---- metadata values

// One value as stored, widened to what GgufValue holds.
template <typename Wide, typename Stored>
Result<Wide> ReadOne(ByteReader& in) {
  if constexpr (std::is_same_v<Stored, std::string>) {
    QUIRE_ASSIGN(const std::string_view text, in.ReadString());
    return std::string(text);
  } else if constexpr (std::is_same_v<Stored, bool>) {
    QUIRE_ASSIGN(const uint8_t byte, in.Read<uint8_t>());
    if (byte > 1) return in.Corrupt("a bool is {} at byte {}, expected 0 or 1", byte, in.position() - 1);
    return byte == 1;
  } else {
    QUIRE_ASSIGN(const Stored value, in.Read<Stored>());
    return static_cast<Wide>(value);
  }
}

template <typename Wide, typename Stored>
Result<GgufValue> ReadScalar(ByteReader& in) {
  QUIRE_ASSIGN(Wide value, (ReadOne<Wide, Stored>(in)));
  return GgufValue(std::move(value));
}

template <typename Wide, typename Stored>
Result<GgufValue> ReadArray(ByteReader& in, uint64_t count) {
  std::vector<Wide> values;
  for (uint64_t i = 0; i < count; ++i) {
    QUIRE_ASSIGN(Wide value, (ReadOne<Wide, Stored>(in)));
    values.push_back(std::move(value));
  }
  return GgufValue(std::move(values));
}

struct ValueType {
  uint64_t least_bytes;  // that one value takes in the file
  Result<GgufValue> (*scalar)(ByteReader&);
  Result<GgufValue> (*array)(ByteReader&, uint64_t count);
};

template <typename Wide, typename Stored>
constexpr ValueType Row() {
  const uint64_t least_bytes = std::is_same_v<Stored, std::string> ? sizeof(uint64_t) : sizeof(Stored);
  return {least_bytes, &ReadScalar<Wide, Stored>, &ReadArray<Wide, Stored>};
}

// Indexed by the number in the file.
constexpr uint32_t kArrayType = 9;
constexpr std::array<ValueType, 13> kValueTypes = {
    Row<uint64_t, uint8_t>(),       Row<int64_t, int8_t>(),    Row<uint64_t, uint16_t>(),
    Row<int64_t, int16_t>(),        Row<uint64_t, uint32_t>(), Row<int64_t, int32_t>(),
    Row<double, float>(),           Row<bool, bool>(),         Row<std::string, std::string>(),
    ValueType{0, nullptr, nullptr},  // kArrayType
    Row<uint64_t, uint64_t>(),      Row<int64_t, int64_t>(),   Row<double, double>(),
};

// ---- tensor types

struct TensorType {
  uint32_t id;
  std::string_view name;
  std::optional<DType> type;  // nothing: known to exist, but not computed with here
};

constexpr TensorType kTensorTypes[] = {
    {0, "F32", DType::kF32},
    {1, "F16", DType::kF16},
    {2, "Q4_0", DType::kQ4_0},
    {3, "Q4_1", DType::kQ4_1},
    {6, "Q5_0", DType::kQ5_0},
    {7, "Q5_1", DType::kQ5_1},
    {8, "Q8_0", DType::kQ8_0},
    {9, "Q8_1", {}},
    {10, "Q2_K", DType::kQ2_K},
    {11, "Q3_K", DType::kQ3_K},
    {12, "Q4_K", DType::kQ4_K},
    {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K},
    {15, "Q8_K", {}},
    {16, "IQ2_XXS", {}},
    {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},
    {19, "IQ1_S", {}},
    {20, "IQ4_NL", {}},
    {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},
    {23, "IQ4_XS", {}},
    {24, "I8", {}},
    {25, "I16", {}},
    {26, "I32", {}},
    {27, "I64", {}},
    {28, "F64", {}},
    {29, "IQ1_M", {}},
    {30, "BF16", DType::kBF16},
    {34, "TQ1_0", {}},
    {35, "TQ2_0", {}},
    {39, "MXFP4", {}},
    {40, "NVFP4", {}},
};

std::string SupportedTensorTypes() {
  std::string names;
  for (const TensorType& row : kTensorTypes) {
    if (!row.type) continue;
    if (!names.empty()) names += ' ';
    names += row.name;
  }
  return names;
}

// ---- the file, from front to back

class GgufParser {
 public:
  GgufParser(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), in_(bytes, name) {}

  Result<GgufFile> Parse() {
    QUIRE_TRY(ReadVersion());
    QUIRE_TRY(ReadCounts());
    for (uint64_t i = 0; i < keys_; ++i) QUIRE_TRY(ReadKey(i));
    QUIRE_TRY(ReadAlignment());
    for (uint64_t i = 0; i < tensors_; ++i) QUIRE_TRY(ReadTensor(i));
    QUIRE_TRY(PlaceTensors());
    return std::move(out_);
  }

 private:
  // What the header says about a tensor, before the place of the data is known.
  struct Claim {
    std::string name;
    TensorView view;
    uint64_t offset = 0;
    uint64_t size = 0;
  };

  Status ReadVersion();
  Status ReadCounts();
  Status ReadKey(uint64_t index);
  Result<GgufValue> ReadValue();
  Result<GgufValue> ReadArrayValue();
  Status ReadAlignment();
  Status ReadTensor(uint64_t index);
  Status ReadShape(TensorView& view);
  Result<DType> ReadType();
  Result<uint64_t> CheckedSize(const TensorView& view);
  Status PlaceTensors();

  std::span<const std::byte> bytes_;
  ByteReader in_;
  GgufFile out_;
  uint64_t keys_ = 0;
  uint64_t tensors_ = 0;
  uint64_t array_elements_left_ = kMostArrayElements;
  uint64_t alignment_ = kDefaultAlignment;
  std::vector<Claim> claims_;
};

Status GgufParser::ReadVersion() {
  in_.Enter("the magic number");
  QUIRE_ASSIGN(const uint32_t magic, in_.Read<uint32_t>());
  if (magic != 0x46554747) {
    return in_.Corrupt("the first four bytes are 0x{:08x}, expected the text GGUF; this is not a GGUF model",
                       std::byteswap(magic));
  }
  in_.Enter("the version");
  QUIRE_ASSIGN(out_.version, in_.Read<uint32_t>());
  const uint32_t swapped = std::byteswap(out_.version);
  if (swapped >= 1 && swapped <= 3) {
    return in_.Fail(
        ErrorCode::kUnsupported,
        "this is a big-endian GGUF file, expected little-endian; convert it with gguf_convert_endian.py");
  }
  if (out_.version != 2 && out_.version != 3) {
    return in_.Fail(ErrorCode::kUnsupported,
                    "it is {}, expected 2 or 3; get the model in a current GGUF version", out_.version);
  }
  return {};
}

Status GgufParser::ReadCounts() {
  in_.Enter("the tensor count");
  QUIRE_ASSIGN(tensors_, in_.Read<uint64_t>());
  in_.Enter("the metadata key count");
  QUIRE_ASSIGN(keys_, in_.Read<uint64_t>());
  const uint64_t most_keys = std::min(kMostKeys, in_.left() / kLeastKeyBytes);
  if (keys_ > most_keys) return in_.Corrupt("it is {}, expected at most {} in this file", keys_, most_keys);
  in_.Enter("the tensor count");
  const uint64_t most_tensors = std::min(kMostTensors, in_.left() / kLeastTensorBytes);
  if (tensors_ > most_tensors)
    return in_.Corrupt("it is {}, expected at most {} in this file", tensors_, most_tensors);
  return {};
}

Status GgufParser::ReadKey(uint64_t index) {
  in_.Enter(fmt::format("the name of metadata key {} of {}", index + 1, keys_));
  QUIRE_ASSIGN(const std::string_view key, in_.ReadString());
  if (key.empty() || key.size() > kLongestName) {
    return in_.Corrupt("it has {} bytes, expected 1 to {}", key.size(), kLongestName);
  }
  in_.Enter(fmt::format("the value of metadata key {}", Quoted(key)));
  QUIRE_ASSIGN(GgufValue value, ReadValue());
  if (!out_.metadata.values().emplace(key, std::move(value)).second) {
    return in_.Corrupt("the key is there twice, expected once");
  }
  return {};
}

Result<GgufValue> GgufParser::ReadValue() {
  QUIRE_ASSIGN(const uint32_t type, in_.Read<uint32_t>());
  if (type >= kValueTypes.size()) {
    return in_.Corrupt("its type is {}, expected 0 to {}", type, kValueTypes.size() - 1);
  }
  return type == kArrayType ? ReadArrayValue() : kValueTypes[type].scalar(in_);
}

Result<GgufValue> GgufParser::ReadArrayValue() {
  QUIRE_ASSIGN(const uint32_t type, in_.Read<uint32_t>());
  if (type >= kValueTypes.size()) {
    return in_.Corrupt("its array element type is {}, expected 0 to {}", type, kValueTypes.size() - 1);
  }
  if (type == kArrayType) {
    return in_.Fail(ErrorCode::kUnsupported, "it is an array of arrays, expected an array of plain values");
  }
  QUIRE_ASSIGN(const uint64_t count, in_.Read<uint64_t>());
  const uint64_t most = std::min(array_elements_left_, in_.left() / kValueTypes[type].least_bytes);
  if (count > most) return in_.Corrupt("the array claims {} elements, expected at most {} here", count, most);
  array_elements_left_ -= count;
  return kValueTypes[type].array(in_, count);
}

Status GgufParser::ReadAlignment() {
  in_.Enter("general.alignment");
  auto alignment = out_.metadata.Integer("general.alignment");
  if (!alignment) return in_.Corrupt("{}", alignment.error().message);
  const int64_t value = alignment->value_or(kDefaultAlignment);
  if (value < kLeastAlignment || value > std::numeric_limits<uint32_t>::max() ||
      !std::has_single_bit(static_cast<uint64_t>(value))) {
    return in_.Corrupt("it is {}, expected a power of two of at least {}", value, kLeastAlignment);
  }
  alignment_ = static_cast<uint64_t>(value);
  return {};
}

Status GgufParser::ReadTensor(uint64_t index) {
  in_.Enter(fmt::format("the name of tensor {} of {}", index + 1, tensors_));
  QUIRE_ASSIGN(const std::string_view name, in_.ReadString());
  if (name.empty() || name.size() > kLongestName) {
    return in_.Corrupt("it has {} bytes, expected 1 to {}", name.size(), kLongestName);
  }
  Claim claim;
  claim.name = name;
  in_.Enter(fmt::format("the shape of tensor {}", Quoted(name)));
  QUIRE_TRY(ReadShape(claim.view));
  in_.Enter(fmt::format("the type of tensor {}", Quoted(name)));
  QUIRE_ASSIGN(claim.view.type, ReadType());
  in_.Enter(fmt::format("the shape of tensor {}", Quoted(name)));
  QUIRE_ASSIGN(claim.size, CheckedSize(claim.view));
  in_.Enter(fmt::format("the offset of tensor {}", Quoted(name)));
  QUIRE_ASSIGN(claim.offset, in_.Read<uint64_t>());
  if (claim.offset % alignment_ != 0) {
    return in_.Corrupt("it is {}, expected a multiple of {}", claim.offset, alignment_);
  }
  claims_.push_back(std::move(claim));
  return {};
}

// The file has the innermost dimension first, a TensorView the outermost.
Status GgufParser::ReadShape(TensorView& view) {
  QUIRE_ASSIGN(const uint32_t rank, in_.Read<uint32_t>());
  if (rank < 1 || rank > TensorView::kMaxRank) {
    return in_.Corrupt("it has {} dimensions, expected 1 to {}", rank, TensorView::kMaxRank);
  }
  view.rank = static_cast<int>(rank);
  int64_t elements = 1;
  for (int i = view.rank - 1; i >= 0; --i) {
    QUIRE_ASSIGN(const uint64_t length, in_.Read<uint64_t>());
    if (length < 1 || length > static_cast<uint64_t>(kMostElements / elements)) {
      return in_.Corrupt("a dimension is {}, expected at least 1 and less than 2^56 elements in all", length);
    }
    view.shape[i] = static_cast<int64_t>(length);
    elements *= view.shape[i];
  }
  return {};
}

Result<DType> GgufParser::ReadType() {
  QUIRE_ASSIGN(const uint32_t id, in_.Read<uint32_t>());
  const auto* row = std::ranges::find(kTensorTypes, id, &TensorType::id);
  if (row == std::end(kTensorTypes)) {
    return in_.Fail(ErrorCode::kUnsupported, "type {} is unknown, expected one of {}", id,
                    SupportedTensorTypes());
  }
  if (!row->type) {
    return in_.Fail(ErrorCode::kUnsupported,
                    "{} is not supported, expected one of {}; get the model in one of these", row->name,
                    SupportedTensorTypes());
  }
  return *row->type;
}

Result<uint64_t> GgufParser::CheckedSize(const TensorView& view) {
  const DTypeInfo& info = Info(view.type);
  if (view.cols() % info.block_elements != 0) {
    return in_.Corrupt("a row has {} elements, expected a multiple of {} for {}", view.cols(),
                       info.block_elements, info.name);
  }
  return static_cast<uint64_t>(view.rows()) * view.row_bytes();
}

Status GgufParser::PlaceTensors() {
  if (claims_.empty()) return {};
  const uint64_t start = (in_.position() + alignment_ - 1) / alignment_ * alignment_;
  const uint64_t available = start <= bytes_.size() ? bytes_.size() - start : 0;
  std::ranges::sort(claims_, {}, &Claim::offset);
  const Claim* before = nullptr;
  for (Claim& claim : claims_) {
    in_.Enter(fmt::format("the data of tensor {}", Quoted(claim.name)));
    if (claim.offset > available || claim.size > available - claim.offset) {
      return in_.Corrupt(
          "expected {} bytes at offset {}, but the file has only {} bytes of data; the file is cut short or "
          "damaged, "
          "get it again",
          claim.size, claim.offset, available);
    }
    if (before != nullptr && claim.offset < before->offset + before->size) {
      return in_.Corrupt("it begins at offset {}, inside the data of {}, expected separate data",
                         claim.offset, Quoted(before->name));
    }
    claim.view.data = bytes_.subspan(start + claim.offset, claim.size);
    if (!out_.tensors.emplace(claim.name, claim.view).second) {
      return in_.Corrupt("the name is there twice, expected once");
    }
    before = &claim;
  }
  return {};
}

}  // namespace

Result<GgufFile> GgufFile::Parse(std::span<const std::byte> bytes, const std::string& name) {
  return GgufParser(bytes, name).Parse();
}

Result<GgufFile> GgufFile::Open(const std::string& path) {
  QUIRE_ASSIGN(MappedFile file, MappedFile::Open(path));
  QUIRE_ASSIGN(GgufFile gguf, Parse(file.bytes(), path));
  gguf.file = std::move(file);
  return gguf;
}

}  // namespace quire
