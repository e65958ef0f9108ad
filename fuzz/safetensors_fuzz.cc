// Any bytes as a safetensors file: an error in one line, or tensors that can all be read.
#include <span>

#include "fuzz/fuzz_checks.h"
#include "quire/files/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = quire::SafetensorsFile::Parse(std::as_bytes(std::span(data, size)), "fuzz.safetensors");
  if (!file) {
    quire::CheckMessage(file.error(), "fuzz.safetensors: ");
    return 0;
  }
  for (const auto& [name, view] : file->tensors) quire::CheckTensor(view);
  return 0;
}
