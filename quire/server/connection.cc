#include "quire/server/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

// Invariants: everything but Drain, Close and Exchange::Post runs on the connection's strand, so nothing here
// is locked. At most one exchange is open; it points back to the connection until it is over. The deadline is
// set only while a read or write is pending, which is what it ends.

namespace quire {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using asio::experimental::awaitable_operators::operator||;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
// Of the next requests, while one is answered.
constexpr size_t kReadAheadBytes = 64 << 10;
// A refused client may still be sending: its bytes are dropped for so long, for it to see the answer.
constexpr std::chrono::milliseconds kLingerTime{2'000};

struct Problem {
  int status;
  std::string message;
};

Problem ProblemOf(error_code error, bool timed_out, const HttpLimits& limits) {
  if (timed_out) return {408, "the request did not arrive in time; send it faster"};
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return {431, fmt::format("the request's head is larger than {} bytes; send fewer or shorter headers",
                             limits.max_header_bytes)};
  }
  if (error == http::error::body_limit) {
    return {413, fmt::format("the body is larger than {} bytes; send less, or start the server with a larger "
                             "limit",
                             limits.max_body_bytes)};
  }
  return {400, fmt::format("this is not an HTTP/1.1 request ({}); check the client", error.message())};
}

// As opposed to a connection that broke.
bool IsProtocolError(error_code error) {
  return error.category() == error_code(http::error::bad_method).category();
}

std::string LowerCase(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

template <typename Message>
HttpRequest RequestOf(const Message& message, const std::string& peer) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  const std::string target(message.target());
  const size_t query = std::min(target.find('?'), target.size());
  request.path = target.substr(0, query);
  request.query = target.substr(std::min(query + 1, target.size()));
  request.peer = peer;
  for (const auto& field : message) {
    request.headers.emplace_back(LowerCase(field.name_string()), std::string(field.value()));
  }
  return request;
}

}  // namespace

// How the present request must be answered.
struct Connection::Head {
  bool http_1_0 = false;
  bool head_only = false;
  bool keep_alive = false;
};

class Connection::Exchange final : public HttpExchange, public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(Connection& connection, const Head& head)
      : connection_(&connection),
        executor_(connection.socket_.get_executor()),
        signal_(executor_, TimePoint::max()),
        head_(head) {}

  void Post(std::function<void()> work) override {
    asio::post(executor_, [self = shared_from_this(), work = std::move(work)] { self->Guard(work); });
  }

  void Respond(HttpResponse response) override {
    if (over() || started_) return;
    started_ = ended_ = true;
    status_ = response.status;
    const bool bodiless = response.status == 204;
    out_ = RenderHead(response, bodiless ? "" : fmt::format("Content-Length: {}", response.body.size()),
                      keep_alive());
    if (!bodiless && !head_.head_only) out_ += response.body;
    Wake();
  }

  void BeginStream(HttpResponse head) override {
    if (over() || started_) return;
    started_ = true;
    status_ = head.status;
    if (head_.http_1_0) head_.keep_alive = false;
    out_ = RenderHead(head, head_.http_1_0 ? "" : "Transfer-Encoding: chunked", keep_alive());
    Wake();
  }

  void Write(std::string_view part) override {
    if (over() || ended_ || part.empty() || head_.head_only) return;
    if (out_.size() + part.size() > connection_->limits_.max_unread_bytes) return Abort();
    if (!head_.http_1_0) fmt::format_to(std::back_inserter(out_), "{:x}\r\n", part.size());
    out_ += part;
    if (!head_.http_1_0) out_ += "\r\n";
    Wake();
  }

  void End() override {
    if (over() || ended_) return;
    ended_ = true;
    if (!head_.http_1_0 && !head_.head_only) out_ += "0\r\n\r\n";
    Wake();
  }

  void OnClosed(std::function<void()> closed) override {
    on_closed_ = std::move(closed);
    if (over()) Tell();
  }

  // Calls `work`; what it throws must not reach another connection.
  void Guard(const std::function<void()>& work) {
    try {
      work();
    } catch (const std::exception& error) {
      Fail(error.what());
    } catch (...) {
      Fail("an unknown exception");
    }
  }

  // The client is gone, or has to go.
  void Abort() {
    if (over()) return;
    connection_->CloseSocket();
    Detach();
    Tell();
  }

  // No more is written, whatever the handler does.
  void Detach() {
    connection_ = nullptr;
    out_.clear();
    if (ended_) on_closed_ = nullptr;
    Wake();
  }

  bool over() const { return connection_ == nullptr; }
  bool ended() const { return ended_; }
  bool keep_alive() const { return head_.keep_alive && connection_ && !connection_->draining_; }
  int status() const { return status_; }
  asio::steady_timer& signal() { return signal_; }
  void TakeOutput(std::string& into) { into.swap(out_); }

 private:
  void Fail(const char* what) {
    if (over()) return;
    if (started_) return Abort();
    head_.keep_alive = false;
    Respond(connection_->handler_.Refusal(500, fmt::format("the server failed on this request: {}", what)));
  }
  void Tell() {
    const std::function<void()> closed = std::exchange(on_closed_, nullptr);
    if (closed) closed();
  }
  void Wake() { signal_.cancel(); }

  Connection* connection_;  // null once the exchange is over
  const Executor executor_;
  asio::steady_timer signal_;  // cancelled when there is something to write
  Head head_;
  std::string out_;
  int status_ = 0;
  bool started_ = false;
  bool ended_ = false;
  std::function<void()> on_closed_;
};

