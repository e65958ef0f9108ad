// Any bytes as a GGUF file: an error in one line, or metadata and tensors that can all be read.
#include <span>

#include "fuzz/fuzz_checks.h"
#include "quire/files/gguf.h"

namespace quire {
namespace {

// Every typed read either converts or names the key.
void ReadEveryWay(const GgufMetadata& metadata, std::string_view key) {
  const auto check = [](const auto& result) {
    if (!result) CheckMessage(result.error(), "metadata key '");
  };
  check(metadata.Integer(key));
  check(metadata.Number(key));
  check(metadata.Bool(key));
  check(metadata.String(key));
  check(metadata.Strings(key));
  check(metadata.Integers(key));
  check(metadata.Numbers(key));
}

}  // namespace
}  // namespace quire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = quire::GgufFile::Parse(std::as_bytes(std::span(data, size)), "fuzz.gguf");
  if (!file) {
    quire::CheckMessage(file.error(), "fuzz.gguf: ");
    return 0;
  }
  for (const auto& [key, value] : file->metadata.values()) quire::ReadEveryWay(file->metadata, key);
  for (const auto& [name, view] : file->tensors) quire::CheckTensor(view);
  return 0;
}
