#include "serve/http_server.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <thread>

#include "base/error.h"
#include "serve/http_connection.h"

namespace argosy::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

void allow_many_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

struct Server::State {
  asio::io_context io;
  // what an exchange runs later is no work that the library knows of
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  tcp::acceptor acceptor{asio::make_strand(io)};
  asio::steady_timer pause{acceptor.get_executor()};
  std::shared_ptr<Connections> shared = std::make_shared<Connections>();
  std::vector<std::thread> threads;
  int port = 0;

  void listen() {
    const ServerOptions& options = shared->options;
    const std::string host = options.host == "localhost" ? "127.0.0.1" : options.host;
    const auto expect = [&](ErrorCode error, const char* fix) {
      if (error)
        throw Error({.what = "it cannot listen there: " + error.message(),
                     .where = fmt::format("{}, port {}", options.host, options.port),
                     .fix = fix,
                     .kind = ErrorKind::device});
    };
    ErrorCode error;
    const auto address = asio::ip::make_address(host, error);
    expect(error, "give an address of this machine, such as 127.0.0.1 or 0.0.0.0");
    const tcp::endpoint place(address, static_cast<uint16_t>(options.port));
    acceptor.open(place.protocol(), error);
    expect(error, "give another address");
    acceptor.set_option(asio::socket_base::reuse_address(true), error);
    acceptor.bind(place, error);
    expect(error, error == asio::error::address_in_use
                      ? "give another --port, or stop what listens there"
                      : "give another address or --port");
    acceptor.listen(1024, error);
    expect(error, "give another --port");
    port = acceptor.local_endpoint().port();
  }

  void accept() {
    acceptor.async_accept(asio::make_strand(io), [this](ErrorCode error, tcp::socket socket) {
      if (!acceptor.is_open()) return;
      if (!error) {
        begin_connection(std::move(socket), shared);
        return accept();
      }
      // no file numbers are left: some will be free again
      pause.expires_after(std::chrono::milliseconds(50));
      pause.async_wait([this](ErrorCode) {
        if (acceptor.is_open()) accept();
      });
    });
  }
};

Server::Server(const ServerOptions& options, Handler handler,
               std::function<void(const HttpRequest&, const Ended&)> ended)
    : state_(std::make_unique<State>()) {
  allow_many_files();
  state_->shared->options = options;
  state_->shared->handler = std::move(handler);
  state_->shared->ended = std::move(ended);
  state_->listen();
  state_->accept();
  for (int64_t i = 0; i < options.threads; ++i)
    state_->threads.emplace_back([io = &state_->io] { io->run(); });
}

Server::~Server() { stop(0); }

int Server::port() const { return state_->port; }

int64_t Server::connections() const {
  const std::lock_guard lock(state_->shared->mutex);
  return static_cast<int64_t>(state_->shared->open.size());
}

void Server::stop(double grace_s) {
  if (state_->threads.empty()) return;
  asio::post(state_->acceptor.get_executor(), [state = state_.get()] {
    ErrorCode ignored;
    state->acceptor.close(ignored);
    state->pause.cancel();
  });
  state_->shared->stop(false);
  if (!state_->shared->wait_until_none(grace_s)) {
    state_->shared->stop(true);
    state_->shared->wait_until_none(5);
  }
  state_->io.stop();
  for (std::thread& thread : state_->threads) thread.join();
  state_->threads.clear();
}

}  // namespace argosy::serve
