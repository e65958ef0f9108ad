#include "quire/cli/advice.h"

#include <fmt/format.h>

#include "quire/base/byte_size.h"

namespace quire {
namespace {

using Advices = std::vector<Advice>;

void AboutProcessor(const Findings& f, Advices& out) {
  if (f.kernels != f.best_kernels) {
    out.push_back(
        {fmt::format("QUIRE_FORCE_ISA has chosen the {} kernels where the {} ones can run, which are faster",
                     f.kernels, f.best_kernels),
         "unset QUIRE_FORCE_ISA"});
  }
  if (!f.features.RunsAvx2Kernels()) {
    out.push_back(
        {"the processor or the system offers no AVX2: everything runs on the generic kernels, at a small "
         "part of the usual speed",
         "use a machine with AVX2; in a virtual machine, pass the host's processor through"});
  } else if (!f.features.RunsAvx512Kernels()) {
    out.push_back(
        {"there is no AVX-512 with VNNI: prompts are computed at about half the speed per core that such "
         "processors reach",
         "nothing to set; for long prompts choose a machine with it (Intel since 2019, AMD Zen 4)"});
  }
  if (!f.machine.governor.empty() && f.machine.governor == "powersave" && !f.machine.virtual_machine) {
    out.push_back({"the frequency governor is powersave: cores may stay at a low clock",
                   "as root: cpupower frequency-set -g performance"});
  }
}

void AboutSharing(const Findings& f, Advices& out) {
  if (f.threads > f.usable_cpus) {
    out.push_back({fmt::format("{} threads share {} processors: they wait for each other at every layer",
                               f.threads, f.usable_cpus),
                   fmt::format("use --threads {} or less", f.usable_cpus)});
  }
  if (f.usable_cpus < f.machine.online_cpus) {
    out.push_back(
        {fmt::format("only {} of {} processors may be used: an affinity mask or a cgroup quota says so",
                     f.usable_cpus, f.machine.online_cpus),
         "raise the limit of the container or service, if that is not intended"});
  }
  if (f.machine.load > 0.5 * f.machine.online_cpus) {
    out.push_back({fmt::format("the load is {:.1f} on {} processors: other programs compete for them",
                               f.machine.load, f.machine.online_cpus),
                   "stop them, or measure again when the machine is quiet"});
  }
  if (f.machine.steal_share.value_or(0) > 0.02) {
    out.push_back({fmt::format("the host has taken {:.0f} % of this virtual machine's processor time",
                               *f.machine.steal_share * 100),
                   "choose a machine with processors of its own"});
  }
}

void AboutMemory(const Findings& f, Advices& out) {
  if (f.machine.huge_pages == "never") {
    out.push_back({"huge pages are off: address translation slows down reading weights and KV pages",
                   "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"});
  }
  if (f.machine.swap_used_bytes > (uint64_t{256} << 20)) {
    out.push_back({fmt::format("{} are swapped out: memory is short, and swapped pages are very slow",
                               FormatByteSize(f.machine.swap_used_bytes)),
                   "stop what takes the memory, or give the server less with --kv-memory"});
  }
  if (f.available_bytes < (uint64_t{1} << 30)) {
    out.push_back({fmt::format("only {} of memory can be taken: little is left for KV pages",
                               FormatByteSize(f.available_bytes)),
                   "stop other programs, or raise the memory limit"});
  }
  if (f.threads > 1 && f.read_one > 0 && f.read_all < 1.2 * f.read_one) {
    out.push_back(
        {"all threads together read hardly faster than one: memory, not the processor, limits decoding",
         "choose smaller weights (Q4_0, Q4_K_M); more threads will not help decoding"});
  }
}

void AboutCache(const Findings& f, Advices& out) {
  if (f.cache.over_network) {
    out.push_back(
        {fmt::format("the model cache is on {}, a network or user-space file system: models load slowly",
                     f.cache.file_system),
         "set QUIRE_CACHE to a folder on a local disk"});
  }
  if (f.cache.in_memory) {
    out.push_back(
        {"the model cache is in memory (tmpfs): pulled models take memory away and go with a restart",
         "set QUIRE_CACHE to a folder on a disk"});
  }
  if (f.cache.free_bytes < (uint64_t{2} << 30)) {
    out.push_back(
        {fmt::format("the disk of the model cache has only {} free", FormatByteSize(f.cache.free_bytes)),
         "make room, or set QUIRE_CACHE to another disk"});
  }
}

void AboutModel(const Findings& f, Advices& out) {
  const ModelReport& model = *f.model;
  const auto weights = static_cast<uint64_t>(model.all.bytes);
  if (!model.refusal.empty()) {
    out.push_back({"this model cannot run: " + model.refusal, "choose another model or another file of it"});
    return;
  }
  if (weights > f.available_bytes) {
    out.push_back({fmt::format("the weights take {} and {} are free: loading will fail",
                               FormatByteSize(weights), FormatByteSize(f.available_bytes)),
                   "choose a smaller quantization or model, or free memory"});
  } else if (!model.needs.empty() &&
             weights + static_cast<uint64_t>(model.needs[0].bytes) > f.available_bytes) {
    out.push_back(
        {fmt::format("one sequence of the whole context ({} tokens) needs {} of KV beside the weights, "
                     "more than is free",
                     model.needs[0].tokens, FormatByteSize(static_cast<uint64_t>(model.needs[0].bytes))),
         "set a smaller --max-context"});
  }
  int64_t plain = 0;
  for (const char* type : {"F32", "F16", "BF16"}) {
    const auto it = model.types.find(type);
    if (it != model.types.end()) plain += it->second.bytes;
  }
  if (plain * 2 > model.all.bytes && model.all.bytes > (int64_t{1} << 30)) {
    out.push_back({"the weights are not quantized: every token reads two to eight times the bytes",
                   "use a Q8_0 or Q4_K_M file of the same model"});
  }
}

}  // namespace

std::vector<Advice> GiveAdvice(const Findings& found) {
  Advices advice;
  AboutProcessor(found, advice);
  AboutSharing(found, advice);
  AboutMemory(found, advice);
  AboutCache(found, advice);
  if (found.model) AboutModel(found, advice);
  return advice;
}

}  // namespace quire
