#pragma once
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/files.h"
#include "shared.h"

extern char** environ;

namespace argosy::test {

/// The program that tests run: this build's, or that of the environment.
inline const char* argosy_program() {
  const char* other = std::getenv("ARGOSY_TEST_PROGRAM");
  return other ? other : ARGOSY_PROGRAM;
}

struct Ended {
  int code = 0;  ///< the exit code, or minus the signal that ended it
  std::string out, err;
};

/// The real program as a process of its own. Its standard output and error go to files in `folder`.
class Program {
 public:
  Program(const Path& folder, const std::vector<std::string>& arguments)
      : out_(folder / "stdout"), err_(folder / "stderr") {
    start(argosy_program(), arguments);
  }
  /// A line for the shell; $ARGOSY stands for the program.
  Program(const Path& folder, const std::string& line)
      : out_(folder / "stdout"), err_(folder / "stderr") {
    setenv("ARGOSY", argosy_program(), 1);
    start("/bin/sh", {"-c", line});
  }
  ~Program() {
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t id() const { return process_; }
  void signal(int number) const { kill(process_, number); }

  Ended wait() {
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = 0;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read_file(out_),
            read_file(err_)};
  }

 private:
  void start(const char* file, const std::vector<std::string>& arguments) {
    std::vector<char*> list = {const_cast<char*>(file)};
    for (const std::string& argument : arguments)
      list.push_back(const_cast<char*>(argument.c_str()));
    list.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const auto redirect = [&](int number, const Path& to) {
      posix_spawn_file_actions_addopen(&actions, number, to.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                       0644);
    };
    redirect(1, out_);
    redirect(2, err_);
    if (posix_spawn(&process_, file, &actions, nullptr, list.data(), environ) != 0) process_ = 0;
    posix_spawn_file_actions_destroy(&actions);
  }

  Path out_, err_;
  pid_t process_ = 0;
};

inline Ended run_program(const Path& folder, const std::vector<std::string>& arguments) {
  return Program(folder, arguments).wait();
}
/// The same with arguments as one types them.
inline Ended run_program(const std::string& arguments) {
  const TemporaryFolder temporary;
  return Program(temporary.path(), "$ARGOSY " + arguments).wait();
}

}  // namespace argosy::test
