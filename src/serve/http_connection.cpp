#include "serve/http_connection.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>

#include "base/log.h"
#include "serve/api_error.h"

namespace argosy::serve {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {

Clock::duration duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

std::string head_of(const HttpResponse& response, bool keep_alive, bool chunked, int64_t length) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(response.status));
  std::string head = fmt::format("HTTP/1.1 {} {}\r\nServer: argosy\r\n", response.status,
                                 std::string_view(reason.data(), reason.size()));
  if (!response.type.empty()) head += fmt::format("Content-Type: {}\r\n", response.type);
  for (const auto& [name, value] : response.headers) head += fmt::format("{}: {}\r\n", name, value);
  if (chunked) head += "Transfer-Encoding: chunked\r\n";
  if (length >= 0) head += fmt::format("Content-Length: {}\r\n", length);
  head += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

}  // namespace

/// One client: reads a request, lets the handler answer it, reads the next. All but its maker run
/// on its strand.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, std::shared_ptr<Connections> shared)
      : shared_(std::move(shared)), stream_(std::move(socket)) {
    ErrorCode ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
    const auto end = stream_.socket().remote_endpoint(ignored);
    client_ = ignored ? "unknown" : end.address().to_string();
    const std::lock_guard lock(shared_->mutex);
    shared_->open.insert(this);
    stopping_ = shared_->stopping;
    crowded_ = static_cast<int64_t>(shared_->open.size()) > shared_->options.connections;
  }
  ~Connection() {
    release_body();
    const std::lock_guard lock(shared_->mutex);
    shared_->open.erase(this);
    shared_->fewer.notify_all();
  }

  void start() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      if (self->stopping_)
        self->leave();
      else if (self->crowded_)
        self->refuse(503, "server_error", "too many connections; try again later");
      else
        self->read_header();
    });
  }

  /// Ends it between two requests, or at once.
  void stop(bool at_once) {
    auto self = weak_from_this().lock();
    if (!self) return;  // it is on its way out
    asio::post(stream_.get_executor(), [self = std::move(self), at_once] {
      if (at_once || !self->exchange_)
        self->leave();
      else
        self->keep_alive_ = false;
    });
  }

 private:
  class RunningExchange;

  void read_header() {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(shared_->options.header_bytes));
    parser_->body_limit(shared_->options.body_bytes);
    stream_.expires_after(duration(shared_->options.idle_s));
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](ErrorCode error, size_t) { self->on_header(error); });
  }

  void on_header(ErrorCode error) {
    if (error) return refuse(error);
    if (!claim_body())
      return refuse(503, "server_error", "too many long requests at once; try again later");
    stream_.expires_after(duration(shared_->options.body_s));
    if (beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      asio::async_write(stream_, asio::buffer(kContinue),
                        [self = shared_from_this()](ErrorCode failed, size_t) {
                          if (failed) return self->leave();
                          self->read_body();
                        });
    } else {
      read_body();
    }
  }

  /// Books memory for the body that comes; false where there is none left.
  bool claim_body() {
    const auto length = parser_->content_length();
    const size_t bytes = length               ? static_cast<size_t>(*length)
                         : parser_->chunked() ? shared_->options.body_bytes
                                              : 0;
    const std::lock_guard lock(shared_->mutex);
    if (shared_->body_bytes + bytes > shared_->options.all_body_bytes) return false;
    shared_->body_bytes += bytes;
    claimed_bytes_ = bytes;
    return true;
  }
  /// Of what was booked, more than `bytes` are free again: the whole body is there.
  void release_body(size_t bytes = 0) {
    const std::lock_guard lock(shared_->mutex);
    shared_->body_bytes -= claimed_bytes_ - std::min(bytes, claimed_bytes_);
    claimed_bytes_ = std::min(bytes, claimed_bytes_);
  }

  void read_body() {
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](ErrorCode error, size_t) {
                       if (error) return self->refuse(error);
                       self->handle();
                     });
  }

  void handle();
  void guarded(const std::function<void()>& work);
  void flush();
  void finish();
  void watch();

  /// Answers what the library could not read, where there is still somebody to answer.
  void refuse(ErrorCode error) {
    if (error == http::error::header_limit)
      return refuse(431, "invalid_request_error",
                    fmt::format("the request's header is longer than {} bytes",
                                shared_->options.header_bytes));
    if (error == http::error::body_limit)
      return refuse(
          413, "invalid_request_error",
          fmt::format("the request's body is longer than {} bytes", shared_->options.body_bytes));
    const bool read_nothing = error == http::error::end_of_stream;
    if (!read_nothing &&
        error.category() == http::make_error_code(http::error::bad_method).category())
      return refuse(400, "invalid_request_error",
                    fmt::format("this is no HTTP/1.1 request: {}", error.message()));
    leave();
  }

  void refuse(int status, const char* type, const std::string& message) {
    keep_alive_ = false;
    refused_ = true;
    const std::string body = error_json({.status = status, .type = type, .message = message});
    HttpResponse response{.status = status, .body = body};
    if (status == 503) response.headers.emplace_back("Retry-After", "1");
    unsent_ = head_of(response, false, false, static_cast<int64_t>(body.size())) + body;
    done_ = true;
    if (shared_->ended)
      shared_->ended({.method = "-", .path = "-", .client = client_}, {.status = status});
    flush();
  }

  /// Sends no more, and reads what still comes of a request that is refused: closing at once would
  /// make the system reset the connection, and the client lose the answer.
  void linger() {
    ErrorCode ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.expires_after(std::chrono::seconds(2));
    drain();
  }
  void drain() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(4096),
                            [self = shared_from_this()](ErrorCode error, size_t) {
                              if (!error) self->drain();
                            });
  }

  /// The client has gone, or is sent away.
  void leave();

  std::shared_ptr<Connections> shared_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::shared_ptr<RunningExchange> exchange_;
  std::string client_, unsent_, sending_;
  size_t claimed_bytes_ = 0;
  bool stopping_ = false, crowded_ = false, refused_ = false, keep_alive_ = true, writing_ = false,
       watching_ = false;
  bool done_ = false;  // the answer is whole in unsent_
  bool left_ = false;
};

