// How fast a machine is at what inference consists of, as measured on it (`quire doctor`) and written down:
// reading memory, the products and attention of the kernels in use, and moving pages. The times of products
// and attention are those of operands in the caches: what is left when moving data costs nothing.
#ifndef QUIRE_SIM_MACHINE_PROFILE_H_
#define QUIRE_SIM_MACHINE_PROFILE_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "quire/base/result.h"
#include "quire/kernels/dtype.h"

namespace quire {

// Measured values between which is interpolated.
class Curve {
 public:
  Curve() = default;
  // REQUIRES: at least one point; x grows and is positive.
  explicit Curve(std::vector<std::pair<double, double>> points);

  bool empty() const { return points_.empty(); }
  const std::vector<std::pair<double, double>>& points() const { return points_; }
  // Linear between points, constant outside them.
  double At(double x) const;
  // The same, but beyond the last point proportional to x: work that grows with x.
  double Work(double x) const;

 private:
  std::vector<std::pair<double, double>> points_;
};

struct ProductSpeed {
  // On all threads, by rows of activations: per weight, and per output of the matrix on top of that.
  Curve seconds, output_seconds;
  // The part of the time to read the packed weights that multiplying does not hide, by rows.
  Curve exposed;
};

struct AttentionSpeed {
  Curve seconds;       // per key of one KV head, by rows of queries that share it, on one thread of all
  double exposed = 1;  // the part of the time to read pages, which lie apart, that attending does not hide
};

struct MachineProfile {
  std::string name;     // of the processor
  std::string kernels;  // "avx512"
  int threads = 1;
  uint64_t memory_bytes = 0;  // that can be taken

  Curve read;             // bytes per second on all threads, by bytes that are read over and over
  double read_one = 0;    // on one thread, beyond the caches
  double region_s = 0;    // to hand work to all threads and wait for them
  double norm_s = 0;      // per float: add, normalise and quantize; on one thread, as those below
  double activate_s = 0;  // per float: multiply with the activated gate and quantize
  double rotate_s = 0;    // per float: rotate queries and keys, and store keys and values
  std::map<DType, ProductSpeed> products;                        // by type of weights
  std::map<DType, std::map<int, AttentionSpeed>> attention;      // by type of KV pages and head dimension
  double copy_bytes_per_s = 0;                                   // of pages inside memory
  double disk_write_bytes_per_s = 0, disk_read_bytes_per_s = 0;  // of pages; 0: not measured

  // Bytes per second for a step that reads `bytes` in all, one after the other, as the steps before it did.
  double ReadSpeed(double bytes) const { return read.At(bytes); }
  // Of products of 64 rows with weights of `type` that find their operands in the caches; a multiplication
  // and an addition are two.
  double OperationsPerSecond(DType type) const;
  // For heads of a dimension that was not measured: between its neighbours.
  double AttentionSeconds(DType kv_type, int head_dim, double rows) const;
  double AttentionExposed(DType kv_type, int head_dim) const;
};

nlohmann::ordered_json ProfileJson(const MachineProfile& profile);
// `name` is the file in messages. Errors: kCorrupt, naming the key that is missing or no positive number.
Result<MachineProfile> ParseProfile(const nlohmann::json& json, const std::string& name);

}  // namespace quire

#endif  // QUIRE_SIM_MACHINE_PROFILE_H_
