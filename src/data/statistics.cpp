#include "data/statistics.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace argosy::data {
namespace {

constexpr std::array<const char*, 5> kQuantileNames = {"q01", "q10", "q50", "q90", "q99"};

void resize(Statistics& s, size_t width) {
  for (auto* list : {&s.min, &s.max, &s.mean, &s.std}) list->assign(width, 0.0);
  for (auto& list : s.quantiles) list.assign(width, 0.0);
  s.present.assign(width, 0);
}

/// LeRobot's way: 5000 bins between the extremes, linear inside a bin.
void histogram_quantiles(const std::vector<double>& values, double low, double high, Statistics& to,
                         size_t element) {
  constexpr size_t kBins = 5000;
  const double first = low - 1e-10, width = (high + 1e-10 - first) / kBins;
  if (!(high > low) || !(width > 0) || !std::isfinite(width)) {
    for (auto& quantile : to.quantiles) quantile[element] = low;
    return;
  }
  std::vector<int64_t> bins(kBins, 0);
  for (const double value : values) {
    const double at = (value - first) / width;
    ++bins[std::min(kBins - 1, static_cast<size_t>(std::max(0.0, at)))];
  }
  for (size_t q = 0; q < to.quantiles.size(); ++q) {
    const double target = Statistics::kQuantiles[q] * static_cast<double>(values.size());
    double before = 0;
    size_t bin = 0;
    while (bin + 1 < kBins && before + static_cast<double>(bins[bin]) < target)
      before += static_cast<double>(bins[bin++]);
    const double inside = bins[bin] > 0 ? (target - before) / static_cast<double>(bins[bin]) : 0.0;
    to.quantiles[q][element] = first + width * (static_cast<double>(bin) + inside);
  }
}

}  // namespace

Statistics column_statistics(std::span<const double> values, int64_t width) {
  check(width > 0 && static_cast<int64_t>(values.size()) % width == 0, "{} values in rows of {}",
        values.size(), width);
  Statistics s;
  const size_t w = static_cast<size_t>(width), rows = values.size() / w;
  resize(s, w);
  s.count = static_cast<int64_t>(rows);
  std::vector<double> there;
  for (size_t e = 0; e < w; ++e) {
    there.clear();
    for (size_t r = 0; r < rows; ++r)
      if (std::isfinite(values[r * w + e])) there.push_back(values[r * w + e]);
    s.present[e] = static_cast<int64_t>(there.size());
    if (there.empty()) continue;
    const auto [low, high] = std::minmax_element(there.begin(), there.end());
    s.min[e] = *low;
    s.max[e] = *high;
    double sum = 0, squares = 0;
    for (const double v : there) sum += v;
    const double mean = sum / static_cast<double>(there.size());
    for (const double v : there) squares += (v - mean) * (v - mean);
    s.mean[e] = mean;
    s.std[e] = std::sqrt(squares / static_cast<double>(there.size()));
    histogram_quantiles(there, s.min[e], s.max[e], s, e);
  }
  return s;
}

Statistics aggregate(std::span<const Statistics> parts) {
  check(!parts.empty(), "statistics of nothing");
  Statistics s;
  const size_t width = parts[0].mean.size();
  resize(s, width);
  s.camera = parts[0].camera;
  for (size_t q = 0; q < s.quantiles.size(); ++q)
    for (const Statistics& part : parts)
      if (part.quantiles[q].size() != width) s.quantiles[q].clear();
  for (const Statistics& part : parts) s.count += part.count;
  for (size_t e = 0; e < width; ++e) {
    double total = 0, mean = 0, variance = 0;
    for (const Statistics& part : parts) {
      const auto weight = static_cast<double>(part.present[e]);
      if (weight == 0) continue;
      s.min[e] = total > 0 ? std::min(s.min[e], part.min[e]) : part.min[e];
      s.max[e] = total > 0 ? std::max(s.max[e], part.max[e]) : part.max[e];
      total += weight;
      mean += weight * part.mean[e];
      s.present[e] += part.present[e];
    }
    if (total == 0) continue;
    s.mean[e] = mean / total;
    for (const Statistics& part : parts) {
      const auto weight = static_cast<double>(part.present[e]) / total;
      const double shift = part.mean[e] - s.mean[e];
      variance += weight * (part.std[e] * part.std[e] + shift * shift);
      for (size_t q = 0; q < s.quantiles.size(); ++q)
        if (!s.quantiles[q].empty()) s.quantiles[q][e] += weight * part.quantiles[q][e];
    }
    s.std[e] = std::sqrt(variance);
  }
  return s;
}

