#include "drive/latency.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace argosy::drive {
namespace {
constexpr double kFirst_s = 1e-5, kGrowth = 1.05;  // up to 20 s
constexpr size_t kColumns = 24;

double upper_s(size_t bucket) { return kFirst_s * std::pow(kGrowth, static_cast<double>(bucket)); }
}  // namespace

void Latency::add(double seconds) {
  const double place =
      std::ceil(std::log(std::max(seconds, kFirst_s) / kFirst_s) / std::log(kGrowth));
  ++buckets_[std::min(static_cast<size_t>(place), buckets_.size() - 1)];
  ++count_;
  max_s_ = std::max(max_s_, seconds);
}

double Latency::quantile_s(double share) const {
  int64_t below = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    below += buckets_[i];
    if (below > 0 && static_cast<double>(below) >= share * static_cast<double>(count_))
      return std::min(upper_s(i), max_s_);
  }
  return 0;
}

std::string Latency::histogram() const {
  static constexpr const char* kLevels[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  size_t first = 0, end = buckets_.size();
  while (first < end && buckets_[first] == 0) ++first;
  while (end > first && buckets_[end - 1] == 0) --end;
  if (first == end) return "none";
  const size_t width = (end - first + kColumns - 1) / kColumns;
  std::vector<int64_t> columns((end - first + width - 1) / width);
  for (size_t i = first; i < end; ++i) columns[(i - first) / width] += buckets_[i];
  const auto most = static_cast<double>(*std::max_element(columns.begin(), columns.end()));
  std::string bars;
  for (const int64_t n : columns)  // whatever happened once is seen
    bars += kLevels[static_cast<size_t>(std::ceil(8 * static_cast<double>(n) / most))];
  return fmt::format("{:.2f} ms {} {:.2f} ms", 1e3 * upper_s(first > 0 ? first - 1 : 0), bars,
                     1e3 * max_s_);
}

}  // namespace argosy::drive
