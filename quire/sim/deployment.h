// The four costs of serving long contexts that follow from the size of their KV (Fu, "Challenges in Deploying
// Long-Context Transformers", 2024): prefilling, how many users fit, decoding, and switching between users.
#ifndef QUIRE_SIM_DEPLOYMENT_H_
#define QUIRE_SIM_DEPLOYMENT_H_

#include <cstdint>

#include "quire/sim/roofline.h"

namespace quire {

struct DeploymentOptions {
  int64_t context = 0;        // tokens of every user
  uint64_t memory_bytes = 0;  // for weights, activations and KV
  int64_t chunk_tokens = 512;
  int64_t most_at_once = 256;  // users that decode together
};

struct DeploymentCosts {
  int64_t context = 0;
  int64_t sequence_bytes = 0;  // of KV, for each user
  int64_t users = 0;           // whose KV fits; 0 also where the weights do not
  StepCost prefill;            // of the context
  StepCost alone;              // a token of one user at the end of it
  int64_t at_once = 1;
  StepCost together;                         // a token of each of `at_once` users
  double copy_s = 0;                         // of a user's KV in memory
  double disk_write_s = 0, disk_read_s = 0;  // 0 where the disk was not measured
};

DeploymentCosts CostsOf(const Roofline& roofline, const DeploymentOptions& options);

}  // namespace quire

#endif  // QUIRE_SIM_DEPLOYMENT_H_
