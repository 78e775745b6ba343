#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>

#include "serve/http.h"

namespace argosy::test {

/// An exchange without a network: what is run on it waits for finish(), which runs it all.
class FakeExchange : public serve::Exchange {
 public:
  explicit FakeExchange(serve::HttpRequest request) : request_(std::move(request)) {}

  const serve::HttpRequest& request() const override { return request_; }
  void add_header(std::string name, std::string value) override {
    added.emplace_back(std::move(name), std::move(value));
  }
  int64_t connections() const override { return 3; }
  void run(std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    changed_.notify_all();
  }
  void answer(serve::HttpResponse whole) override {
    response = std::move(whole);
    ended = true;
  }
  void begin(serve::HttpResponse head) override {
    response = std::move(head);
    streamed = true;
  }
  void write(std::string_view bytes) override { response.body += bytes; }
  void end() override { ended = true; }
  void when_left(std::function<void()> leave) override { leave_ = std::move(leave); }
  void note(std::string text) override { noted = std::move(text); }

  /// Until the answer is whole.
  void finish() {
    while (!ended) {
      std::function<void()> work;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !work_.empty(); });
        work = std::move(work_.front());
        work_.pop_front();
      }
      work();
    }
  }

  serve::HttpResponse response{.status = 0};
  std::vector<std::pair<std::string, std::string>> added;
  std::string noted;
  bool streamed = false, ended = false;

 private:
  serve::HttpRequest request_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  std::function<void()> leave_;
};

}  // namespace argosy::test