Connection::Connection(Socket socket, const HttpLimits& limits, HttpHandler& handler,
                       std::function<void()> gone)
    : socket_(std::move(socket)),
      limits_(limits),
      handler_(handler),
      gone_(std::move(gone)),
      deadline_timer_(socket_.get_executor()) {
  error_code error;
  const auto endpoint = socket_.remote_endpoint(error);
  if (!error) peer_ = endpoint.address().to_string(error);
  socket_.set_option(asio::ip::tcp::no_delay(true), error);
}

Connection::~Connection() = default;

void Connection::Start() {
  const auto executor = socket_.get_executor();
  asio::co_spawn(executor, [self = shared_from_this()] { return self->Watchdog(); }, asio::detached);
  asio::co_spawn(
      executor, [self = shared_from_this()] { return self->Live(self->ServeRequests()); }, asio::detached);
}

void Connection::StartRefusal(int status, std::string message) {
  const auto executor = socket_.get_executor();
  asio::co_spawn(executor, [self = shared_from_this()] { return self->Watchdog(); }, asio::detached);
  asio::co_spawn(
      executor,
      [self = shared_from_this(), status, message] { return self->Live(self->Refuse(status, message)); },
      asio::detached);
}

void Connection::Drain() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->draining_ = true;
    if (self->waiting_for_request_) self->CloseSocket();
  });
}

void Connection::Close() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (self->exchange_) self->exchange_->Abort();
    self->CloseSocket();
  });
}

Connection::Task Connection::Live(Task work) {
  try {
    co_await std::move(work);
  } catch (...) {
    // The connection is closed below; there is nobody left to tell.
  }
  if (exchange_) exchange_->Abort();
  exchange_.reset();
  CloseSocket();
  over_ = true;
  deadline_timer_.cancel();
  gone_();
}

Connection::Task Connection::ServeRequests() {
  while (socket_.is_open()) {
    const bool next = co_await ServeRequest();
    if (!next) break;
  }
}

asio::awaitable<bool> Connection::WaitForRequest() {
  if (buffer_.size() > 0) co_return true;
  // Asio reads the end of a stream once: a second read would wait for ever.
  if (draining_ || at_end_) co_return false;
  SetDeadline(limits_.idle_timeout);
  waiting_for_request_ = true;
  auto [error, bytes] = co_await socket_.async_read_some(buffer_.prepare(4096), kAwait);
  waiting_for_request_ = false;
  ClearDeadline();
  buffer_.commit(bytes);
  co_return !error;
}

asio::awaitable<bool> Connection::ServeRequest() {
  const bool arrived = co_await WaitForRequest();
  if (!arrived) co_return false;

  http::request_parser<http::string_body> parser;
  parser.header_limit(limits_.max_header_bytes);
  parser.body_limit(limits_.max_body_bytes);
  SetDeadline(limits_.header_timeout);
  auto [head_error, head_bytes] = co_await http::async_read_header(socket_, buffer_, parser, kAwait);
  ClearDeadline();
  if (head_error == http::error::end_of_stream || !socket_.is_open()) co_return false;
  if (head_error) {
    Problem problem = ProblemOf(head_error, timed_out_, limits_);
    co_await Refuse(problem.status, problem.message);
    co_return false;
  }

  HttpRequest request = RequestOf(parser.get(), peer_);
  const Head head{parser.get().version() < 11, request.method == "HEAD", parser.get().keep_alive()};
  std::optional<HttpResponse> refusal;
  if (auto path = PercentDecode(request.path)) {
    request.path = *path;
    refusal = handler_.CheckHead(request);
  } else {
    refusal = handler_.Refusal(400, "the path has a malformed %XX; encode it again");
  }
  if (refusal && !parser.is_done()) {
    handler_.OnAnswered(request, refusal->status, {});
    co_await SendLast(std::move(*refusal));
    co_return false;
  }

  if (!parser.is_done()) {
    SetDeadline(limits_.body_timeout);
    if (!head.http_1_0 && LowerCase(request.Header("expect")) == "100-continue") {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await asio::async_write(socket_, asio::buffer(kContinue), kAwait);
    }
    auto [body_error, body_bytes] = co_await http::async_read(socket_, buffer_, parser, kAwait);
    ClearDeadline();
    if (body_error && !timed_out_ && !IsProtocolError(body_error)) co_return false;
    if (body_error) {
      Problem problem = ProblemOf(body_error, timed_out_, limits_);
      co_await Refuse(problem.status, problem.message);
      co_return false;
    }
    request.body = std::move(parser.get().body());
  }

  exchange_ = std::make_shared<Exchange>(*this, head);
  if (refusal) exchange_->Respond(std::move(*refusal));
  const bool keep_alive = co_await Answer(std::move(request), head);
  co_return keep_alive;
}

