#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/dataset.h"
#include "data/video.h"
#include "program.h"
#include "run/policy.h"
#include "run/run_folder.h"
#include "shared.h"
#include "texts.h"
#include "tiny_drives.h"

using namespace argosy;
using test::contains;
using Json = nlohmann::json;

namespace {

/// A run trained for a few steps on two tiny recordings.
struct Trained {
  test::TemporaryFolder temporary;
  Path data = temporary.path() / "data", run = temporary.path() / "run";

  Trained() {
    setenv("ARGOSY_THREADS", "1", 1);
    test::write_drives(data);
    write_file(temporary.path() / "tiny.toml", "");
    std::vector<std::string> list = {"train", (temporary.path() / "tiny.toml").string()};
    for (const std::string& setting : test::tiny_settings(data, "pilotnet"))
      list.push_back(setting);
    list.insert(list.end(), {"--to", run.string(), "--quiet"});
    const test::Ended ended = test::run_program(temporary.path(), list);
    INFO(ended.err);
    REQUIRE(ended.code == 0);
  }
  test::Ended evaluate(const Path& on, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> list = {"eval", run.string(), "--data", on.string(), "--quiet"};
    list.insert(list.end(), more.begin(), more.end());
    return test::run_program(temporary.path(), list);
  }
  Json figures(const Path& on) const {
    const test::Ended ended = evaluate(on, {"--json", "-"});
    INFO(ended.err);
    REQUIRE(ended.code == 0);
    return Json::parse(ended.out);
  }
  Path folder(const std::string& name) const { return temporary.path() / name; }
};

std::vector<int> measured(const Json& figures) {
  std::vector<int> list;
  for (const Json& episode : figures["episodes"]) list.push_back(episode["episode"]);
  return list;
}

}  // namespace

TEST_CASE("eval: the figures are those of the policy run frame by frame outside the evaluation") {
  const Trained trained;
  const Json figures = trained.figures(trained.data);
  CHECK(measured(figures) == std::vector<int>{2, 5});  // the last of each recording
  CHECK(figures["training"]["frames"] == 60);
  CHECK(figures["held_out"]["frames"] == 24);
  for (const char* key :
       {"argosy", "CPU", "threads", "instruction set", "oneDNN", "FFmpeg", "speed"})
    CHECK(figures["provenance"].contains(key));

  const data::Dataset dataset = data::Dataset::open(trained.data);
  run::Policy policy(run::read_run_recipe(trained.run), 1);
  policy.load(run::find_checkpoint(trained.run, "last").folder / "state.safetensors");
  const auto recorded = dataset.column("action");
  for (size_t o = 0; o < 2; ++o) {
    double absolute = 0, squares = 0, n = 0, sum = 0, recorded_squares = 0;
    for (const int index : measured(figures)) {
      const data::Episode& episode = dataset.episodes()[static_cast<size_t>(index)];
      const data::VideoSegment& segment = episode.videos.at("observation.images.front");
      data::VideoReader reader(segment.file);
      for (int64_t i = 0; i < episode.length(); ++i) {
        std::vector<uint8_t> seen(size_t{61} * 61 * 3);
        reader.read(segment.first_frame + i, {.height = 61, .width = 61}, seen);
        const double predicted = policy.predict(seen, 1)[o];
        const double wanted = recorded[static_cast<size_t>(2 * (episode.from + i)) + o];
        absolute += std::abs(predicted - wanted);
        squares += (predicted - wanted) * (predicted - wanted);
        sum += wanted;
        recorded_squares += wanted * wanted;
        ++n;
      }
    }
    const Json scores = figures["outputs"][o == 0 ? "user/angle" : "user/throttle"];
    CHECK(scores["samples"] == 24);
    CHECK(scores["mae"].get<double>() == doctest::Approx(absolute / n).epsilon(1e-5));
    CHECK(scores["rmse"].get<double>() == doctest::Approx(std::sqrt(squares / n)).epsilon(1e-5));
    const double r2 = 1 - squares / (recorded_squares - sum * sum / n);
    CHECK(scores["r2"].get<double>() == doctest::Approx(r2).epsilon(1e-4));
  }
}

