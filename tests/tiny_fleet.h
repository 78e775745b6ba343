#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "data/dataset_writer.h"
#include "world/expert.h"
#include "world/seeds.h"

namespace argosy::test {

/// Simulated cars that an expert drives, as a data set: one recording of `episodes` a car.
inline void write_fleet(const Path& folder, int cars, int episodes, double seconds, int width,
                        int height, uint64_t seed = 1) {
  data::DatasetOptions options;
  options.fps = 20;
  options.robot_type = "donkeycar";
  options.features = {
      {.name = "action",
       .dtype = "float32",
       .shape = {2},
       .names = {"user/angle", "user/throttle"},
       .units = {}},
      {.name = "world", .dtype = "string", .shape = {1}},
      {.name = "observation.images.front", .dtype = "video", .shape = {height, width, 3}}};
  data::DatasetWriter writer(folder, options);
  for (int i = 0; i < cars * episodes; ++i) {
    const auto number = static_cast<uint64_t>(2 * i);
    const auto simulation = std::make_shared<world::Simulation>(
        world::SimulationOptions{.track_seed = world::recording_seed(seed, number),
                                 .look_seed = world::recording_seed(seed, number + 1),
                                 .width = width,
                                 .height = height});
    world::Expert expert(number);
    data::EpisodeData episode;
    episode.length = std::lround(seconds * world::kControlRate_hz);
    episode.task = "drive";
    episode.source = fmt::format("car_{}", i / episodes);
    episode.texts["world"].assign(static_cast<size_t>(episode.length), "track");
    std::vector<data::Image> pictures;
    for (int64_t frame = 0; frame < episode.length; ++frame) {
      data::Image picture{height, width, std::vector<uint8_t>(size_t{3} * height * width)};
      simulation->picture(picture.pixels);
      pictures.push_back(std::move(picture));
      const world::Controls controls = expert.drive(*simulation);
      episode.columns["action"].insert(episode.columns["action"].end(),
                                       {controls.angle, controls.throttle});
      simulation->step(controls);
      if (simulation->state().off_road) simulation->put_back();
    }
    episode.frame = [&pictures](const std::string&, int64_t frame) {
      return pictures[static_cast<size_t>(frame)];
    };
    writer.add(episode);
  }
  writer.commit();
}

}  // namespace argosy::test
