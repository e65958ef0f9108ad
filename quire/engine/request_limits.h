// What a request may ask of an engine: checked once, at Submit, on the thread of the one who asks.
#ifndef QUIRE_ENGINE_REQUEST_LIMITS_H_
#define QUIRE_ENGINE_REQUEST_LIMITS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/engine/request.h"
#include "quire/kv/kv_cache.h"

namespace quire {

// Of requests that have KV pages of a type.
struct KvTypeLimits {
  std::string name;          // as requests ask for it
  int64_t pool_context = 0;  // the most tokens of one sequence that the page pool holds
};

struct RequestLimits {
  int vocab_size = 0;
  int64_t context = 0;                      // longest prompt plus output
  std::vector<KvTypeLimits> kv_types = {};  // by layout of the cache
  uint64_t pool_bytes = 0;
  int max_samples = 1;  // largest n
  bool has_tokenizer = false;
};

inline constexpr int kMaxLogprobs = 20;
inline constexpr int kMaxSamples = 128;  // of one request

// Sets what the pool allows, for prompts in chunks of `chunk_tokens` and at most the context.
void SizePool(RequestLimits& limits, const KvCache& cache, int64_t chunk_tokens);

// Errors: kInvalidArgument, naming the parameter and its range.
Status CheckSampling(const SamplingParams& params, const RequestLimits& limits);

// The layout of the pages that a request has with this type; the first without. Errors: kInvalidArgument,
// with the types there are.
Result<int> FindKvLayout(std::string_view kv_type, const RequestLimits& limits);

// The most tokens the request may generate. Errors: kInvalidArgument with the numbers when prompt and output
// are too long for the context or the pool; those of FindKvLayout.
Result<int64_t> OutputLimit(const Request& request, const RequestLimits& limits);

}  // namespace quire

#endif  // QUIRE_ENGINE_REQUEST_LIMITS_H_
