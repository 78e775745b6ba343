#include "run/event_file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "shared.h"

using namespace argosy;
using namespace argosy::run;

namespace {

std::vector<int64_t> steps(const Curves& curves, const std::string& tag) {
  std::vector<int64_t> numbers;
  if (curves.contains(tag))
    for (const EventPoint& point : curves.at(tag)) numbers.push_back(point.step);
  return numbers;
}

void write_steps(const Path& folder, int64_t from, int64_t to) {
  EventWriter writer(folder, from);
  for (int64_t step = from; step < to; ++step)
    writer.add("loss", step, 1.0 / static_cast<double>(step));
}

Path only_file(const Path& folder) { return std::filesystem::directory_iterator(folder)->path(); }

}  // namespace

TEST_CASE("event file: what is written is read, NaN and odd tags included") {
  const test::TemporaryFolder temporary;
  {
    EventWriter writer(temporary.path(), 0);
    writer.add("loss", 1, 0.5);
    writer.add("loss", 1000000000000, std::nan(""));
    writer.add("eval/user/angle \xc3\xa9", 2, -1e30);
  }
  const Curves curves = read_events(temporary.path());
  REQUIRE(curves.size() == 2);
  CHECK(curves.at("loss")[0].value == 0.5f);
  CHECK(curves.at("loss")[0].wall_time_s > 1.6e9);
  CHECK(curves.at("loss")[1].step == 1000000000000);
  CHECK(std::isnan(curves.at("loss")[1].value));
  CHECK(curves.at("eval/user/angle \xc3\xa9")[0].value == -1e30f);
}

TEST_CASE("event file: the first record is the one that TensorFlow writes") {
  const test::TemporaryFolder temporary;
  {
    EventWriter writer(temporary.path(), 0);
  }
  const std::string file = read_file(only_file(temporary.path()));
  // length 24, and its masked sum as any TFRecord of that length has it
  CHECK(file.substr(0, 12) == std::string("\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22", 12));
  CHECK(file.substr(21, 15) ==
        "\x1a\x0d"
        "brain.Event:2");
}

TEST_CASE("event file: a resumed run's values replace those after its checkpoint") {
  const test::TemporaryFolder temporary;
  write_steps(temporary.path(), 1, 8);
  write_steps(temporary.path(), 5, 7);  // killed after 7, resumed from a checkpoint of step 4
  CHECK(steps(read_events(temporary.path()), "loss") == std::vector<int64_t>{1, 2, 3, 4, 5, 6});
  write_steps(temporary.path(), 7, 9);
  CHECK(steps(read_events(temporary.path()), "loss") ==
        std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE(
    "event file: cut at any byte, the whole records before it are read; a changed byte ends it") {
  const test::TemporaryFolder temporary;
  write_steps(temporary.path(), 1, 4);
  const Path path = only_file(temporary.path());
  const std::string whole = read_file(path);
  size_t before = 0;
  for (size_t size = 0; size <= whole.size(); ++size) {
    write_file(path, whole.substr(0, size));
    const size_t count = steps(read_events(temporary.path()), "loss").size();
    CHECK(count >= before);
    before = count;
  }
  CHECK(before == 3);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    write_file(path, damaged);
    CHECK(steps(read_events(temporary.path()), "loss").size() < 3);
  }
}

TEST_CASE("event file: other files and an absent folder give no curves") {
  const test::TemporaryFolder temporary;
  write_file(temporary.path() / "events.out.tfevents.", "x");
  write_file(temporary.path() / "events.out.tfevents.99999999999999999999.h", "x");
  CHECK(read_events(temporary.path()).empty());
  CHECK(read_events(temporary.path() / "none").empty());
  CHECK_THROWS_AS(EventWriter(temporary.path() / "none", 0), Error);
}

TEST_CASE("event file: a full disk is an Error and what was written stays readable") {
  const test::TemporaryFolder temporary;
  {
    EventWriter writer(temporary.path(), 0);
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    rlimit small = before;
    small.rlim_cur = 300;
    setrlimit(RLIMIT_FSIZE, &small);
    for (int64_t step = 1; step < 100; ++step) writer.add("loss", step, 1);
    CHECK_THROWS_AS(writer.flush(), Error);
    setrlimit(RLIMIT_FSIZE, &before);
    writer.flush();
  }
  CHECK(steps(read_events(temporary.path()), "loss").size() == 99);
}
