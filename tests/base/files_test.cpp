#include "base/files.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "shared.h"

using namespace argosy;

TEST_CASE("files: a partial folder appears whole at commit and not before") {
  const test::TemporaryFolder temporary;
  const Path to = temporary.path() / "set";
  {
    PartialFolder partial(to);
    write_file(partial.path() / "a", "x");
    CHECK_FALSE(std::filesystem::exists(to));
    partial.commit();
  }
  CHECK(read_file(to / "a") == "x");
}

TEST_CASE("files: what a killed process left is removed by the next one") {
  const test::TemporaryFolder temporary;
  const Path to = temporary.path() / "set";
  if (const pid_t child = fork(); child == 0) {
    new PartialFolder(to);
    _exit(0);
  } else {
    waitpid(child, nullptr, 0);
  }
  CHECK(std::distance(std::filesystem::directory_iterator(temporary.path()), {}) == 1);
  {
    PartialFolder partial(to);
  }
  CHECK(std::filesystem::is_empty(temporary.path()));
}

TEST_CASE("files: a folder that somebody still fills is no leftover, whatever its number") {
  const test::TemporaryFolder temporary;
  const Path to = temporary.path() / "set";
  PartialFolder first(to);
  write_file(first.path() / "a", "x");
  PartialFolder second(to);  // as of another container, whose processes have the same numbers
  CHECK(first.path() != second.path());
  CHECK(read_file(first.path() / "a") == "x");
  second.commit();
  CHECK(read_file(first.path() / "a") == "x");
}

TEST_CASE("files: an atomic write replaces, and a failed one keeps what was there") {
  const test::TemporaryFolder temporary;
  const Path file = temporary.path() / "f";
  write_file_atomically(file, "old");
  write_file_atomically(file, "new");
  CHECK(read_file(file) == "new");
  CHECK_THROWS_AS(write_file_atomically(temporary.path() / "none" / "f", "x"), Error);
}

TEST_CASE("files: a file in parts appears whole at commit, and without it leaves nothing") {
  const test::TemporaryFolder temporary;
  const Path path = temporary.path() / "f";
  const std::string part(50000, 'x'), large(200000, 'y');
  {
    PartialFile file(path);
    file.write(part);
  }
  CHECK(std::filesystem::is_empty(temporary.path()));
  PartialFile file(path);
  for (const std::string& bytes : {part, part, large, part}) file.write(bytes);
  CHECK_FALSE(std::filesystem::exists(path));
  file.commit();
  CHECK(read_file(path) == part + part + large + part);
}

TEST_CASE("files: a lock is held once") {
  const test::TemporaryFolder temporary;
  const Path file = temporary.path() / ".lock";
  const FileLock first(file, "is being written to");
  CHECK_THROWS_AS(FileLock(file, "is being written to"), Error);
}

TEST_CASE("files: a growing file is cut where it goes on") {
  const test::TemporaryFolder temporary;
  const Path file = temporary.path() / "f";
  {
    GrowingFile growing(file);
    growing.append("one\n");
    growing.append("tw");
  }
  GrowingFile(file, 4).append("two\n");
  CHECK(read_file(file) == "one\ntwo\n");
  CHECK_THROWS_AS(GrowingFile(temporary.path() / "none" / "f"), Error);
}
