#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace argosy::eval {

/// A camera's film of an episode as an mp4, which browsers play.
struct ShownFilm {
  std::string camera, mp4;
  int width = 0, height = 0;
};

/// One number over an episode, and what the policy would have given.
struct ShownSignal {
  std::string name, unit;
  std::vector<double> recorded;   ///< [frames], NaN where nothing was recorded
  std::vector<double> predicted;  ///< as many, or none
};

struct ShownEpisode {
  int64_t index = 0, frames = 0;
  std::string source, task, provenance;
  std::vector<ShownFilm> films;
  std::vector<ShownSignal> signals;
};

struct ShownEpisodes {
  std::string dataset;
  std::string policy;  ///< what the predictions are of; "" without
  int fps = 1;
  std::vector<ShownEpisode> episodes;
  std::vector<std::string> notes;  ///< sentences on what is left out
};

/// One HTML page that needs nothing else: of each episode the films, and the signals over time with
/// a cursor that goes with them.
std::string episodes_page(const ShownEpisodes& shown);

}  // namespace argosy::eval
