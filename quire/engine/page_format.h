// What the bytes of a KV page mean: the name of everything they depend on beside tokens. Pages that outlive a
// process are used again only under the name they were written under.
#ifndef QUIRE_ENGINE_PAGE_FORMAT_H_
#define QUIRE_ENGINE_PAGE_FORMAT_H_

#include <string>
#include <string_view>

#include "quire/files/model_files.h"
#include "quire/kv/kv_layout.h"

namespace quire {

// 32 hexadecimal digits, of the model (its settings, and the name, type, shape and a sample of every tensor),
// the page layout, and how it is computed (`computing`: kernels and precision, since results differ in their
// last bits). Reads a few KiB of each tensor.
std::string PageFormat(const ModelFiles& files, const KvLayout& layout, std::string_view computing);

}  // namespace quire

#endif  // QUIRE_ENGINE_PAGE_FORMAT_H_
