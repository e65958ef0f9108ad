// The type of KV pages layer by layer, as users write it: a type, and after commas ranges of layers that have
// another one.
//
//   int8                        all layers
//   int4,0-1=f16,28-29=f16      the first two and, of 30, the last two keep 16 bits
#ifndef QUIRE_KV_LAYER_TYPES_H_
#define QUIRE_KV_LAYER_TYPES_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/kernels/dtype.h"

namespace quire {

class LayerTypes {
 public:
  // All layers alike. REQUIRES: IsKvType(type).
  LayerTypes(DType type) : type_(type) {}  // NOLINT: a type is one
  // Errors: kInvalidArgument, for a type that is none, a range that is none, and ranges that overlap.
  static Result<LayerTypes> Parse(std::string_view text);

  // Those of these layers: the most frequent type, and ranges of others. REQUIRES: there is a layer.
  static LayerTypes From(std::span<const DType> types);

  // By layer. Errors: kInvalidArgument where a range is of layers that the model does not have.
  Result<std::vector<DType>> Of(int layers) const;

  // As it would be written, the ranges in order.
  std::string Name() const;

 private:
  struct Range {
    int first = 0;
    int last = 0;
    DType type = DType::kF16;
  };
  static Result<Range> ParseRange(std::string_view text);

  DType type_;
  std::vector<Range> ranges_;  // in order
};

}  // namespace quire

#endif  // QUIRE_KV_LAYER_TYPES_H_
