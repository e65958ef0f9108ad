// The sampling flags of run and chat. Their defaults are milder than the API's: a person wants one good
// answer.
#ifndef QUIRE_CLI_SAMPLING_FLAGS_H_
#define QUIRE_CLI_SAMPLING_FLAGS_H_

#include "quire/cli/flags.h"
#include "quire/engine/request.h"

namespace quire {

struct SamplingFlags {
  SamplingFlags();
  void Add(Flags& flags);

  SamplingParams params;
};

}  // namespace quire

#endif  // QUIRE_CLI_SAMPLING_FLAGS_H_
