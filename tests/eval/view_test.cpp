#include "eval/view.h"

#include <doctest/doctest.h>

#include <cmath>

#include "base/error.h"
#include "data/sample.h"
#include "data/video.h"
#include "program.h"
#include "shared.h"
#include "tiny_drives.h"

using namespace argosy;

namespace {

struct Sample {
  test::TemporaryFolder temporary;
  data::Dataset dataset;
  Sample() : dataset(make(temporary.path() / "sample")) {}
  static data::Dataset make(const Path& folder) {
    test::write_sample(folder, {6, 5, 4}, test::sample_options());
    return data::Dataset::open(folder);
  }
  eval::ViewOptions options(std::vector<int64_t> episodes) const {
    return {.episodes = std::move(episodes), .work = temporary.path()};
  }
};

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("view: an episode has its numbers, and every camera's frames in a small film") {
  const Sample sample;
  auto options = sample.options({2, 0});
  options.columns = {"speed", "grid.4"};
  options.film_height = 32;
  const eval::ShownEpisodes shown = eval::view_episodes(sample.dataset, options);
  REQUIRE(shown.episodes.size() == 2);
  const eval::ShownEpisode& episode = shown.episodes[0];
  CHECK(episode.index == 2);
  CHECK(episode.frames == 4);
  REQUIRE(episode.signals.size() == 2);
  for (size_t i = 0; i < 4; ++i) {
    const auto row = static_cast<int64_t>(11 + i);
    const double speed = test::sample_value(2, row, 0), got = episode.signals[0].recorded[i];
    CHECK((got == speed || (std::isnan(got) && std::isnan(speed))));
    CHECK(episode.signals[1].recorded[i] == test::sample_value(4, row, 4));
  }
  CHECK(episode.signals[0].predicted.empty());
  REQUIRE(episode.films.size() == 2);
  CHECK(episode.films[0].camera == "observation.images.front");
  CHECK(episode.films[0].height == 32);
  CHECK(episode.films[0].width == 48);
  const Path file = sample.temporary.path() / "one.mp4";
  write_file(file, episode.films[0].mp4);
  data::VideoReader film(file);
  REQUIRE(film.frames() == 4);
  for (int64_t i = 0; i < 4; ++i) CHECK(test::number_in(film.read(i)) == 11 + i);
}

TEST_CASE("view: without a choice actions come first, and what is left out is said") {
  const Sample sample;
  const eval::ShownEpisodes shown = eval::view_episodes(sample.dataset, sample.options({0}));
  REQUIRE(shown.episodes[0].signals.size() == 12);
  CHECK(shown.episodes[0].signals[0].name == "action.0");
  CHECK(shown.episodes[0].signals[2].name == "x");
  CHECK(shown.episodes[0].signals[2].unit == "m");
  REQUIRE(shown.notes.size() == 1);
  CHECK(shown.notes[0] == "12 of 15 columns are drawn; --columns chooses others.");
}

TEST_CASE("view: films together are no larger than asked for, and the rest is counted") {
  const Sample sample;
  auto options = sample.options({0, 1, 2});
  const auto all = eval::view_episodes(sample.dataset, options);
  int64_t first = 0, total = 0;
  for (const auto& episode : all.episodes)
    for (const auto& film : episode.films) {
      total += static_cast<int64_t>(film.mp4.size());
      if (&film == &all.episodes[0].films[0]) first = total;
    }
  options.film_bytes = first;
  const auto one = eval::view_episodes(sample.dataset, options);
  CHECK(one.episodes[0].films.size() == 1);
  CHECK(one.episodes[2].films.empty());
  CHECK(one.notes.back().starts_with("5 films are left out"));
  options.film_bytes = total;
  CHECK(eval::view_episodes(sample.dataset, options).episodes[2].films.size() == 2);
}

TEST_CASE("view: an episode or a column that is not there is an error with the way out") {
  const Sample sample;
  CHECK_THROWS_AS(eval::view_episodes(sample.dataset, sample.options({3})), Error);
  auto options = sample.options({0});
  options.columns = {"sped"};
  CHECK_THROWS_WITH_AS(eval::view_episodes(sample.dataset, options),
                       doctest::Contains("did you mean speed?"), Error);
}

TEST_CASE("view: the page needs nothing else, and no name can break it") {
  eval::ShownEpisodes shown{.dataset = "</title><script>alert(1)</script>", .policy = "a & b"};
  shown.fps = 10;
  shown.episodes.push_back(
      {.index = 4,
       .frames = 3,
       .source = "<img src=x>",
       .films = {{"\"front\"", "mp4", 32, 24}},
       .signals = {{"angle<b>", "rad", {0.5, NAN, -1}, {0.25, 0.125, INFINITY}},
                   {"speed", "", {1, 2, 3}, {}}}});
  const std::string page = eval::episodes_page(shown);
  CHECK(count(page, "alert(1)") == 2);  // escaped, in title and heading
  CHECK(page.find("<script>alert") == std::string::npos);
  CHECK(page.find("<img") == std::string::npos);
  CHECK(page.find("angle<b>") == std::string::npos);
  CHECK(page.find("src=\"data:video/mp4;base64,bXA0\"") != std::string::npos);
  CHECK(page.find("[[[0.5,null,-1],[0.25,0.125,null]],[[1,2,3]]]") != std::string::npos);
  CHECK(count(page, "<svg class=\"plot\"") == 2);
  CHECK(count(page, "data-x=\"56 888 0 0.2\"") == 2);
  CHECK(count(page, "class=\"stroke-model\"") == 1);
  CHECK(page.find("http") == page.find("http://www.w3.org/2000/svg"));  // a name, not an address
}

TEST_CASE("data view: a run's outputs stand beside the recorded ones" *
          doctest::test_suite("slow")) {
  const test::TemporaryFolder temporary;
  const Path drives = temporary.path() / "drives", run = temporary.path() / "run";
  test::write_drives(drives);
  std::vector<std::string> train = {
      "train", Path(ARGOSY_SOURCE_DIR) / "recipes/drive-overview.toml", "--to", run};
  for (const std::string& setting : test::tiny_settings(drives, "pilotnet"))
    train.push_back(setting);
  REQUIRE(test::run_program(temporary.path(), train).code == 0);
  const data::Dataset dataset = data::Dataset::open(drives);
  const eval::ShownEpisodes shown =
      eval::view_episodes(dataset, {.episodes = {5, 1}, .run = run, .work = temporary.path()});
  const eval::ShownEpisodes alone =
      eval::view_episodes(dataset, {.episodes = {1}, .run = run, .work = temporary.path()});
  REQUIRE(shown.episodes.size() == 2);
  for (const eval::ShownEpisode& episode : shown.episodes) {
    REQUIRE(episode.signals.size() == 2);
    CHECK(episode.signals[0].name == "user/angle");
    CHECK(episode.signals[0].predicted.size() == static_cast<size_t>(episode.frames));
  }
  CHECK(shown.episodes[1].signals[0].predicted == alone.episodes[0].signals[0].predicted);
  const Path page = temporary.path() / "there" / "page.html";
  const auto ended = test::run_program(temporary.path(), {"data", "view", drives, "--episodes",
                                                          "0-2,4", "--run", run, "--to", page});
  CHECK(ended.code == 0);
  CHECK(count(read_file(page), "<section data-fps") == 4);
  CHECK(std::distance(std::filesystem::directory_iterator(page.parent_path()), {}) == 1);
  for (const char* wrong : {"6", "2-1", "x", "1-", "-1", "", ",", "0-99999999999999999999"}) {
    const auto refused = test::run_program(
        temporary.path(), {"data", "view", drives, "--to", page, "--episodes", wrong});
    INFO(wrong);
    CHECK(refused.code == (*wrong ? 2 : 0));  // empty: the first ones
  }
}
