#include "run/recent_frames.h"

#include <doctest/doctest.h>

using namespace argosy;

namespace {

/// Clips of `frames` pictures of one pixel, 0.1 s apart.
run::Recipe recipe_of(int64_t frames) {
  run::Recipe recipe;
  recipe.model.frames = frames;
  recipe.model.frame_interval_s = 0.1;
  recipe.model.height = recipe.model.width = 1;
  return recipe;
}

std::vector<int> clip_after(run::RecentFrames& recent, double time_s, uint8_t value) {
  recent.add(time_s, std::vector<uint8_t>(3, value));
  std::vector<int> values;
  const auto clip = recent.clip();
  for (size_t i = 0; i < clip.size(); i += 3) values.push_back(clip[i]);
  return values;
}

}  // namespace

TEST_CASE("recent frames: a clip has the frames nearest to its times, and the first before them") {
  run::RecentFrames recent(recipe_of(3), 20);
  CHECK(recent.empty());
  using Values = std::vector<int>;
  CHECK(clip_after(recent, 5.00, 1) == Values{1, 1, 1});
  CHECK(clip_after(recent, 5.05, 2) == Values{1, 1, 2});
  CHECK(clip_after(recent, 5.10, 3) == Values{1, 1, 3});
  CHECK(clip_after(recent, 5.15, 4) == Values{1, 2, 4});
  CHECK(clip_after(recent, 5.20, 5) == Values{1, 3, 5});
  // one is missing
  CHECK(clip_after(recent, 5.31, 6) == Values{3, 5, 6});
}

TEST_CASE("recent frames: a pause, or a clock that is put back, begins anew") {
  run::RecentFrames recent(recipe_of(2), 0);
  clip_after(recent, 7.0, 1);
  CHECK(clip_after(recent, 7.9, 2) == std::vector<int>{2, 2});
  CHECK(clip_after(recent, 8.95, 3) == std::vector<int>{3, 3});
  CHECK(clip_after(recent, 9.05, 4) == std::vector<int>{3, 4});
  CHECK(clip_after(recent, 1.0, 5) == std::vector<int>{5, 5});
}
