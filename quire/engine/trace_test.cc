// Runs tests/traces/*.trace: scheduling told as text. One command a line, '#' starts a comment.
//
//   pages 8 | step_tokens 32 | sequences 4 | scheduling fcfs | windows 0 32 | prefix_caching true
//                                                            (before the first arrival)
//   arrive A prompt=40 max=20 n=2 priority=1
//   arrive B like=A:32 prompt=40 salt=x tenant=t session=s
//                                                 its first 32 tokens are those of A's prompt and answer
//   cancel A
//   step [N]
//   expect runs=A:16,B:1 pages=3 cached=2 waiting=1 preemptions=0      about the last step
//   run                                                       until nothing is left
//   finished A length | finished B length hit=32
//
// `step expect ...` on one line does both. `runs` are the tokens computed per request, all samples together;
// "-" means none, and "A|B:16" that so far the two are alike. `pages` are in use, `cached` ones are kept for
// hits, and `hit` are prompt tokens that were found.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "quire/engine/engine.h"
#include "quire/engine/hash_model.h"

namespace quire {
namespace {

class TraceRunner {
 public:
  void Run(const std::string& path) {
    std::ifstream file(path);
    ASSERT_TRUE(file.good()) << path;
    int number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      std::istringstream words(line.substr(0, line.find('#')));
      std::string word;
      if (!(words >> word)) continue;
      SCOPED_TRACE(testing::Message() << path << ":" << number << ": " << line);
      ASSERT_TRUE(Obey(word, words)) << "unknown command";
      if (testing::Test::HasFailure()) return;
    }
    Steps(10000);
    EXPECT_EQ(engine_->kv_usage().used, 0) << "pages are left at the end";
    for (const auto& [name, request] : requests_)
      EXPECT_TRUE(request.sink->finished(request.samples)) << name;
  }

 private:
  struct Submitted {
    RequestId id = 0;
    std::vector<Token> prompt;
    int samples = 1;
    std::shared_ptr<CollectingSink> sink = std::make_shared<CollectingSink>();
  };
  using Settings = std::map<std::string, std::string>;

