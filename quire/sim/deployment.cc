#include "quire/sim/deployment.h"

#include <algorithm>

namespace quire {

DeploymentCosts CostsOf(const Roofline& roofline, const DeploymentOptions& options) {
  const ModelShape& model = roofline.model();
  const MachineProfile& machine = roofline.machine();
  DeploymentCosts costs;
  costs.context = options.context;
  costs.sequence_bytes = model.SequenceBytes(options.context, options.chunk_tokens);
  const double left = static_cast<double>(options.memory_bytes) -
                      static_cast<double>(model.weight_bytes + model.activation_bytes);
  costs.users = std::max<int64_t>(0, static_cast<int64_t>(left / static_cast<double>(costs.sequence_bytes)));
  costs.at_once = std::clamp<int64_t>(costs.users, 1, options.most_at_once);

  costs.prefill = roofline.Prefill(options.context, 0, options.chunk_tokens);
  costs.alone = roofline.Decode(1, options.context);
  costs.together = roofline.Decode(costs.at_once, options.context);
  const auto bytes = static_cast<double>(costs.sequence_bytes);
  costs.copy_s = bytes / machine.copy_bytes_per_s;
  if (machine.disk_write_bytes_per_s > 0) costs.disk_write_s = bytes / machine.disk_write_bytes_per_s;
  if (machine.disk_read_bytes_per_s > 0) costs.disk_read_s = bytes / machine.disk_read_bytes_per_s;
  return costs;
}

}  // namespace quire
