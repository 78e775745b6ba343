#include "eval/report.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/random.h"
#include "eval/plot.h"

using namespace argosy;
using namespace argosy::eval;

namespace {

/// Three episodes of a car on a winding road, the model right but for some jitter, ridge less so.
EvaluationResult sample() {
  EvaluationResult result{.run = "runs/drive",
                          .checkpoint = "best",
                          .step = 400,
                          .dataset = "out/drives",
                          .fps = 20,
                          .training_episodes = 12,
                          .training_frames = 4321};
  result.outputs = {{.name = "user/angle", .training_mean = 0.02, .ridge_penalty = 0.1},
                    {.name = "user/throttle", .training_mean = 0.3, .ridge_penalty = 10}};
  Random random(11);
  for (int64_t e = 0; e < 3; ++e) {
    EpisodeResult episode{
        .episode = 17 + e, .source = e ? "data_3" : "data_2", .task = "follow the line"};
    for (int i = 0; i < 300 + 200 * e; ++i) episode.time_s.push_back(i / 20.0);
    for (int k = 0; k < 2; ++k) {
      Series series;
      for (const double t : episode.time_s) {
        const double truth =
            k ? 0.3 + 0.1 * std::sin(t) : 0.6 * std::sin(0.7 * t) + 0.2 * std::sin(2.3 * t);
        series.recorded.push_back(truth + 0.07 * random.normal());
        series.model.push_back(0.9 * truth + 0.06 * random.normal());
        series.ridge.push_back(0.5 * truth + 0.1 * random.normal());
      }
      episode.outputs.push_back(series);
    }
    result.episodes.push_back(episode);
  }
  result.episodes[1].outputs[0].recorded[40] = NAN;
  for (int step = 10; step <= 400; step += 10) {
    result.curves["train/loss"].push_back(
        {step, 0, static_cast<float>(0.5 * std::exp(-step / 90.0) + 0.05)});
    result.curves["eval/user/angle/rmse"].push_back(
        {step, 0, static_cast<float>(0.4 * std::exp(-step / 120.0) + 0.1)});
  }
  result.recipe_toml = "[model]\nname = \"pilotnet\"\n";
  result.provenance = {{"argosy", "0.1.0"}, {"machine", "a CPU, 2 threads"}};
  result.notes = {"data_9 has one episode, which only trains"};
  score(result);
  result.moments = worst_moments(result, 6);
  return result;
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
  return found;
}

}  // namespace

TEST_CASE("evaluation: the scores are those of all held-out frames, beside both baselines") {
  const EvaluationResult result = sample();
  const OutputResult& angle = result.outputs[0];
  CHECK(result.frames() == 1500);
  CHECK(angle.model.samples == 1499);
  CHECK(angle.model.skipped == 1);
  CHECK(angle.model.rmse < angle.ridge->rmse);
  CHECK(angle.ridge->rmse < angle.constant.rmse);
  CHECK(*angle.constant.r2 < 0.01);
  CHECK(angle.noise->rmse == doctest::Approx(0.08).epsilon(0.15));
  CHECK(result.episodes[2].scores[1].samples == 700);
}

TEST_CASE("evaluation: the worst moments are the largest errors, two seconds apart") {
  const EvaluationResult result = sample();
  REQUIRE(result.moments.size() == 6);
  double before = INFINITY;
  for (const Moment& moment : result.moments) {
    const Series& series = result.episodes[moment.episode].outputs[0];
    const double error = std::abs(series.model[moment.frame] - series.recorded[moment.frame]);
    CHECK(error <= before);
    before = error;
    for (const Moment& other : result.moments)
      if (&other != &moment && other.episode == moment.episode)
        CHECK(std::abs(static_cast<double>(other.frame) - static_cast<double>(moment.frame)) >= 40);
  }
}

TEST_CASE("evaluation: the verdict names the baselines and does not flatter") {
  EvaluationResult result = sample();
  CHECK(verdict(result).starts_with(
      "On 1500 held-out frames of 3 episodes the model's error in user/angle is 0."));
  CHECK(verdict(result).find("% below ridge regression") != std::string::npos);
  for (EpisodeResult& episode : result.episodes)
    for (double& value : episode.outputs[0].model) value = 3;
  score(result);
  CHECK(verdict(result).find("% above a constant") != std::string::npos);
  CHECK(verdict(result).ends_with("It has not learned to use the pictures well yet."));
  result.episodes[0].outputs[0].model[0] = NAN;
  score(result);
  CHECK(verdict(result).find("not finite") != std::string::npos);
  CHECK(verdict(EvaluationResult{}) == "Nothing was held out, so nothing was measured.");
}

