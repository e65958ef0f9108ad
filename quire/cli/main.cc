// The `quire` program: finds the verb, reads its flags, runs it, and turns what went wrong into one sentence.
// Exit codes: 0, 1 for an error, 2 for a command line, variable or configuration file that is wrong.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "quire/cli/user_folders.h"
#include "quire/cli/verb.h"
#include "quire/kernels/cpu_features.h"

namespace quire {
namespace {

constexpr VerbRow kVerbs[] = {
    {"batch", "answer a file of requests, in the form of OpenAI's Batch API", MakeBatch},
    {"bench", "measure prefill, decode and batched decode", MakeBench},
    {"bench kv", "compare ways to keep KV: bytes, speed, answers", MakeBenchKv},
    {"bench replay", "let a model serve a recorded trace, and measure it", MakeBenchReplay},
    {"bench saliency", "show which pages of a prompt its answer leans on", MakeBenchSaliency},
    {"bench six", "memory, utilisation, latency, throughput, energy, quality", MakeBenchSix},
    {"bench trace", "write a load for bench replay that nobody recorded", MakeBenchTrace},
    {"bench turns", "ask five questions about a text, of every way to keep KV", MakeBenchTurns},
    {"chat", "talk to a model in the terminal", MakeChat},
    {"doctor", "look at this machine: what is used, what is slow, and why", MakeDoctor},
    {"inspect", "show a model's metadata and memory needs", MakeInspect},
    {"list", "list the policies and their parameters", MakeList},
    {"plan", "predict what serving a model costs, without loading it", MakePlan},
    {"pull", "download a model by its hub name or URL", MakePull},
    {"run", "generate from a prompt once", MakeRun},
    {"serve", "serve a model over HTTP, in OpenAI's API", MakeServe},
    {"top", "watch a server: its memory, by state and by owner", MakeTop},
    {"tune", "find the batch and the KV memory worth having", MakeTune},
};

constexpr int kExitError = 1;
constexpr int kExitUsage = 2;

std::string ProgramHelp() {
  std::string text =
      "usage: quire VERB ...\nRuns and serves language models on the CPU, out of paged memory.\n\n";
  for (const VerbRow& row : kVerbs) text += fmt::format("  {:<16}{}\n", row.name, row.summary);
  return text + "\n  quire VERB --help shows a verb's flags, quire --version the version.\n";
}

int Complain(const Error& error, int exit_code) {
  std::fflush(stdout);
  fmt::print(stderr, "quire: {}\n", error.message);
  return exit_code;
}

const VerbRow* FindVerb(std::string_view name) {
  for (const VerbRow& row : kVerbs) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string VerbNames() {
  std::string names;
  for (const VerbRow& row : kVerbs) names += (names.empty() ? "" : ", ") + std::string(row.name);
  return names;
}

// Every section must be a verb and every key one of its flags, also those of verbs that do not run now: a
// misspelt key is found when it is written, not when it is missed.
Status CheckConfig(const ConfigFile& file) {
  for (const auto& [name, section] : file.sections) {
    const VerbRow* row = FindVerb(name);
    if (row == nullptr) {
      return Fail(ErrorCode::kInvalidArgument, "unknown section [{}] in {}: sections are verbs ({})", name,
                  file.path, VerbNames());
    }
    const auto known = row->make()->MakeFlags().ConfigKeys();
    for (const auto& [key, values] : section) {
      if (known.contains(key)) continue;
      return Fail(ErrorCode::kInvalidArgument, "unknown key '{}' in [{}] of {}; see quire {} --help", key,
                  name, file.path, name);
    }
  }
  return {};
}

Status ReadFlags(Flags& flags, const std::string& verb, const std::vector<std::string>& arguments) {
  QUIRE_TRY(flags.Parse(arguments, GetEnvironment));
  if (flags.help_wanted()) return {};
  const std::string path = flags.config_file().empty() ? DefaultConfigFile() : flags.config_file();
  if (!path.empty()) {
    QUIRE_ASSIGN(ConfigFile file, ReadConfigFile(path));
    QUIRE_TRY(CheckConfig(file));
    QUIRE_TRY(flags.ApplyConfig(file.sections[verb], path));
  }
  return flags.CheckRequired();
}

int RunVerb(const VerbRow& row, const std::vector<std::string>& arguments) {
  const auto verb = row.make();
  Flags flags = verb->MakeFlags();
  if (auto read = ReadFlags(flags, std::string(row.name), arguments); !read) {
    return Complain(read.error(), kExitUsage);
  }
  if (flags.help_wanted()) {
    fmt::print("{}", flags.Help());
    return 0;
  }
  auto code = verb->Run();
  return code ? *code : Complain(code.error(), kExitError);
}

// The kernels need AVX2; `generic` runs everywhere but is far too slow to be chosen silently.
Status CheckProcessor() {
  CpuFeatures features = DetectCpuFeatures();
  if (GetEnvironment("QUIRE_ASSUME_NO_AVX2")) features.avx2 = false;
  if (features.RunsAvx2Kernels() || GetEnvironment("QUIRE_FORCE_ISA") == "generic") return {};
  return Fail(
      ErrorCode::kUnsupported,
      "this processor, or the system on it, does not offer AVX2, FMA and F16C, which Quire needs: use an "
      "x86-64 machine with AVX2 (2013 or later), or set QUIRE_FORCE_ISA=generic to run very slowly");
}

// A mapped file that gets shorter, or whose disk fails, raises SIGBUS where it is read: there is no going on,
// but a sentence.
void OnBusError(int) {
  constexpr std::string_view kSentence =
      "\nquire: a model file was cut short, or its disk failed, while it was in use; restore it and start "
      "again\n";
  if (write(STDERR_FILENO, kSentence.data(), kSentence.size()) < 0) _exit(kExitError);
  _exit(kExitError);
}

int Main(const std::vector<std::string>& arguments) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error of that write, not the end of the program
  std::signal(SIGBUS, OnBusError);
  if (auto able = CheckProcessor(); !able) return Complain(able.error(), kExitError);
  const std::string first = arguments.empty() ? "" : arguments[0];
  if (first == "--version" || first == "version") {
    fmt::print("quire {}\n", QUIRE_VERSION);
    return 0;
  }
  if (first == "--help" || first == "-h" || first == "help") {
    fmt::print("{}", ProgramHelp());
    return 0;
  }
  // A verb may have two words.
  const VerbRow* row = arguments.size() > 1 ? FindVerb(first + " " + arguments[1]) : nullptr;
  const int words = row == nullptr ? 1 : 2;
  if (row == nullptr) row = FindVerb(first);
  if (row == nullptr) {
    const std::string what =
        first.empty() ? "a verb is missing" : fmt::format("there is no verb '{}'", first);
    return Complain({ErrorCode::kInvalidArgument, fmt::format("{}; use one of: {}", what, VerbNames())},
                    kExitUsage);
  }
  return RunVerb(*row, {arguments.begin() + words, arguments.end()});
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) {
  try {
    return quire::Main({argv + 1, argv + argc});
  } catch (const std::bad_alloc&) {
    return quire::Complain({quire::ErrorCode::kResourceExhausted,
                            "the system gave no more memory; use a smaller model, context or --kv-memory"},
                           quire::kExitError);
  } catch (const std::exception& error) {
    return quire::Complain(
        {quire::ErrorCode::kInternal, fmt::format("internal error: {}; please report it", error.what())},
        quire::kExitError);
  }
}
