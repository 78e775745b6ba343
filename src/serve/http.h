#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace argosy::serve {

struct HttpRequest {
  std::string method, path, query;  ///< "GET", "/v1/models", what follows '?'
  std::string authorization, origin, host;
  std::string asked_headers;  ///< of a preflight: those that a page's request will have
  std::string body;
  std::string client;  ///< the address it comes from
};

struct HttpResponse {
  int status = 200;
  std::string type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

/// One request and its answer: either answer(), or begin(), write()..., end(). Once the client has
/// gone, what is written is dropped.
/// threads  all but run() only inside of the handler, and of what run() runs
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const HttpRequest& request() const = 0;
  /// Of the answer, whichever it will be.
  virtual void add_header(std::string name, std::string value) = 0;
  virtual int64_t connections() const = 0;  ///< that the server has open
  /// Any thread: runs `work` later on the exchange's own, one after the other.
  virtual void run(std::function<void()> work) = 0;
  virtual void answer(HttpResponse response) = 0;
  virtual void begin(HttpResponse head) = 0;  ///< `head.body` is the beginning of the stream
  virtual void write(std::string_view bytes) = 0;
  virtual void end() = 0;
  /// Calls `leave` when the client goes before the end; at once if it has.
  virtual void when_left(std::function<void()> leave) = 0;
  /// What the line of the log says besides, "12+34 tokens".
  virtual void note(std::string text) = 0;
};

/// Called for each request; what it does not do at once, it does by Exchange::run().
using Handler = std::function<void(const std::shared_ptr<Exchange>&)>;

struct Ended {
  int status = 0;  ///< 499: the client left before the end
  double seconds = 0;
  int64_t bytes = 0;
  std::string note;
};

}  // namespace argosy::serve