TEST_CASE("evaluation: the JSON has the documented members, and null for what cannot be said") {
  EvaluationResult result = sample();
  for (EpisodeResult& episode : result.episodes)
    for (double& value : episode.outputs[1].recorded) value = 0.5;
  score(result);
  result.run = "caf\xe9";  // not UTF-8
  const auto json = nlohmann::json::parse(to_json(result));
  const auto& angle = json["outputs"]["user/angle"];
  for (const char* member : {"mae", "rmse", "r2", "correlation"}) {
    CHECK(angle[member].is_number());
    CHECK(angle["baselines"]["constant"][member].is_null() ==
          (std::string(member) == "correlation"));
    CHECK(angle["baselines"]["ridge"][member].is_number());
  }
  CHECK(json["outputs"]["user/throttle"]["r2"].is_null());
  CHECK(json["outputs"]["user/throttle"]["driver_noise"]["r2_limit"].is_null());
  CHECK(json["episodes"].size() == 3);
  CHECK(json["episodes"][0]["outputs"]["user/angle"]["rmse"].is_number());
  CHECK(json["held_out"]["frames"] == 1500);
}

TEST_CASE("report: the page stands alone and shows every episode and output") {
  EvaluationResult result = sample();
  for (Moment& moment : result.moments) {
    moment.width = 160;
    moment.height = 120;
    moment.jpeg = "not really";
  }
  const std::string page = report(result);
  for (const char* outside : {"http:", "https:", "<script", "src=", "@import", "url("})
    CHECK(page.find(outside) == std::string::npos);
  CHECK(count(page, "<section>") == count(page, "</section>"));
  CHECK(count(page, "<svg") == count(page, "</svg>"));
  CHECK(count(page, "data:image/jpeg;base64,bm90IHJlYWxseQ==") == 6);
  CHECK(page.find("nan") == std::string::npos);
  for (const char* part :
       {"Episode 17 · data_2", "Episode 19 · data_3", "user/throttle", "prefers-color-scheme",
        "name = &quot;pilotnet&quot;", "0.1.0", "train/loss"}) {
    INFO(part);
    CHECK(page.find(part) != std::string::npos);
  }
}

TEST_CASE("report: no text from outside becomes markup") {
  EvaluationResult result = sample();
  const std::string evil = "<script>alert('x')</script>\"&";
  result.run = result.checkpoint = result.dataset = result.recipe_toml = evil;
  result.outputs[0].name = result.outputs[1].unit = evil;
  result.episodes[0].source = result.episodes[0].task = evil;
  result.notes = {evil};
  result.provenance = {{evil, evil}};
  result.curves[evil] = {{1, 0, 1}, {2, 0, 2}};
  CHECK(report(result).find("<script") == std::string::npos);
  CHECK(escape("<a href='b'>&\"") == "&lt;a href=&#39;b&#39;&gt;&amp;&quot;");
}

TEST_CASE("report: nothing held out, one frame, or only missing values still make a page") {
  CHECK(report(EvaluationResult{}).ends_with("</html>\n"));
  EvaluationResult result = sample();
  result.episodes.resize(1);
  EpisodeResult& episode = result.episodes[0];
  episode.time_s = {0};
  for (Series& series : episode.outputs) series = {{NAN}, {0.1}, {}};
  score(result);
  result.moments = worst_moments(result, 3);
  CHECK(result.moments.empty());
  const std::string page = report(result);
  const size_t nan = page.find("nan");
  INFO(page.substr(std::min(page.size(), nan) - 80, 160));
  CHECK(nan == std::string::npos);
  CHECK(to_json(result).find("\"mae\": null") != std::string::npos);
}

TEST_CASE("plot: ticks are round and inside") {
  CHECK(ticks(0, 10, 5) == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(ticks(-0.11, 0.09, 2) == std::vector<double>{-0.1, 0});
  CHECK(ticks(1, 1, 5).empty());
  CHECK(ticks(0, INFINITY, 5).empty());
}

TEST_CASE("plot: a long line is thinned but keeps its peaks, and gaps break it") {
  Line line{.colour = "model"};
  for (int i = 0; i < 100000; ++i) {
    line.x.push_back(i);
    line.y.push_back(i == 50001 ? 7 : i == 70000 ? NAN : 0);
  }
  const Axes axes{.x_label = "x", .y_label = "y", .y_range = {{0, 7}}};
  const std::string svg = line_plot(axes, {&line, 1});
  CHECK(svg.size() < 60000);
  CHECK(svg.find(" 10.0L") != std::string::npos);  // the peak, at the plot's top
  const size_t path = svg.find("<path");
  CHECK(count(svg.substr(path), "M") == 2);
}