asio::awaitable<bool> Connection::Answer(HttpRequest request, const Head& head) {
  const auto start = Clock::System().Now();
  const std::shared_ptr<Exchange> exchange = exchange_;
  HttpRequest about{request.method, request.path, {}, {}, {}, request.peer};
  if (!exchange->ended()) {
    exchange->Guard([&] { handler_.Handle(std::move(request), exchange); });
  }
  co_await (WatchClient(*exchange) || WriteAnswer(*exchange));
  const bool keep_alive = exchange->keep_alive();
  exchange->Detach();
  exchange_.reset();
  handler_.OnAnswered(about, exchange->status(), Clock::System().Now() - start);
  co_return keep_alive;
}

// Reads ahead, which is how the end of the connection is noticed while an answer takes its time.
Connection::Task Connection::WatchClient(Exchange& exchange) {
  while (buffer_.size() < kReadAheadBytes) {
    auto [error, bytes] = co_await socket_.async_read_some(buffer_.prepare(4096), kAwait);
    buffer_.commit(bytes);
    if (!error) continue;
    // Aborted: the answer is complete, and the reading given up.
    at_end_ = error != asio::error::operation_aborted;
    if (!exchange.ended()) {
      exchange.Abort();
      co_return;
    }
    break;
  }
  asio::steady_timer never(socket_.get_executor(), TimePoint::max());
  co_await never.async_wait(kAwait);
}

Connection::Task Connection::WriteAnswer(Exchange& exchange) {
  std::string bytes;
  size_t sent = 0;
  while (!exchange.over()) {
    if (sent == bytes.size()) {
      bytes.clear();
      sent = 0;
      exchange.TakeOutput(bytes);
    }
    if (bytes.empty()) {
      if (exchange.ended()) co_return;
      co_await exchange.signal().async_wait(kAwait);
      continue;
    }
    SetDeadline(limits_.write_timeout);
    const auto rest = asio::buffer(bytes.data() + sent, bytes.size() - sent);
    auto [error, count] = co_await socket_.async_write_some(rest, kAwait);
    ClearDeadline();
    sent += count;
    if (error) exchange.Abort();
  }
}

Connection::Task Connection::Refuse(int status, std::string message) {
  HttpResponse response = handler_.Refusal(status, message);
  handler_.OnAnswered({}, status, {});
  co_await SendLast(std::move(response));
}

// Answers, and closes without a reset, which would take the answer away from the client.
Connection::Task Connection::SendLast(HttpResponse response) {
  const std::string framing = fmt::format("Content-Length: {}", response.body.size());
  const std::string bytes = RenderHead(response, framing, false) + response.body;
  SetDeadline(kLingerTime);
  co_await asio::async_write(socket_, asio::buffer(bytes), kAwait);
  error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  while (true) {
    buffer_.clear();
    auto [error, count] = co_await socket_.async_read_some(buffer_.prepare(16 << 10), kAwait);
    if (error) break;
  }
}

Connection::Task Connection::Watchdog() {
  while (!over_) {
    deadline_timer_.expires_at(deadline_);
    co_await deadline_timer_.async_wait(kAwait);
    if (over_ || Clock::System().Now() < deadline_) continue;
    deadline_ = TimePoint::max();
    timed_out_ = true;
    error_code ignored;
    socket_.cancel(ignored);
  }
}

void Connection::SetDeadline(std::chrono::milliseconds from_now) {
  deadline_ = Clock::System().Now() + from_now;
  timed_out_ = false;
  // A later deadline is noticed when the timer runs out.
  if (deadline_ < deadline_timer_.expiry()) deadline_timer_.cancel();
}

void Connection::ClearDeadline() { deadline_ = TimePoint::max(); }

void Connection::CloseSocket() {
  error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.close(ignored);
}

}  // namespace quire
