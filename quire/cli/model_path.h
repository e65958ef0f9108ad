// What a verb's MODEL may be: a file, a folder, or the name of a pulled model.
//
// Pulled models lie in the cache folder under their names: org/repo/file.gguf, org/repo/config.json and its
// neighbours, file.gguf for those pulled by URL, smollm2/file.gguf for those that Quire knows by itself.
#ifndef QUIRE_CLI_MODEL_PATH_H_
#define QUIRE_CLI_MODEL_PATH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "quire/base/result.h"

namespace quire {

// The path to open. In `model` as a name, "org/repo:TAG" chooses the GGUF file whose name has TAG in it.
// Errors: kNotFound, listing what is pulled and how to pull.
Result<std::string> ResolveModel(const std::string& model, const std::string& cache_folder);

struct PulledModel {
  std::string name;  // what ResolveModel takes
  std::string path;
  uint64_t bytes = 0;
};

// Everything in the cache, sorted by name. A folder with safetensors is one model, as is every GGUF file; of
// a split one only the first part is listed, with the bytes of all.
std::vector<PulledModel> PulledModels(const std::string& cache_folder);

// "q4_k_m" of "Llama-3.2-1B-Instruct-Q4_K_M.gguf" contains the tag "Q4_K_M": case does not matter, and a tag
// does not match inside of a longer one ("Q4_K" is not in "Q4_K_M").
bool HasTag(const std::string& file_name, const std::string& tag);

}  // namespace quire

#endif  // QUIRE_CLI_MODEL_PATH_H_