class Connection::RunningExchange : public Exchange {
 public:
  RunningExchange(std::shared_ptr<Connection> connection, HttpRequest request, bool chunks)
      : connection_(std::move(connection)), request_(std::move(request)), may_chunk_(chunks) {}

  const HttpRequest& request() const override { return request_; }
  void add_header(std::string name, std::string value) override {
    headers_.emplace_back(std::move(name), std::move(value));
  }
  int64_t connections() const override {
    const std::lock_guard lock(connection_->shared_->mutex);
    return static_cast<int64_t>(connection_->shared_->open.size());
  }
  void run(std::function<void()> work) override {
    asio::post(connection_->stream_.get_executor(),
               [connection = connection_, work = std::move(work)] { connection->guarded(work); });
  }
  void answer(HttpResponse response) override {
    if (ended_) return;
    ended_ = true;
    status_ = response.status;
    response.headers.insert(response.headers.end(), headers_.begin(), headers_.end());
    const bool bodiless = request_.method == "HEAD" || response.status == 204;
    send(head_of(response, connection_->keep_alive_, false,
                 response.status == 204 ? -1 : static_cast<int64_t>(response.body.size())));
    if (!bodiless) send(response.body);
    connection_->done_ = true;
    connection_->flush();
  }
  void begin(HttpResponse head) override {
    if (ended_) return;
    status_ = head.status;
    head.headers.insert(head.headers.end(), headers_.begin(), headers_.end());
    if (!may_chunk_) connection_->keep_alive_ = false;  // its end is the end of the connection
    send(head_of(head, connection_->keep_alive_, may_chunk_, -1));
    write(head.body);
  }
  void write(std::string_view bytes) override {
    if (ended_ || bytes.empty()) return;
    send(may_chunk_ ? fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes) : std::string(bytes));
    if (connection_->unsent_.size() > connection_->shared_->options.unsent_bytes)
      connection_->leave();
    else
      connection_->flush();
  }
  void end() override {
    if (ended_) return;
    ended_ = true;
    if (may_chunk_) send("0\r\n\r\n");
    connection_->done_ = true;
    connection_->flush();
  }
  void when_left(std::function<void()> leave) override {
    if (left_)
      leave();
    else
      leave_ = std::move(leave);
  }
  void note(std::string text) override { note_ = std::move(text); }

  bool begun() const { return bytes_ > 0; }

  void leave() {
    left_ = ended_ = true;
    status_ = 499;
    if (leave_) std::exchange(leave_, {})();
  }
  void report() {
    leave_ = {};
    const double seconds = std::chrono::duration<double>(Clock::now() - began_).count();
    const auto& ended = connection_->shared_->ended;
    if (ended) ended(request_, {status_, seconds, bytes_, note_});
  }

 private:
  void send(std::string_view bytes) {
    bytes_ += static_cast<int64_t>(bytes.size());
    connection_->unsent_ += bytes;
  }

  std::shared_ptr<Connection> connection_;
  HttpRequest request_;
  bool may_chunk_;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::function<void()> leave_;
  bool ended_ = false, left_ = false;
  int status_ = 200;
  int64_t bytes_ = 0;
  std::string note_;
  Clock::time_point began_ = Clock::now();
};

