#include "quire/engine/page_format.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <span>
#include <type_traits>
#include <variant>

#include "quire/base/check.h"

namespace quire {
namespace {

constexpr size_t kSample = 4096;  // bytes of each end of a tensor
constexpr int kVersion = 1;       // of what this file hashes, and of the order of bytes inside pages

std::string Hex128(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  QUIRE_CHECK(EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha256(), nullptr) == 1);
  std::string hex;
  for (const unsigned char byte : std::span(digest).first(16)) hex += fmt::format("{:02x}", byte);
  return hex;
}

void AddSettings(const ModelFiles& files, std::string& text) {
  if (auto config = files.Json("config.json")) text += config->dump();
  for (const auto& [key, value] : files.gguf().values()) {
    std::visit(
        [&](const auto& plain) {
          if constexpr (std::is_arithmetic_v<std::decay_t<decltype(plain)>>) {
            text += fmt::format("{}={};", key, plain);
          } else if constexpr (std::is_same_v<std::decay_t<decltype(plain)>, std::string>) {
            text += fmt::format("{}={};", key, plain);
          }
        },
        value);
  }
}

void AddTensor(const std::string& name, const TensorView& tensor, std::string& text) {
  text += fmt::format("{} {} {} {};", name, static_cast<int>(tensor.type), tensor.rows(), tensor.cols());
  const size_t sample = std::min(kSample, tensor.data.size());
  for (const auto part : {tensor.data.first(sample), tensor.data.last(sample)}) {
    text.append(reinterpret_cast<const char*>(part.data()), part.size());
  }
}

void AddLayout(const KvLayout& layout, std::string& text) {
  std::vector<DType> types = layout.types();
  if (std::ranges::count(types, types.front()) == std::ssize(types)) types.resize(1);
  for (const DType type : types) text += fmt::format("{} ", static_cast<int>(type));
  text += fmt::format("{} {} {} {};", layout.page_tokens(), layout.kv_heads(), layout.head_dim(),
                      layout.page_bytes());
  for (const LayerGroup& group : layout.groups()) {
    text += fmt::format("{} {} {}:", group.first_head, group.heads, group.window);
    for (const int layer : group.layers) text += fmt::format("{},", layer);
  }
}

}  // namespace

std::string PageFormat(const ModelFiles& files, const KvLayout& layout, std::string_view computing) {
  std::string text = fmt::format("quire pages {};{};", kVersion, computing);
  AddSettings(files, text);
  AddLayout(layout, text);
  std::vector<std::string> names = files.TensorNames();
  std::ranges::sort(names);
  for (const std::string& name : names) AddTensor(name, *files.Find(name), text);
  return Hex128(text);
}

}  // namespace quire
