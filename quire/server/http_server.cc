#include "quire/server/http_server.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "quire/server/connection.h"

// Invariants: connections_ holds every connection that is not over. The work guard is given up when draining
// has left no connection; then the I/O threads run out of work and end.

namespace quire {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
// Connections beyond the limit that may be told so at the same time.
constexpr int kMaxRefusals = 64;
// Files that the process needs beside its connections.
constexpr rlim_t kOtherFiles = 64;

// Every connection is a file: asks the system for as many as it gives, and says how many connections that is.
int RaiseFileLimit(int connections) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return connections;
  const rlim_t wanted = static_cast<rlim_t>(connections) + kOtherFiles;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min(wanted, limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= wanted) return connections;
  return static_cast<int>(std::max<rlim_t>(limit.rlim_cur, kOtherFiles + 1) - kOtherFiles);
}

class AsioServer final : public HttpServer {
 public:
  AsioServer(const HttpServerOptions& options, HttpHandler& handler)
      : options_(options),
        handler_(handler),
        max_connections_(RaiseFileLimit(options.max_connections)),
        context_(options.io_threads),
        control_(asio::make_strand(context_)),
        work_(context_.get_executor()),
        acceptor_(control_),
        drain_timer_(control_) {}

  ~AsioServer() override {
    Stop();
    Wait();
  }

  Status Bind() {
    error_code error;
    tcp::resolver resolver(context_);
    const auto found =
        resolver.resolve(options_.host, std::to_string(options_.port), tcp::resolver::passive, error);
    if (error || found.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "cannot listen on {}: {}; give an address of this machine",
                  options_.host, error.message());
    }
    const tcp::endpoint endpoint = *found.begin();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return Fail(ErrorCode::kIo,
                  "cannot listen on {} port {}: {}; choose another port or end the program that has it",
                  options_.host, options_.port, error.message());
    }
    port_ = acceptor_.local_endpoint(error).port();
    return {};
  }

  void Start() {
    asio::co_spawn(control_, [this] { return Accept(); }, asio::detached);
    for (int i = 0; i < options_.io_threads; ++i) {
      threads_.emplace_back([this] { context_.run(); });
    }
  }

  int port() const override { return port_; }

  int connections() const override {
    std::lock_guard lock(mutex_);
    return static_cast<int>(connections_.size());
  }

  void Drain() override {
    asio::post(control_, [this] {
      CloseAcceptor();
      for (const auto& connection : Open()) connection->Drain();
      drain_timer_.expires_after(options_.drain_timeout);
      drain_timer_.async_wait([this](error_code error) {
        if (!error) Stop();
      });
      GiveUpWorkWhenDone();
    });
  }

  void Stop() override {
    asio::post(control_, [this] {
      CloseAcceptor();
      for (const auto& connection : Open()) connection->Close();
      GiveUpWorkWhenDone();
    });
  }

  void Wait() override {
    std::lock_guard lock(wait_mutex_);
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  asio::awaitable<void> Accept() {
    while (acceptor_.is_open()) {
      auto [error, socket] = co_await acceptor_.async_accept(asio::make_strand(context_), kAwait);
      if (!error) {
        Welcome(std::move(socket));
      } else if (acceptor_.is_open()) {
        // Out of files or memory: what is open goes on, and may end.
        asio::steady_timer pause(control_, std::chrono::milliseconds(50));
        co_await pause.async_wait(kAwait);
      }
    }
  }

  void Welcome(Connection::Socket socket) {
    auto self = std::make_shared<std::weak_ptr<Connection>>();
    auto connection = std::make_shared<Connection>(
        std::move(socket), options_.limits, handler_,
        [this, self] { asio::post(control_, [this, gone = self->lock()] { Forget(gone); }); });
    *self = connection;
    const int open = connections();
    if (open >= max_connections_ + kMaxRefusals) return;
    {
      std::lock_guard lock(mutex_);
      connections_.insert(connection);
    }
    if (open < max_connections_) {
      connection->Start();
    } else {
      connection->StartRefusal(
          503, fmt::format("all {} connections are taken; try again later", max_connections_));
    }
  }

  void Forget(const std::shared_ptr<Connection>& connection) {
    {
      std::lock_guard lock(mutex_);
      connections_.erase(connection);
    }
    GiveUpWorkWhenDone();
  }

  std::vector<std::shared_ptr<Connection>> Open() const {
    std::lock_guard lock(mutex_);
    return {connections_.begin(), connections_.end()};
  }

  void CloseAcceptor() {
    error_code ignored;
    acceptor_.close(ignored);
  }

  void GiveUpWorkWhenDone() {
    if (acceptor_.is_open() || connections() > 0) return;
    drain_timer_.cancel();
    work_.reset();
  }

  const HttpServerOptions options_;
  HttpHandler& handler_;
  const int max_connections_;
  int port_ = 0;
  asio::io_context context_;
  Connection::Executor control_;  // for everything here but connections()
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::basic_socket_acceptor<tcp, Connection::Executor> acceptor_;
  asio::steady_timer drain_timer_;
  mutable std::mutex mutex_;  // guards connections_
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  std::mutex wait_mutex_;  // guards threads_
  std::vector<std::thread> threads_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(const HttpServerOptions& options,
                                                       HttpHandler& handler) {
  auto server = std::make_unique<AsioServer>(options, handler);
  QUIRE_TRY(server->Bind());
  server->Start();
  return server;
}

}  // namespace quire
