// What planning a step's buffers saves: memory against buffers apart from each other, and time against taking
// each from malloc for its operation and giving it back: `arena_bench MODEL [TOKENS]`.
//
// The second is the measured prefill beside the measured cost of the same sequence of malloc, first touch of
// every system page, and free; a forward pass that did so would compute the same with that on top.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "quire/base/clock.h"
#include "quire/cli/forward_bench.h"
#include "quire/cli/machine_speed.h"
#include "quire/model/config.h"
#include "quire/model/step_memory.h"
#include "quire/model/transformer.h"

namespace quire {
namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

// Operations as step_memory.cc numbers them: the first and the last once, the others for every layer.
void AllocateAsItGoes(std::span<const BufferNeed> needs, size_t layers) {
  constexpr int kLast = 9;
  constexpr size_t kSystemPage = 4096;
  std::vector<std::unique_ptr<std::byte, Free>> buffers(needs.size());
  const auto enter = [&](int operation) {
    for (size_t i = 0; i < needs.size(); ++i) {
      const bool live = (needs[i].live >> operation & 1) != 0;
      if (!live) {
        buffers[i].reset();
      } else if (!buffers[i]) {
        buffers[i].reset(static_cast<std::byte*>(std::malloc(needs[i].bytes)));
        volatile std::byte* memory = buffers[i].get();
        for (size_t at = 0; at < needs[i].bytes; at += kSystemPage) memory[at] = std::byte{1};
      }
    }
  };
  enter(0);
  for (size_t layer = 0; layer < layers; ++layer) {
    for (int operation = 1; operation < kLast; ++operation) enter(operation);
  }
  enter(kLast);
}

Status Run(const char* path, int64_t tokens) {
  QUIRE_ASSIGN(const std::shared_ptr<const ModelFiles> files, ModelFiles::Open(path));
  QUIRE_ASSIGN(ModelConfig config, ReadModelConfig(*files));
  ThreadPool pool(UsableProcessors());
  QUIRE_ASSIGN(const auto model, LoadTransformer(files, {.max_step_tokens = tokens}, BestKernels(), pool));
  config.vocab = model->info().vocab_size;
  const std::vector<BufferNeed> needs = StepMemory::Needs(config, {.int8 = true}, tokens);
  const size_t planned = PlanBuffers(needs).bytes, separate = SeparateBytes(needs);
  fmt::print("planned {} bytes, apart {}, least {}: {:.1f} % less\n", planned, separate, LeastBytes(needs),
             100 - 100.0 * static_cast<double>(planned) / static_cast<double>(separate));

  const BenchCase prompt{.prompt_tokens = tokens};
  QUIRE_ASSIGN(ForwardBench bench, ForwardBench::Create(*model, {prompt}, tokens));
  double arena_s = 1e9, malloc_s = 1e9;
  for (int round = 0; round < 5; ++round) {
    const double speed = bench.Run(prompt, 1, [] {}).tokens_per_second.front();
    arena_s = std::min(arena_s, static_cast<double>(tokens) / speed);
    malloc_s = std::min(malloc_s, FastestSeconds(0, [&] { AllocateAsItGoes(needs, config.layers.size()); }));
  }
  fmt::print("prefill of {} tokens {:.1f} ms; malloc, touch and free {:.1f} ms: {:.1f} % of both\n", tokens,
             1e3 * arena_s, 1e3 * malloc_s, 100 * malloc_s / (arena_s + malloc_s));
  return {};
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) {
  const int64_t tokens = argc == 3 ? std::atoll(argv[2]) : 512;
  if (argc < 2 || argc > 3 || tokens < 1 || tokens > 65536) {
    fmt::print(stderr, "usage: arena_bench MODEL [TOKENS]\n");
    return 2;
  }
  const auto done = quire::Run(argv[1], tokens);
  if (!done) fmt::print(stderr, "{}\n", done.error().message);
  return done ? 0 : 1;
}
