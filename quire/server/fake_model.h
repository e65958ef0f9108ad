// A model for tests of the server: a tokenizer of bytes, a chat template, and an engine that speaks one token
// per beat, decided by prompt and seed alone. No weights, no arithmetic.
#ifndef QUIRE_SERVER_FAKE_MODEL_H_
#define QUIRE_SERVER_FAKE_MODEL_H_

#include <chrono>
#include <memory>

#include "quire/engine/runtime.h"

namespace quire {

struct FakeOptions {
  std::chrono::microseconds beat{200};
  int64_t max_queue = 4096;  // requests in the engine; beyond: kResourceExhausted
  int64_t context = 4096;
};

// Token ids: 0 to 255 are bytes, 256 is "<|end|>", which ends an answer that nothing else ended after 40
// tokens. A prompt that contains "crash" gets an error after three tokens.
Runtime FakeRuntime(const FakeOptions& options);

}  // namespace quire

#endif  // QUIRE_SERVER_FAKE_MODEL_H_