TEST_CASE(
    "eval: an episode that the run learned from is never measured, whatever becomes of the data") {
  const Trained trained;
  const Json before = trained.figures(trained.data);

  // grown: what is new was never seen
  test::write_drives(trained.data, {{"tuesday", {10}}, {"wednesday", {12, 14}}}, {}, 500);
  const Json grown = trained.figures(trained.data);
  CHECK(measured(grown) == std::vector<int>{2, 5, 6, 7, 8});
  CHECK(contains(grown["notes"].dump(), "3 of these episodes are new"));
  CHECK(grown["training"] == before["training"]);

  // the same recordings in another order, under other names
  const Path renamed = trained.folder("renamed");
  test::write_drives(renamed, {{"a", {14, 16, 12, 18, 12, 12}}});
  CHECK(measured(trained.figures(renamed)) == std::vector<int>{2, 5});

  // the same recordings cut elsewhere: nothing of them is sure to be unseen
  const Path cut = trained.folder("cut");
  test::write_drives(cut, {{"monday", {20, 22}}, {"tuesday", {18, 12, 12}}, {"friday", {9}}});
  const Json left = trained.figures(cut);
  CHECK(measured(left) == std::vector<int>{4, 5});
  CHECK(contains(left["notes"].dump(), "2 episodes are left out"));

  // other recordings: all of them, beside baselines fitted to the run's own data set
  const Path other = trained.folder("other");
  test::write_drives(other, {{"x", {11, 13}}, {"y", {17}}}, {}, 1000);
  const Json elsewhere = trained.figures(other);
  CHECK(measured(elsewhere) == std::vector<int>{0, 1, 2});
  CHECK(elsewhere["outputs"]["user/angle"]["baselines"]["ridge"].is_object());
  std::filesystem::remove_all(trained.data);
  const Json alone = trained.figures(other);
  CHECK(alone["outputs"]["user/angle"]["baselines"]["ridge"].is_null());
  CHECK(alone["outputs"]["user/angle"]["mae"] == elsewhere["outputs"]["user/angle"]["mae"]);
  CHECK(contains(alone["notes"].dump(), "no ridge regression"));
  CHECK(trained.evaluate(other, {"--report", trained.folder("r.html").string()}).code == 0);
}

TEST_CASE("eval: mistakes and damage end in one sentence") {
  const Trained trained;
  const auto fails = [&](const test::Ended& ended, int code, const std::string& part) {
    INFO(ended.err);
    CHECK(ended.code == code);
    CHECK(contains(ended.err, part));
  };
  const Path& at = trained.temporary.path();
  fails(test::run_program(at, {"eval", at.string(), "--data", trained.data.string()}), 3,
        "there is no run here");
  fails(trained.evaluate("/nowhere"), 2, "/nowhere");
  fails(trained.evaluate(trained.data, {"--checkpoint", "5"}), 2, "no whole checkpoint 5");
  fails(trained.evaluate(trained.data, {"--json", "/nowhere/x.json"}), 3, "/nowhere");

  const Path other = trained.folder("other");
  data::DatasetOptions options;
  options.fps = 10;
  options.features = {{.name = "speed", .dtype = "float32", .shape = {1}},
                      {.name = "observation.images.front", .dtype = "video", .shape = {32, 40, 3}}};
  data::DatasetWriter writer(other, options);
  data::EpisodeData episode{.length = 4, .task = "drive", .source = "s"};
  episode.columns["speed"] = {1, 2, 3, 4};
  episode.frame = [](const std::string&, int64_t i) { return test::tiny_picture(0.1 * double(i)); };
  writer.add(episode);
  writer.commit();
  fails(trained.evaluate(other), 2, "no number named user/angle");

  const Path state = run::find_checkpoint(trained.run, "last").folder / "state.safetensors";
  const std::string whole = read_file(state);
  std::string flipped = whole;
  flipped[whole.size() / 2] ^= 4;
  write_file(state, flipped);
  fails(trained.evaluate(trained.data), 3, "has changed since it was written");
  // cut: no longer listed as whole, so the checkpoint before it is taken
  write_file(state, whole.substr(0, whole.size() / 2));
  const Json figures = trained.figures(trained.data);
  CHECK(figures["step"] == 8);
  write_file(state, whole);

  const std::string split = read_file(trained.run / "split.json");
  write_file(trained.run / "split.json", split.substr(0, split.size() / 2));
  fails(trained.evaluate(trained.data), 3, "split.json");
  std::filesystem::remove(trained.run / "split.json");
  fails(trained.evaluate(trained.data), 3, "split.json is missing");
}
