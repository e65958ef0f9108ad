// `quire batch MODEL -i requests.jsonl -o results.jsonl`: a file of requests, answered as fast as the machine
// allows.
#include <fmt/format.h>

#include "quire/cli/progress.h"
#include "quire/cli/runtime_flags.h"
#include "quire/cli/verb.h"
#include "quire/server/batch.h"

namespace quire {
namespace {

class BatchVerb final : public Verb {
 public:
  BatchVerb() {
    EngineOptions& engine = runtime_.options.engine;
    engine.scheduling = "offline";
    engine.target_itl = {};         // nobody watches the tokens come
    engine.max_queue = 10'000'000;  // a line may be many requests
  }

  Flags MakeFlags() override {
    Flags flags("batch", "MODEL -i FILE -o FILE [flags]",
                "Answers a file of requests, in the form of OpenAI's Batch API.");
    AddModel(flags, &runtime_.model);
    flags.Add({"-i,--input", &batch_.input, "FILE", "requests, one JSON object a line", {}, true});
    flags.Add(
        {"-o,--output", &batch_.output, "FILE", "answers; one that is there is gone on with", {}, true});
    flags.Add({"--window", &batch_.window, "N", "requests in the engine at once", {.min = 1, .max = 1e6}});
    flags.Add({"--served-model-name", &names_, "NAME", "what requests call the model; can be repeated"});
    runtime_.AddMachine(flags);
    runtime_.AddEngine(flags);
    flags.AddNote("Lines are {\"custom_id\", \"method\": \"POST\", \"url\", \"body\"}, see docs/cli.md.");
    return flags;
  }

  Result<int> Run() override {
    QUIRE_ASSIGN(const auto runtime, runtime_.Load());
    runtime->engine->Start();
    const ServedModel served = ServedFrom(*runtime, names_);
    ProgressBar bar("answering");
    batch_.progress = [&](const BatchProgress& p) {
      bar.Set(p.read_share, fmt::format("{} answered, {} failed", p.answered, p.failed));
    };
    const TimePoint start = Clock::System().Now();
    const auto done = RunBatch(served, batch_);
    bar.Finish();
    if (!done) return std::unexpected(done.error());
    const double seconds = std::max(1e-9, Seconds(Clock::System().Now() - start));
    fmt::print(stderr, "{} answered, {} of them with an error, {} skipped, in {:.1f} s\n", done->answered,
               done->failed, done->skipped, seconds);
    fmt::print(stderr, "prompts {} tokens, {} of them from the cache; output {} tokens, {:.1f} per second\n",
               done->prompt_tokens, done->cached_tokens, done->completion_tokens,
               static_cast<double>(done->completion_tokens) / seconds);
    return done->failed == 0 ? 0 : 1;
  }

 private:
  RuntimeFlags runtime_;
  BatchOptions batch_;
  std::vector<std::string> names_;
};

}  // namespace

std::unique_ptr<Verb> MakeBatch() { return std::make_unique<BatchVerb>(); }

}  // namespace quire
