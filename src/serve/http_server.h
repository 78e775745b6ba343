#pragma once
#include "serve/http.h"

namespace argosy::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";  ///< an address of this machine, or "localhost"
  int64_t port = 8080;             ///< 0: any free one
  int64_t threads = 2;
  int64_t connections = 4000;  ///< at once; more are told to come again
  size_t header_bytes = 16 << 10, body_bytes = 8 << 20;
  size_t all_body_bytes = 256 << 20;  ///< of all requests at once
  size_t unsent_bytes = 4 << 20;      ///< of a stream that its client does not read
  double idle_s = 60;                 ///< until a request's header is there
  double body_s = 60;                 ///< and then its body
  double write_s = 60;                ///< until the client has taken what is sent at once
};

/// An HTTP/1.1 server whose few threads hold any number of connections. What is no HTTP, too long
/// or too slow is answered and ended here, so that a handler sees whole requests alone.
class Server {
 public:
  /// Listens from now on.
  /// handler  called on the server's threads, for different requests at once
  /// ended    called once for each request, on the same
  /// throws   Error (device): the address or port cannot be had
  Server(const ServerOptions& options, Handler handler,
         std::function<void(const HttpRequest&, const Ended&)> ended = {});
  ~Server();  ///< stop(0)
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  int64_t connections() const;
  /// Listens no longer, lets what runs come to its end for so long, then cuts it off.
  void stop(double grace_s);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace argosy::serve
