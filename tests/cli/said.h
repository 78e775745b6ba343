#pragma once
#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "base/files.h"
#include "shared.h"

namespace argosy::test {

/// What the program said, and its exit code.
struct Said {
  int code = 0;
  std::string out, err;
};

inline Said run(const std::string& arguments) {
  const TemporaryFolder temporary;
  const Path out = temporary.path() / "out", err = temporary.path() / "err";
  const int status = std::system(
      fmt::format("{} {} > {} 2> {}", ARGOSY_PROGRAM, arguments, out.string(), err.string())
          .c_str());
  return {WEXITSTATUS(status), read_file(out), read_file(err)};
}

}  // namespace argosy::test
