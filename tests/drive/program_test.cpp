#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "data/importer.h"
#include "data/video.h"
#include "program.h"
#include "run_maker.h"
#include "shared.h"

using namespace argosy;
using Json = nlohmann::json;

namespace {

/// A run and a video of 200 frames at 10 per second.
struct Place {
  test::TemporaryFolder temporary;
  Path run = temporary.path() / "run", clip = temporary.path() / "clip.mp4";

  Place() {
    setenv("ARGOSY_THREADS", "1", 1);
    test::make_run(run, "pilotnet");
    data::VideoWriter video(clip, 32, 40, 10, "h264", 10, 20);
    for (int64_t i = 0; i < 200; ++i) video.write(test::tiny_picture(test::tiny_angle(i)));
    video.finish();
  }
  Path folder(const std::string& name) const { return temporary.path() / name; }
  std::vector<std::string> arguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> list = {"drive", run.string(), "--input", clip.string()};
    list.insert(list.end(), more.begin(), more.end());
    return list;
  }
  test::Ended drive(const std::vector<std::string>& more = {}) const {
    return test::run_program(temporary.path(), arguments(more));
  }
};

std::vector<Json> lines_of(const std::string& text) {
  std::vector<Json> lines;
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) lines.push_back(Json::parse(line));
  return lines;
}

void wait_for(const Path& file) {
  while (!std::filesystem::exists(file) || std::filesystem::file_size(file) < 1000)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

int64_t kept(const Path& tub) { return data::kDonkeyTub.open(tub, {})->info().kept; }

}  // namespace

TEST_CASE("argosy drive: a video's controls are lines of JSON, the same each time, and a tub") {
  const Place place;
  const test::Ended ended = place.drive({"--output", "-", "--record", place.folder("tub")});
  INFO(ended.err);
  REQUIRE(ended.code == 0);
  const std::vector<Json> lines = lines_of(ended.out);
  REQUIRE(lines.size() == 200);
  for (size_t i = 0; i < lines.size(); ++i) {
    CHECK(lines[i]["frame"] == i);
    CHECK(lines[i]["time_s"] == doctest::Approx(0.1 * double(i)));
    CHECK(lines[i]["state"] == "driving");
    CHECK(lines[i]["angle"] == lines[i]["policy_angle"]);
  }
  CHECK(ended.err.find("from frame to control: median") != std::string::npos);
  CHECK(kept(place.folder("tub")) == 200);
  const std::vector<Json> again = lines_of(place.drive({"--output", "-"}).out);
  REQUIRE(again.size() == 200);
  for (size_t i = 0; i < lines.size(); ++i) CHECK(again[i]["angle"] == lines[i]["angle"]);
}

TEST_CASE("argosy drive: SIGTERM ends it in order, with the safe control last") {
  const Place place;
  test::Program program(
      place.temporary.path(),
      place.arguments({"--realtime", "--max-age", "0.5", "--output", place.folder("c.jsonl"),
                       "--record", place.folder("tub")}));
  wait_for(place.folder("c.jsonl"));
  program.signal(SIGTERM);
  const test::Ended ended = program.wait();
  INFO(ended.err);
  CHECK(ended.code == 0);
  const std::vector<Json> lines = lines_of(read_file(place.folder("c.jsonl")));
  CHECK(lines.back()["state"] == "ended");
  CHECK(lines.back()["brake"] == true);
  CHECK(kept(place.folder("tub")) > 0);
}

TEST_CASE("argosy drive: a kill leaves a recording that can be read") {
  const Place place;
  test::Program program(
      place.temporary.path(),
      place.arguments({"--realtime", "--max-age", "0.5", "--output", place.folder("c.jsonl"),
                       "--record", place.folder("tub")}));
  wait_for(place.folder("tub") / "catalog_0.catalog");
  program.signal(SIGKILL);
  CHECK(program.wait().code == -SIGKILL);
  CHECK(kept(place.folder("tub")) > 0);
}

TEST_CASE("argosy drive: mistakes are told in one sentence") {
  const Place place;
  const auto error = [&](int code, std::vector<std::string> arguments) {
    arguments.push_back("--quiet");
    const test::Ended ended = test::run_program(place.temporary.path(), arguments);
    CHECK(ended.code == code);
    INFO(ended.err);
    const size_t last = ended.err.rfind('\n', ended.err.size() - 2) + 1;  // npos + 1 is 0
    CHECK(ended.err.substr(last).starts_with("error: "));
    CHECK(ended.err.find("error: ") == last);
    return ended.err;
  };
  const auto contains = [](const std::string& text, const char* part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  contains(error(2, place.arguments({"--realtime"})),
           "the source gives a frame each 0.100 s, and --max-age allows controls to rest on frames "
           "of up to 0.080 s; give --max-age 0.16 or more");
  contains(error(2, place.arguments({"--rate", "0"})), "--rate is 0, it may be 1 to 1000");
  contains(error(2, place.arguments({"--checkpoint", "7"})), "7");
  contains(error(3, place.arguments({"--output", "none/c.jsonl"})), "No such file");
  contains(error(3, {"drive", place.run, "--input", "none.mp4"}), "No such file");
  contains(error(3, place.arguments({"--output", "/dev/full"})), "free some space");
  test::make_run(place.folder("still"), "pilotnet",
                 {"data.outputs=[\"user/throttle\", \"range\"]"});
  contains(error(2, {"drive", place.folder("still"), "--input", place.clip}),
           "the policy has no output named angle, only user/throttle, range");
  test::make_run(place.folder("cut"), "pilotnet", {"data.crop_top=32"});
  contains(error(2, {"drive", place.folder("cut"), "--input", place.clip}),
           "nothing is left of 40 x 32 pixels");
}
