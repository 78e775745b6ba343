#pragma once
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace argosy::test {

/// A TCP connection to this machine as plain as can be, so that a test can be as rude as it likes.
class Client {
 public:
  explicit Client(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(static_cast<uint16_t>(port));
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(socket_, reinterpret_cast<sockaddr*>(&place), sizeof place) != 0)
      throw std::runtime_error("cannot connect");
  }
  ~Client() { leave(); }
  Client(Client&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), buffer_(std::move(other.buffer_)) {}
  Client& operator=(Client&&) = delete;

  /// False where the other side has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  /// All up to `mark`, or up to the end where there is none; at most ten seconds.
  std::string read_until(const std::string& mark) {
    size_t end;
    while ((end = buffer_.find(mark)) == std::string::npos)
      if (!more()) return std::exchange(buffer_, {});
    std::string text = buffer_.substr(0, end + mark.size());
    buffer_.erase(0, text.size());
    return text;
  }

  struct Answer {
    int status = 0;  ///< 0: none came
    std::string head, body;
  };
  /// One answer with a Content-Length, or of a stream all up to its end.
  Answer answer(bool bodiless = false) {
    Answer answer;
    answer.head = read_until("\r\n\r\n");
    if (!answer.head.starts_with("HTTP/1.1 ")) return answer;
    answer.status = std::stoi(answer.head.substr(9, 3));
    const size_t at = answer.head.find("Content-Length: ");
    if (at == std::string::npos) {
      if (answer.head.find("chunked") != std::string::npos) answer.body = read_until("0\r\n\r\n");
      return answer;
    }
    const size_t length = bodiless ? 0 : std::stoul(answer.head.substr(at + 16));
    while (buffer_.size() < length && more()) {
    }
    answer.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return answer;
  }
  Answer ask(std::string_view bytes, bool bodiless = false) {
    send(bytes);
    return answer(bodiless);
  }

  /// Whether the other side has closed, or does within so long; what comes is dropped.
  bool is_closed(int wait_ms) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
    char bytes[4096];
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          until - std::chrono::steady_clock::now());
      pollfd wait{socket_, POLLIN, 0};
      if (poll(&wait, 1, std::max<int>(0, static_cast<int>(left.count()))) <= 0) return false;
      if (recv(socket_, bytes, sizeof bytes, 0) <= 0) return true;
    }
  }
  void leave() {
    if (socket_ >= 0) close(std::exchange(socket_, -1));
  }

 private:
  bool more() {
    pollfd wait{socket_, POLLIN, 0};
    if (poll(&wait, 1, 10'000) <= 0) return false;
    char bytes[65536];
    const ssize_t size = recv(socket_, bytes, sizeof bytes, 0);
    if (size <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(size));
    return true;
  }

  int socket_;
  std::string buffer_;
};

inline std::string post(const std::string& path, const std::string& body) {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
inline std::string get(const std::string& path) {
  return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
}

}  // namespace argosy::test
