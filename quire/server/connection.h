// One client connection: reads requests, hands them to the handler one after the other, writes the answers.
// Only http_server.cc includes this header, because it needs Asio.
#ifndef QUIRE_SERVER_CONNECTION_H_
#define QUIRE_SERVER_CONNECTION_H_

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "quire/server/http_server.h"

namespace quire {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Executor = boost::asio::strand<boost::asio::io_context::executor_type>;
  using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Executor>;

  // REQUIRES: limits and handler outlive the connection. `gone` is called once, when it is over.
  Connection(Socket socket, const HttpLimits& limits, HttpHandler& handler, std::function<void()> gone);
  ~Connection();

  void Start();
  // Answers nothing but this, for clients beyond the limit.
  void StartRefusal(int status, std::string message);
  // Thread-safe.
  void Drain();
  void Close();

 private:
  class Exchange;
  struct Head;
  using Task = boost::asio::awaitable<void>;

  Task Live(Task work);
  Task ServeRequests();
  boost::asio::awaitable<bool> WaitForRequest();
  boost::asio::awaitable<bool> ServeRequest();
  boost::asio::awaitable<bool> Answer(HttpRequest request, const Head& head);
  Task WatchClient(Exchange& exchange);
  Task WriteAnswer(Exchange& exchange);
  Task Refuse(int status, std::string message);
  Task SendLast(HttpResponse response);
  Task Watchdog();

  void SetDeadline(std::chrono::milliseconds from_now);
  void ClearDeadline();
  void CloseSocket();

  Socket socket_;
  const HttpLimits& limits_;
  HttpHandler& handler_;
  std::function<void()> gone_;
  std::string peer_;
  boost::beast::flat_buffer buffer_;  // read, but not yet parsed
  boost::asio::steady_timer deadline_timer_;
  TimePoint deadline_ = TimePoint::max();
  bool timed_out_ = false;
  bool at_end_ = false;  // the client sends nothing more
  bool waiting_for_request_ = false;
  bool draining_ = false;
  bool over_ = false;
  std::shared_ptr<Exchange> exchange_;  // of the request that is being answered
};

}  // namespace quire

#endif  // QUIRE_SERVER_CONNECTION_H_
