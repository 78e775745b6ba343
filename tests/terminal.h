#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "program.h"

namespace argosy::test {

/// The real program at a terminal of its own, where keys are typed and what it shows is read.
class Terminal {
 public:
  /// out  where standard output goes; "": to the terminal, as the rest
  explicit Terminal(const std::vector<std::string>& arguments, const std::string& out = "") {
    std::vector<char*> list = {const_cast<char*>(argosy_program())};
    for (const std::string& argument : arguments)
      list.push_back(const_cast<char*>(argument.c_str()));
    list.push_back(nullptr);
    const winsize size = {.ws_row = 50, .ws_col = 1000, .ws_xpixel = 0, .ws_ypixel = 0};
    process_ = forkpty(&master_, nullptr, nullptr, &size);
    if (process_ == 0) {
      if (!out.empty()) dup2(open(out.c_str(), O_WRONLY | O_CREAT, 0644), STDOUT_FILENO);
      execv(list[0], list.data());
      _exit(127);
    }
    REQUIRE(process_ > 0);
  }
  ~Terminal() {
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
    close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(std::string_view keys) const {
    while (!keys.empty()) {
      const ssize_t written = ::write(master_, keys.data(), keys.size());
      REQUIRE(written > 0);
      keys.remove_prefix(static_cast<size_t>(written));
    }
  }

  /// What is shown from where the last wait ended up to the next `text`.
  std::string until(std::string_view text) {
    for (size_t at; true;) {
      if ((at = shown_.find(text, read_)) != std::string::npos) {
        const std::string part = shown_.substr(read_, at + text.size() - read_);
        read_ = at + text.size();
        return part;
      }
      REQUIRE_MESSAGE(more(), "there is no \"" << text << "\" in: " << shown_.substr(read_));
    }
  }

  /// The exit code, or minus the signal that ended it.
  int end() {
    while (more());
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  const std::string& shown() const { return shown_; }

 private:
  static constexpr int kPatience_ms = 300'000;  ///< a machine may be busy

  bool more() {
    pollfd output = {.fd = master_, .events = POLLIN, .revents = 0};
    char bytes[4096];
    if (poll(&output, 1, kPatience_ms) <= 0) return false;
    const ssize_t count = ::read(master_, bytes, sizeof bytes);  // fails when the program is gone
    if (count <= 0) return false;
    shown_.append(bytes, static_cast<size_t>(count));
    return true;
  }

  pid_t process_ = 0;
  int master_ = -1;
  std::string shown_;
  size_t read_ = 0;
};

}  // namespace argosy::test
