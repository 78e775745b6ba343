#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <unordered_set>

#include "serve/http_server.h"

/// For http_server.cpp and http_connection.cpp alone, since the library's headers are heavy.
namespace argosy::serve {

class Connection;

/// What all connections of a server share.
struct Connections {
  ServerOptions options;
  Handler handler;
  std::function<void(const HttpRequest&, const Ended&)> ended;

  std::mutex mutex;
  std::condition_variable fewer;
  std::unordered_set<Connection*> open;
  size_t body_bytes = 0;  // of all requests that are read or answered
  bool stopping = false;

  /// Ends those that wait for a request, and the others when they have answered or at once.
  void stop(bool at_once);
  bool wait_until_none(double seconds);
};

/// Reads requests of one client and lets the handler answer them, until one of the two goes. The
/// socket's executor is a strand.
void begin_connection(boost::asio::ip::tcp::socket socket, std::shared_ptr<Connections> shared);

}  // namespace argosy::serve
