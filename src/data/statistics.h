#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"

namespace argosy::data {

/// Statistics of one feature, per element of its last axis, as LeRobot defines them.
struct Statistics {
  static constexpr std::array<double, 5> kQuantiles = {0.01, 0.10, 0.50, 0.90, 0.99};

  std::vector<double> min, max, mean, std;
  std::array<std::vector<double>, 5> quantiles;  ///< empty where not known
  int64_t count = 0;                             ///< rows (for cameras: frames looked at)
  std::vector<int64_t> present;  ///< rows with a value, per element; all `count` where not known
  bool camera = false;           ///< written as [[[r]], [[g]], [[b]]]
};

/// Over `values`, row-major with `width` numbers per row. NaN is left out; an element without any
/// value gets zeros, because LeRobot cannot read a statistic that is no number.
Statistics column_statistics(std::span<const double> values, int64_t width);

/// The statistics of several parts taken together: LeRobot's aggregation, by which the quantiles
/// are means of the parts' quantiles. Parts may not be empty.
Statistics aggregate(std::span<const Statistics> parts);

/// Statistics of a camera over the frames given to it, colours in [0, 1].
class ImageStatistics {
 public:
  /// Which of `length` frames LeRobot looks at: length^0.75 of them, 100 at least, evenly spaced.
  static std::vector<int64_t> sample(int64_t length);

  void add(const Image& image);
  Statistics result() const;

 private:
  std::array<std::array<int64_t, 256>, 3> histogram_{};
  int64_t frames_ = 0;
};

/// meta/stats.json: the text for features in order, and back (nullopt: not readable).
using NamedStatistics = std::vector<std::pair<std::string, Statistics>>;
std::string statistics_json(const NamedStatistics& all);
std::optional<NamedStatistics> parse_statistics(const std::string& text);

}  // namespace argosy::data