  static Settings ReadSettings(std::istringstream& words) {
    Settings settings;
    for (std::string word; words >> word;)
      settings[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
    return settings;
  }

  bool Obey(const std::string& command, std::istringstream& words) {
    if (command == "pages") return !!(words >> pages_);
    if (command == "step_tokens") return !!(words >> options_.max_step_tokens);
    if (command == "sequences") return !!(words >> options_.max_sequences);
    if (command == "scheduling") return !!(words >> options_.scheduling);
    if (command == "prefix_caching") return !!(words >> std::boolalpha >> options_.prefix_caching);
    if (command == "windows") {
      model_options_.windows.clear();
      for (int64_t window; words >> window;) model_options_.windows.push_back(window);
      return true;
    }
    Build();
    if (command == "arrive") return Arrive(words);
    if (command == "cancel") return Cancel(words);
    if (command == "step") return Step(words);
    if (command == "run") return Steps(10000);
    if (command == "expect") return Expect(ReadSettings(words));
    if (command == "finished") return Finished(words);
    return false;
  }

  void Build() {
    if (engine_) return;
    model_ = std::make_unique<HashModel>(model_options_);
    model_->on_forward = [this](const StepPlan& plan, const PageArena& kv) {
      for (const SequenceStep& s : plan.sequences)
        runs_[NamesOf(model_->TokensOf(s, kv))] += std::ssize(s.tokens);
    };
    engine_ = Engine::Create(*model_, nullptr, model_->MakeCache(pages_), pool_, options_, clock_).value();
  }

  bool Arrive(std::istringstream& words) {
    std::string name;
    words >> name;
    const Settings settings = ReadSettings(words);
    const auto number = [&](const char* key, int value) {
      return settings.contains(key) ? std::stoi(settings.at(key)) : value;
    };
    Request request;
    // A token of its own tells a request from those it is like.
    const auto mark = static_cast<Token>(requests_.size());
    if (settings.contains("like")) request.prompt = Beginning(settings.at("like"));
    request.prompt.push_back(mark);
    request.prompt.resize(number("prompt", 1), 40);
    if (settings.contains("salt")) request.cache_salt = settings.at("salt");
    if (settings.contains("tenant")) request.tenant = settings.at("tenant");
    if (settings.contains("session")) request.session.id = settings.at("session");
    request.priority = number("priority", 0);
    request.sampling.seed = mark;
    request.sampling.max_tokens = number("max", 16);
    request.sampling.n = number("n", 1);
    Submitted& submitted = requests_[name];
    submitted.samples = request.sampling.n;
    submitted.prompt = request.prompt;
    const auto id = engine_->Submit(request, submitted.sink);
    EXPECT_TRUE(id.has_value()) << id.error().message;
    submitted.id = id.value_or(0);
    return id.has_value();
  }

  // "A:32": the first 32 tokens of what A asked and was answered.
  std::vector<Token> Beginning(const std::string& of) const {
    const size_t colon = of.find(':');
    std::vector<Token> tokens = TextOf(requests_.at(of.substr(0, colon)), 0);
    tokens.resize(std::stoi(of.substr(colon + 1)));
    return tokens;
  }

  static std::vector<Token> TextOf(const Submitted& request, int sample) {
    std::vector<Token> text = request.prompt;
    if (!request.sink->samples.contains(sample)) return text;
    const std::vector<Token>& answer = request.sink->at(sample).tokens;
    text.insert(text.end(), answer.begin(), answer.end());
    return text;
  }

  // Whose tokens these can be.
  std::string NamesOf(const std::vector<Token>& tokens) const {
    std::string names;
    for (const auto& [name, request] : requests_) {
      bool begins = false;
      for (int sample = 0; sample < request.samples; ++sample) {
        const std::vector<Token> text = TextOf(request, sample);
        begins |= std::ranges::mismatch(tokens, text).in1 == tokens.end();
      }
      if (begins) names += (names.empty() ? "" : "|") + name;
    }
    return names;
  }

  bool Cancel(std::istringstream& words) {
    std::string name;
    words >> name;
    engine_->Cancel(requests_.at(name).id);
    return true;
  }

  bool Step(std::istringstream& words) {
    int count = 1;
    std::string word;
    if (words >> word && word != "expect") count = std::stoi(word);
    Steps(count);
    return word != "expect" || Expect(ReadSettings(words));
  }

  bool Steps(int count) {
    for (int i = 0; i < count; ++i) {
      runs_.clear();
      if (!engine_->Step() && count > 1) break;
      clock_.Advance(std::chrono::milliseconds(10));
    }
    return true;
  }

  bool Expect(const Settings& settings) {
    EngineMetrics& metrics = engine_->metrics();
    for (const auto& [key, value] : settings) {
      if (key == "runs") {
        std::string runs;
        for (const auto& [name, tokens] : runs_) {
          runs += (runs.empty() ? "" : ",") + name + ":" + std::to_string(tokens);
        }
        EXPECT_EQ(runs.empty() ? "-" : runs, value);
      } else if (key == "pages") {
        const auto page_bytes = static_cast<int64_t>(model_->kv_layout().page_bytes());
        EXPECT_EQ(std::to_string(engine_->kv_usage().used / page_bytes), value) << "pages";
      } else if (key == "cached") {
        const auto page_bytes = static_cast<int64_t>(model_->kv_layout().page_bytes());
        EXPECT_EQ(std::to_string(engine_->kv_usage().cached / page_bytes), value) << "cached";
      } else if (key == "waiting") {
        EXPECT_EQ(metrics.requests_waiting.value(), std::stoi(value)) << "waiting";
      } else if (key == "preemptions") {
        EXPECT_EQ(metrics.preemptions.value(), std::stoi(value)) << "preemptions";
      } else {
        return false;
      }
    }
    return true;
  }

  bool Finished(std::istringstream& words) {
    static const std::map<std::string, FinishReason> kReasons = {{"length", FinishReason::kLength},
                                                                 {"stop", FinishReason::kStop},
                                                                 {"cancelled", FinishReason::kCancelled},
                                                                 {"error", FinishReason::kError}};
    std::string name, reason;
    words >> name >> reason;
    const Submitted& request = requests_.at(name);
    EXPECT_TRUE(request.sink->finished(request.samples)) << name;
    if (!request.sink->finished(request.samples) || !kReasons.contains(reason)) return false;
    for (int i = 0; i < request.samples; ++i) EXPECT_EQ(request.sink->reason(i), kReasons.at(reason)) << name;
    const Settings settings = ReadSettings(words);
    if (settings.contains("hit")) {
      EXPECT_EQ(std::to_string(request.sink->at(0).last->cached_tokens), settings.at("hit")) << name;
    }
    return true;
  }

  int64_t pages_ = 8;
  EngineOptions options_;
  HashModelOptions model_options_;
  ThreadPool pool_{1};
  ManualClock clock_;
  std::unique_ptr<HashModel> model_;
  std::unique_ptr<Engine> engine_;
  std::map<std::string, Submitted> requests_;
  std::map<std::string, int64_t> runs_;
};

std::vector<std::string> Traces() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(QUIRE_SOURCE_DIR "/tests/traces")) {
    if (entry.path().extension() == ".trace") paths.push_back(entry.path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

class Trace : public testing::TestWithParam<std::string> {};

TEST_P(Trace, GoesAsWritten) { TraceRunner().Run(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Files, Trace, testing::ValuesIn(Traces()),
                         [](const auto& info) { return std::filesystem::path(info.param).stem().string(); });

TEST(Traces, ThereIsOneForEveryPolicy) {
  std::set<std::string> told;
  for (const std::string& path : Traces()) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string command, policy;
      if (words >> command >> policy && command == "scheduling")
        told.insert(policy.substr(0, policy.find(':')));
    }
  }
  for (const SchedulingRow* row : SchedulingTable())
    EXPECT_TRUE(told.contains(std::string(row->name))) << row->name;
}

}  // namespace
}  // namespace quire