std::vector<int64_t> ImageStatistics::sample(int64_t length) {
  const auto wanted = static_cast<int64_t>(std::pow(static_cast<double>(length), 0.75));
  const int64_t n = std::clamp<int64_t>(wanted, std::min<int64_t>(100, length), 10000);
  std::vector<int64_t> frames;
  for (int64_t i = 0; i < n; ++i)
    frames.push_back(n == 1
                         ? 0
                         : std::llround(static_cast<double>(i) * static_cast<double>(length - 1) /
                                        static_cast<double>(n - 1)));
  return frames;
}

void ImageStatistics::add(const Image& image) {
  const int longer = std::max(image.height, image.width);
  const int step = longer >= 300 ? longer / 150 : 1;
  for (int y = 0; y < image.height; y += step)
    for (int x = 0; x < image.width; x += step) {
      const uint8_t* pixel = &image.pixels[3 * (static_cast<size_t>(y) * image.width + x)];
      for (size_t c = 0; c < 3; ++c) ++histogram_[c][pixel[c]];
    }
  ++frames_;
}

Statistics ImageStatistics::result() const {
  Statistics s;
  resize(s, 3);
  s.camera = true;
  s.count = frames_;
  s.present.assign(3, frames_);
  for (size_t c = 0; c < 3; ++c) {
    const auto& bins = histogram_[c];
    double total = 0, sum = 0, squares = 0;
    s.min[c] = 1.0;
    for (size_t v = 0; v < bins.size(); ++v) {
      if (bins[v] == 0) continue;
      const double value = static_cast<double>(v) / 255.0, n = static_cast<double>(bins[v]);
      s.min[c] = std::min(s.min[c], value);
      s.max[c] = value;
      total += n;
      sum += n * value;
      squares += n * value * value;
    }
    if (total == 0) continue;
    s.mean[c] = sum / total;
    s.std[c] = std::sqrt(std::max(0.0, squares / total - s.mean[c] * s.mean[c]));
    for (size_t q = 0; q < s.quantiles.size(); ++q) {
      double before = 0;
      size_t v = 0;
      while (v < 255 && before + static_cast<double>(bins[v]) < Statistics::kQuantiles[q] * total)
        before += static_cast<double>(bins[v++]);
      s.quantiles[q][c] = static_cast<double>(v) / 255.0;
    }
  }
  return s;
}

std::string statistics_json(const NamedStatistics& all) {
  using Json = nlohmann::ordered_json;
  Json root = Json::object();
  for (const auto& [name, s] : all) {
    const auto list = [&](const std::vector<double>& values) {
      if (!s.camera) return Json(values);
      Json nested = Json::array();
      for (const double value : values) nested.push_back(Json::array({Json::array({value})}));
      return nested;
    };
    Json& object = root[name];
    object = {{"min", list(s.min)},
              {"max", list(s.max)},
              {"mean", list(s.mean)},
              {"std", list(s.std)},
              {"count", Json::array({s.count})}};
    for (size_t q = 0; q < s.quantiles.size(); ++q)
      if (!s.quantiles[q].empty()) object[kQuantileNames[q]] = list(s.quantiles[q]);
  }
  return root.dump(4);
}

std::optional<NamedStatistics> parse_statistics(const std::string& text) {
  using Json = nlohmann::ordered_json;
  const Json root = Json::parse(text, nullptr, false);
  if (!root.is_object()) return std::nullopt;
  NamedStatistics all;
  for (const auto& [name, object] : root.items()) {
    Statistics s;
    const auto numbers = [&](const char* key) {
      std::vector<double> values;
      if (!object.is_object() || !object.contains(key)) return values;
      const Json flat = object[key].flatten();
      if (object[key].is_array() && !object[key].empty())
        for (const auto& value : flat)
          if (value.is_number()) values.push_back(value.template get<double>());
      s.camera =
          s.camera || (object[key].is_array() && !object[key].empty() && object[key][0].is_array());
      return values;
    };
    s.min = numbers("min");
    s.max = numbers("max");
    s.mean = numbers("mean");
    s.std = numbers("std");
    for (size_t q = 0; q < s.quantiles.size(); ++q) s.quantiles[q] = numbers(kQuantileNames[q]);
    const auto count = numbers("count");
    const size_t width = s.mean.size();
    if (width == 0 || s.min.size() != width || s.max.size() != width || s.std.size() != width ||
        count.size() != 1 || !(count[0] >= 0 && count[0] < 1e15))
      return std::nullopt;
    s.count = static_cast<int64_t>(count[0]);
    s.present.assign(width, s.count);
    all.emplace_back(name, std::move(s));
  }
  return all;
}

}  // namespace argosy::data
