// What would be slow or fail on a machine, why, and what to do: rules over facts, without I/O.
#ifndef QUIRE_CLI_ADVICE_H_
#define QUIRE_CLI_ADVICE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quire/cli/machine_facts.h"
#include "quire/cli/model_report.h"
#include "quire/kernels/cpu_features.h"

namespace quire {

struct Findings {
  MachineFacts machine;
  FolderFacts cache;
  CpuFeatures features;
  std::string kernels;       // those in use
  std::string best_kernels;  // the fastest that can run here
  int usable_cpus = 1;
  int threads = 1;
  uint64_t available_bytes = 0;
  double read_one = 0, read_all = 0;  // bytes per second
  double int8_ops = 0, f32_ops = 0;   // operations per second
  std::optional<ModelReport> model;
};

struct Advice {
  std::string problem;
  std::string remedy;
};

std::vector<Advice> GiveAdvice(const Findings& found);

}  // namespace quire

#endif  // QUIRE_CLI_ADVICE_H_
