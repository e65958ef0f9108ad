// `quire serve MODEL`: HTTP until a signal. SIGINT and SIGTERM are blocked in every thread and taken by one
// that waits for them: the first drains, the second stops.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <thread>

#include "quire/cli/generate.h"
#include "quire/cli/runtime_flags.h"
#include "quire/cli/verb.h"
#include "quire/kernels/kernels.h"
#include "quire/server/server.h"

namespace quire {
namespace {

class ShutdownSignals {
 public:
  // REQUIRES: no other thread runs yet, so that all inherit the mask.
  ShutdownSignals() {
    sigemptyset(&set_);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    thread_ = std::thread([this] { Wait(); });
  }
  ~ShutdownSignals() {
    done_ = true;
    pthread_kill(thread_.native_handle(), SIGUSR1);
    thread_.join();
  }
  // Without a server a signal ends the process.
  void SendTo(Server* server) {
    const std::lock_guard lock(mutex_);
    server_ = server;
  }

 private:
  void Wait() {
    for (int count = 0;;) {
      int signal = 0;
      sigwait(&set_, &signal);
      if (done_) return;
      if (signal == SIGUSR1) continue;
      const std::lock_guard lock(mutex_);
      if (server_ == nullptr) std::_Exit(128 + signal);
      if (++count == 1) {
        fmt::print(stderr, "finishing the running requests; another signal stops at once\n");
        server_->Drain();
      } else {
        server_->Stop();
      }
    }
  }

  sigset_t set_{};
  std::atomic<bool> done_ = false;
  std::mutex mutex_;
  Server* server_ = nullptr;  // guarded by mutex_
  std::thread thread_;
};

class ServeVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("serve", "MODEL [flags]", "Serves a model over HTTP, in OpenAI's API.");
    HttpServerOptions& http = server_.http;
    AddModel(flags, &runtime_.model);
    flags.Add({"--host", &http.host, "ADDRESS", "address to listen on; 0.0.0.0: all of the machine"});
    flags.Add({"--port", &http.port, "N", "port to listen on; 0: a free one", {.min = 0, .max = 65535}});
    flags.Add({"--api-key", &server_.api_keys, "KEY", "wanted from clients; can be repeated"});
    flags.Add({"--api-key-file", &api_key_file_, "FILE", "the same, one key a line"});
    flags.Add({"--served-model-name", &server_.model_names, "NAME",
               "what clients call the model; can be repeated"});
    runtime_.AddMachine(flags);
    runtime_.AddEngine(flags);
    flags.Add(
        {"--cors-origin", &server_.cors_origin, "ORIGIN", "web pages from there may call; *: from anywhere"});
    AddLimits(flags);
    flags.Add({"--log-requests", &server_.log_requests, "", "a line per request on standard error"});
    flags.AddNote("Also known: --max-num-batched-tokens, --max-num-seqs, --max-model-len.");
    return flags;
  }

  Result<int> Run() override {
    QUIRE_TRY(ReadKeyFile());
    ShutdownSignals signals;
    server_.http.limits.max_body_bytes = max_body_.bytes;
    std::unique_ptr<Runtime> runtime;  // outlives the server
    QUIRE_ASSIGN(const auto server, Server::Listen(server_));
    QUIRE_ASSIGN(runtime, runtime_.Load());
    Describe(*runtime);
    runtime->engine->Start();
    server->Attach(*runtime);
    signals.SendTo(server.get());
    QUIRE_TRY(WriteOut(fmt::format("listening on http://{}:{}\n", UrlHost(), server->port())));
    server->Run();
    signals.SendTo(nullptr);
    return 0;
  }

 private:
  void AddLimits(Flags& flags) {
    HttpServerOptions& http = server_.http;
    const FlagLimits seconds{.min = 0.001, .max = 86400};
    flags.Add({"--max-body", &max_body_, "SIZE", "largest request body"});
    flags.Add({"--max-connections", &http.max_connections, "N", "more get 503", {.min = 1}});
    flags.Add(
        {"--header-timeout", &http.limits.header_timeout, "S", "seconds for a request's head", seconds});
    flags.Add({"--body-timeout", &http.limits.body_timeout, "S", "seconds for a request's body", seconds});
    flags.Add({"--idle-timeout", &http.limits.idle_timeout, "S", "seconds between requests", seconds});
    flags.Add(
        {"--write-timeout", &http.limits.write_timeout, "S", "seconds that a client may not read", seconds});
    flags.Add(
        {"--drain-timeout", &http.drain_timeout, "S", "seconds for running requests after SIGTERM", seconds});
    flags.Add({"--io-threads", &http.io_threads, "N", "threads for connections", {.min = 1, .max = 256}});
  }

  Status ReadKeyFile() {
    if (api_key_file_.empty()) return {};
    std::ifstream file(api_key_file_);
    if (!file) {
      return Fail(ErrorCode::kIo, "cannot read the key file {}: check the path and its permissions",
                  api_key_file_);
    }
    const size_t before = server_.api_keys.size();
    for (std::string line; std::getline(file, line);) {
      while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.pop_back();
      if (!line.empty()) server_.api_keys.push_back(line);
    }
    if (server_.api_keys.size() > before) return {};
    return Fail(ErrorCode::kInvalidArgument, "the key file {} has no key: write one on a line",
                api_key_file_);
  }

  static std::string Types(const LanguageModel& model) {
    std::vector<std::string> types;
    for (const KvLayout& layout : model.kv_layouts()) {
      types.push_back(fmt::format("{}, {} tokens a page", layout.name(), layout.page_tokens()));
    }
    return fmt::format("{}", fmt::join(types, "; "));
  }

  void Describe(const Runtime& runtime) const {
    const ModelInfo& model = runtime.model->info();
    fmt::print(stderr, "model    {} ({}, {:.3g} M parameters, context {})\n", model.name, model.architecture,
               static_cast<double>(model.parameters) / 1e6, model.context_length);
    fmt::print(stderr, "kernels  {}, {} threads{}\n", BestKernels().name, runtime.pool->threads(),
               ComputingNote(runtime_.options.exact, runtime_.options.fast_prefill,
                             runtime_.options.fast_prefill_copy));
    fmt::print(stderr, "memory   {}\n", runtime.kv_memory_reason);
    if (runtime.model->kv_layouts().size() > 1) fmt::print(stderr, "types    {}\n", Types(*runtime.model));
    if (!runtime.chat_template) fmt::print(stderr, "chat     {}\n", runtime.chat_template_missing);
  }

  std::string UrlHost() const {
    const std::string& host = server_.http.host;
    return host.find(':') == std::string::npos ? host : "[" + host + "]";
  }

  RuntimeFlags runtime_;
  ServerOptions server_;
  ByteSize max_body_{server_.http.limits.max_body_bytes};
  std::string api_key_file_;
};

}  // namespace

std::unique_ptr<Verb> MakeServe() { return std::make_unique<ServeVerb>(); }

}  // namespace quire
