// A verb of the program: `quire serve`, `quire run`, ... One file each, which ends in the function that makes
// it; main.cc has the table.
#ifndef QUIRE_CLI_VERB_H_
#define QUIRE_CLI_VERB_H_

#include <memory>
#include <string>
#include <string_view>

#include "quire/base/result.h"
#include "quire/cli/flags.h"

namespace quire {

class Verb {
 public:
  virtual ~Verb() = default;
  // The targets of the flags are members of the verb.
  virtual Flags MakeFlags() = 0;
  // Does the work and returns the exit code of the program.
  virtual Result<int> Run() = 0;
};

struct VerbRow {
  std::string_view name;
  std::string_view summary;
  std::unique_ptr<Verb> (*make)();
};

std::unique_ptr<Verb> MakeBatch();
std::unique_ptr<Verb> MakeBench();
std::unique_ptr<Verb> MakeBenchKv();
std::unique_ptr<Verb> MakeBenchReplay();
std::unique_ptr<Verb> MakeBenchSaliency();
std::unique_ptr<Verb> MakeBenchSix();
std::unique_ptr<Verb> MakeBenchTrace();
std::unique_ptr<Verb> MakeBenchTurns();
std::unique_ptr<Verb> MakeChat();
std::unique_ptr<Verb> MakeDoctor();
std::unique_ptr<Verb> MakeInspect();
std::unique_ptr<Verb> MakeList();
std::unique_ptr<Verb> MakePlan();
std::unique_ptr<Verb> MakePull();
std::unique_ptr<Verb> MakeRun();
std::unique_ptr<Verb> MakeServe();
std::unique_ptr<Verb> MakeTop();
std::unique_ptr<Verb> MakeTune();

}  // namespace quire

#endif  // QUIRE_CLI_VERB_H_
