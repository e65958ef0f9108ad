// What the processor packages have used, by the counters of Intel and AMD that the system shows below
// /sys/class/powercap. Virtual machines and most systems without privileges do not show them.
#ifndef QUIRE_CLI_ENERGY_METER_H_
#define QUIRE_CLI_ENERGY_METER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace quire {

class EnergyMeter {
 public:
  // Everything is read below `root`, so tests can show another machine.
  explicit EnergyMeter(const std::string& root = "");

  // Joules of all packages since the meter was made or last asked; nothing where a counter cannot be read.
  std::optional<double> Take();

 private:
  struct Package {
    std::string counter;  // file, in microjoules
    uint64_t range = 0;   // it begins anew behind this
    uint64_t last = 0;
  };
  std::vector<Package> packages_;
};

}  // namespace quire

#endif  // QUIRE_CLI_ENERGY_METER_H_
