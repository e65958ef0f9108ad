#include <cstring>
#include <utility>

#include "quire/tiers/page_codec.h"

// Invariant: a coded page is, part by part, the bytes the part takes (4) and those.

namespace quire {
namespace {

class PageParts final : public PageCodec {
 public:
  PageParts(const PageCodecRow& row, std::span<const PageShape> parts) {
    for (const PageShape& part : parts) parts_.push_back({part.bytes(), row.make(part)});
  }

  std::vector<std::byte> Encode(std::span<const std::byte> page) const override {
    std::vector<std::byte> coded;
    for (const Part& part : parts_) {
      const std::vector<std::byte> bytes = part.codec->Encode(page.first(part.bytes));
      const auto length = static_cast<uint32_t>(bytes.size());
      const auto* const begin = reinterpret_cast<const std::byte*>(&length);
      coded.insert(coded.end(), begin, begin + sizeof(length));
      coded.insert(coded.end(), bytes.begin(), bytes.end());
      page = page.subspan(part.bytes);
    }
    return coded;
  }

  bool Decode(std::span<const std::byte> coded, std::span<std::byte> page) const override {
    for (const Part& part : parts_) {
      uint32_t length = 0;
      if (coded.size() < sizeof(length)) return false;
      std::memcpy(&length, coded.data(), sizeof(length));
      coded = coded.subspan(sizeof(length));
      if (length > coded.size()) return false;
      if (!part.codec->Decode(coded.first(length), page.first(part.bytes))) return false;
      coded = coded.subspan(length);
      page = page.subspan(part.bytes);
    }
    return coded.empty();
  }

 private:
  struct Part {
    size_t bytes = 0;
    std::unique_ptr<PageCodec> codec;
  };
  std::vector<Part> parts_;
};

}  // namespace

std::unique_ptr<PageCodec> MakePageCodec(const PageCodecRow& row, std::span<const PageShape> parts,
                                         size_t page_bytes) {
  if (parts.size() == 1 && parts[0].bytes() == page_bytes) return row.make(parts[0]);
  return std::make_unique<PageParts>(row, parts);
}

}  // namespace quire
