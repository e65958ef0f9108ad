// The server around the fake model, for tests that need a process: fake_server [--port=N] [--api-key=K] ...
// It takes the flags of `quire serve` that those tests use.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

#include "quire/server/fake_model.h"
#include "quire/server/server.h"

namespace {

struct Flags {
  quire::ServerOptions server;
  quire::FakeOptions model;
  int load_ms = 0;
};

Flags ReadFlags(int argc, char** argv) {
  Flags flags;
  flags.server.http.port = 0;
  flags.server.model_names = {"fake"};
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    const std::string value(equals == argument.npos ? "" : argument.substr(equals + 1));
    const std::chrono::milliseconds ms(atoll(value.c_str()));
    auto& http = flags.server.http;
    if (name == "--port") http.port = atoi(value.c_str());
    if (name == "--api-key") flags.server.api_keys.push_back(value);
    if (name == "--cors-origin") flags.server.cors_origin = value;
    if (name == "--served-model-name") flags.server.model_names = {value};
    if (name == "--max-body-bytes") http.limits.max_body_bytes = atoll(value.c_str());
    if (name == "--max-unread-bytes") http.limits.max_unread_bytes = atoll(value.c_str());
    if (name == "--max-connections") http.max_connections = atoi(value.c_str());
    if (name == "--header-timeout-ms") http.limits.header_timeout = ms;
    if (name == "--body-timeout-ms") http.limits.body_timeout = ms;
    if (name == "--idle-timeout-ms") http.limits.idle_timeout = ms;
    if (name == "--write-timeout-ms") http.limits.write_timeout = ms;
    if (name == "--drain-timeout-ms") http.drain_timeout = ms;
    if (name == "--max-queue") flags.model.max_queue = atoll(value.c_str());
    if (name == "--beat-us") flags.model.beat = std::chrono::microseconds(atoll(value.c_str()));
    if (name == "--load-ms") flags.load_ms = atoi(value.c_str());
    if (name == "--log-requests") flags.server.log_requests = true;
  }
  return flags;
}

}  // namespace

int main(int argc, char** argv) {
  const Flags flags = ReadFlags(argc, argv);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  quire::Runtime runtime = quire::FakeRuntime(flags.model);
  auto server = quire::Server::Listen(flags.server);
  if (!server) {
    fprintf(stderr, "%s\n", server.error().message.c_str());
    return 1;
  }
  printf("listening on http://127.0.0.1:%d\n", (*server)->port());
  fflush(stdout);
  runtime.engine->Start();
  std::this_thread::sleep_for(std::chrono::milliseconds(flags.load_ms));
  (*server)->Attach(runtime);

  std::thread([&server = **server, signals] {
    int signal = 0;
    sigwait(&signals, &signal);
    server.Drain();
    sigwait(&signals, &signal);
    server.Stop();
  }).detach();
  (*server)->Run();
  _Exit(0);
}
