// Runs a file of requests and writes a file of answers, see batch_line.h: many requests are in the engine at
// once, so that its scheduling can put together what belongs together, and no more of the file is in memory.
#ifndef QUIRE_SERVER_BATCH_H_
#define QUIRE_SERVER_BATCH_H_

#include <cstdint>
#include <functional>
#include <string>

#include "quire/base/result.h"
#include "quire/server/served_model.h"

namespace quire {

struct BatchProgress {
  int64_t answered = 0;           // in this run
  int64_t failed = 0;             // of those: with an error
  int64_t skipped = 0;            // were answered before
  int64_t prompt_tokens = 0;      // of the answers,
  int64_t cached_tokens = 0;      // of those: found in the cache
  int64_t completion_tokens = 0;  // and what was generated
  double read_share = 0;          // of the input
};

struct BatchOptions {
  std::string input, output;  // paths
  // Requests in the engine at once; it is filled up when half are answered, so that what comes in comes in
  // numbers.
  int64_t window = 4096;
  std::function<void(const BatchProgress&)> progress = [](const BatchProgress&) {};
};

// An output that is there is gone on with: what it answers is skipped, and a last line that is not whole is
// written anew. REQUIRES: the engine was started, and takes `window` requests.
// Errors: kIo, kNotFound, kInvalidArgument where the output is something else.
Result<BatchProgress> RunBatch(const ServedModel& served, const BatchOptions& options);

}  // namespace quire

#endif  // QUIRE_SERVER_BATCH_H_
