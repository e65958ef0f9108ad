// How fast a machine is at what inference consists of, as measured on it (`quire doctor`) and written down:
// reading memory, the products and attention of the kernels in use, and moving pages. The times of products
// and attention are those of operands in each thread's own caches: what is left when moving data costs
// nothing. How much longer they take over what comes from the last cache or from memory stands beside them.
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
  // How much longer a weight takes that comes from the last cache, or from memory: reading that multiplying
  // does not hide.
  Curve from_cache, from_memory;
};

// On one thread of all.
struct AttentionSpeed {
  // Per call of the kernel, and per key of one KV head on top of that, by rows of queries that share it.
  Curve call_seconds, seconds;
  // What a call takes longer over the keys that only some of its rows see: the end of a prompt's block.
  Curve masked_seconds;
  // How much longer they take where pages come from the last cache, or from memory.
  struct Reading {
    Curve call_seconds, seconds;
  };
  Reading from_cache, from_memory;
};

// Seconds, of calls with a number of rows.
struct AttentionCost {
  double call = 0, key = 0, masked = 0;
  double call_reading = 0, key_reading = 0;  // on top of them
};

struct MachineProfile {
  std::string name;     // of the processor
  std::string kernels;  // "avx512"
  int threads = 1;
  uint64_t memory_bytes = 0;  // that can be taken

  Curve read;               // bytes per second on all threads, by bytes that are read over and over
  double read_one = 0;      // on one thread, beyond the caches
  double cached_bytes = 0;  // as many as were read over and over for what comes "from the last cache"
  double region_s = 0;      // to hand work to all threads, with all taking part, and wait for them
  double exchange_s = 0;    // per byte that every thread reads after all threads wrote their shares of it
  // Per float, on one thread of all, by floats that are gone through one after the other.
  Curve norm;      // add, normalise and quantize
  Curve activate;  // multiply with the activated gate and quantize
  Curve rotate;    // rotate queries and keys, and store keys and values
  Curve quantize;
  double store_s = 0;  // per float of a key and value that are stored to a page beyond the caches
  double merge_s = 0;  // per float of a partial result of attention that is merged with others
  std::map<DType, ProductSpeed> products;                        // by type of weights
  std::map<DType, std::map<int, AttentionSpeed>> attention;      // by type of KV pages and head dimension
  double copy_bytes_per_s = 0;                                   // of pages inside memory
  double disk_write_bytes_per_s = 0, disk_read_bytes_per_s = 0;  // of pages; 0: not measured

  // Bytes per second for a step that reads `bytes` in all, one after the other, as the steps before it did.
  double ReadSpeed(double bytes) const { return read.At(bytes); }
  // The part of them that comes from memory, and not from the last cache.
  double MissShare(double bytes) const;
  // Of products of 64 rows with weights of `type` that find their operands in the caches; a multiplication
  // and an addition are two.
  double OperationsPerSecond(DType type) const;
  // For heads of a dimension that was not measured: between its neighbours.
  // `miss_share` of the pages come from memory, the others from the last cache.
  AttentionCost Attention(DType kv_type, int head_dim, double rows, double miss_share) const;
};

nlohmann::ordered_json ProfileJson(const MachineProfile& profile);
// `name` is the file in messages. Errors: kCorrupt, naming the key that is missing or no positive number.
Result<MachineProfile> ParseProfile(const nlohmann::json& json, const std::string& name);

}  // namespace quire

#endif  // QUIRE_SIM_MACHINE_PROFILE_H_