void Connection::handle() {
  auto message = parser_->release();
  release_body(message.body().size());
  keep_alive_ = message.keep_alive();
  {
    const std::lock_guard lock(shared_->mutex);
    keep_alive_ = keep_alive_ && !shared_->stopping;
  }
  const auto text = [](beast::string_view view) { return std::string(view.data(), view.size()); };
  const std::string target = text(message.target());
  const size_t mark = target.find('?');
  HttpRequest request{
      .method = text(message.method_string()),
      .path = target.substr(0, mark),
      .query = mark == target.npos ? "" : target.substr(mark + 1),
      .authorization = text(message[http::field::authorization]),
      .origin = text(message[http::field::origin]),
      .host = text(message[http::field::host]),
      .asked_headers = text(message[http::field::access_control_request_headers]),
      .body = std::move(message.body()),
      .client = client_,
  };
  done_ = false;
  stream_.expires_never();
  exchange_ = std::make_shared<RunningExchange>(shared_from_this(), std::move(request),
                                                message.version() >= 11);
  const auto exchange = exchange_;
  watch();
  guarded([&] { shared_->handler(exchange); });
}

/// Runs what a handler does. It throws nothing but bugs, which end this request alone.
void Connection::guarded(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& bug) {
    log::write(log::Level::error, fmt::format("this is a bug: {}; please report it", bug.what()));
    const auto exchange = exchange_;
    if (!exchange) return;
    if (exchange->begun()) return leave();
    exchange->answer(
        {.status = 500,
         .body = error_json(
             {.status = 500, .type = "server_error", .message = "this is a bug of the server"})});
  }
}

void Connection::flush() {
  if (writing_ || left_) return;
  if (unsent_.empty()) {
    if (done_) finish();
    return;
  }
  writing_ = true;
  sending_.swap(unsent_);
  unsent_.clear();
  stream_.expires_after(duration(shared_->options.write_s));
  asio::async_write(stream_, asio::buffer(sending_),
                    [self = shared_from_this()](ErrorCode error, size_t) {
                      self->writing_ = false;
                      if (error) return self->leave();
                      self->flush();
                    });
}

void Connection::finish() {
  done_ = false;
  if (exchange_) {
    exchange_->report();
    exchange_.reset();
  }
  release_body();
  sending_ = {};
  if (keep_alive_) return read_header();
  if (refused_) return linger();
  leave();
}

/// Sees the client go while its answer is made. What it sends meanwhile is left for later.
void Connection::watch() {
  if (std::exchange(watching_, true)) return;
  stream_.socket().async_wait(tcp::socket::wait_read, [self = shared_from_this()](ErrorCode error) {
    self->watching_ = false;
    // with a whole answer on its way a client may close as soon as it has it: writing tells
    if (error || !self->exchange_ || self->done_) return;
    char byte;
    const ssize_t size =
        recv(self->stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
      self->leave();
  });
}

void Connection::leave() {
  if (std::exchange(left_, true)) return;
  if (exchange_) {
    exchange_->leave();
    exchange_->report();
    exchange_.reset();
  }
  release_body();
  ErrorCode ignored;
  stream_.socket().close(ignored);
}

void begin_connection(tcp::socket socket, std::shared_ptr<Connections> shared) {
  std::make_shared<Connection>(std::move(socket), std::move(shared))->start();
}

void Connections::stop(bool at_once) {
  const std::lock_guard lock(mutex);
  stopping = true;
  for (Connection* connection : open) connection->stop(at_once);
}

bool Connections::wait_until_none(double seconds) {
  std::unique_lock lock(mutex);
  return fewer.wait_for(lock, duration(seconds), [&] { return open.empty(); });
}

}  // namespace argosy::serve
