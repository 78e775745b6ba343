#pragma once
#include <cstdint>
#include <string>

namespace argosy::cli {

struct EvalOptions {
  std::string run, data, report, json, checkpoint = "last";
  std::string world, difficulty = "moderate", film;
  int64_t tracks = 20, laps = 1, obstacles = 0, other_cars = 0;
  uint64_t seed = 1;
};

/// A policy on recordings or in the simulated world.
int evaluate_policy(const EvalOptions& options);

}  // namespace argosy::cli
