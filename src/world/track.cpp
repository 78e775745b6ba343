#include "world/track.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/random.h"

namespace argosy::world {
namespace {

using std::numbers::pi;

/// What makes a road of one difficulty.
struct Character {
  std::string_view name;
  int control_points;
  double radius_m;      // mean distance of the control points from the middle
  double roughness;     // how far they stray from it, as a share
  double min_radius_m;  // of the centre line's bends
  double min_half_width_m, max_half_width_m;
};
constexpr Character kCharacters[] = {
    {"easy", 8, 3.2, 0.16, 1.6, 0.42, 0.50},
    {"moderate", 11, 3.7, 0.34, 1.1, 0.36, 0.46},
    {"hard", 13, 4.3, 0.42, 0.85, 0.32, 0.42},
};
constexpr double kSpacing_m = 0.05;
constexpr double kVerge_m = 0.4;  // ground between two stretches of road, at least
constexpr int kAttempts = 2000;

/// A closed uniform cubic B-spline and its first two derivatives at t, one control point per unit.
struct Spline {
  std::vector<Point> points;
  Point at(double t, int derivative) const {
    const auto n = static_cast<int64_t>(points.size());
    const auto i = static_cast<int64_t>(std::floor(t));
    const double u = t - static_cast<double>(i), v = 1 - u;
    const double weights[3][4] = {
        {v * v * v / 6, (3 * u * u * u - 6 * u * u + 4) / 6,
         (-3 * u * u * u + 3 * u * u + 3 * u + 1) / 6, u * u * u / 6},
        {-v * v / 2, (3 * u * u - 4 * u) / 2, (-3 * u * u + 2 * u + 1) / 2, u * u / 2},
        {v, 3 * u - 2, 1 - 3 * u, u}};
    Point sum;
    for (int64_t k = 0; k < 4; ++k)
      sum = sum + weights[derivative][k] * points[static_cast<size_t>((i + k) % n)];
    return sum;
  }
  double size() const { return static_cast<double>(points.size()); }
};

/// Stations at even distances along the spline, close to kSpacing_m; widths are left to the caller.
std::vector<Station> resampled(const Spline& spline) {
  constexpr int kSteps = 200;  // per control point
  const auto steps = static_cast<size_t>(spline.size()) * kSteps;
  const double dt = spline.size() / static_cast<double>(steps);
  std::vector<double> lengths(steps + 1, 0.0);  // by the midpoint rule
  for (size_t i = 0; i < steps; ++i)
    lengths[i + 1] = lengths[i] + dt * length(spline.at((static_cast<double>(i) + 0.5) * dt, 1));
  const auto count = static_cast<size_t>(std::lround(lengths.back() / kSpacing_m));
  std::vector<Station> stations(count);
  size_t step = 0;
  for (size_t i = 0; i < count; ++i) {
    const double s = lengths.back() * static_cast<double>(i) / static_cast<double>(count);
    while (lengths[step + 1] < s) ++step;
    const double share = (s - lengths[step]) / (lengths[step + 1] - lengths[step]);
    const double t = (static_cast<double>(step) + share) * dt;
    const Point first = spline.at(t, 1), second = spline.at(t, 2);
    stations[i] = {.position = spline.at(t, 0),
                   .heading_rad = std::atan2(first.y_m, first.x_m),
                   .curvature_per_m = cross(first, second) / std::pow(length(first), 3)};
  }
  return stations;
}

/// Whether the road keeps its bends wide enough and two stretches of it apart.
bool drivable(const std::vector<Station>& stations, double spacing_m, const Character& wanted) {
  for (const Station& station : stations)
    if (std::abs(station.curvature_per_m) * wanted.min_radius_m > 1) return false;
  const auto n = static_cast<int64_t>(stations.size());
  // nearer along the road than half a turn of the tightest bend, the bends alone keep it apart
  const auto apart = static_cast<int64_t>(pi * wanted.min_radius_m / spacing_m);
  for (int64_t i = 0; i < n; i += 2) {
    for (int64_t j = i + apart; j < n && j - i <= n - apart; j += 2) {
      const Station &a = stations[static_cast<size_t>(i)], &b = stations[static_cast<size_t>(j)];
      if (length(a.position - b.position) < a.half_width_m + b.half_width_m + kVerge_m)
        return false;
    }
  }
  return true;
}

/// One try: control points around a middle, with angles and distances that stray.
std::vector<Station> drawn(Random& random, const Character& wanted) {
  Spline spline;
  const float phase = random.uniform(0, 2 * static_cast<float>(pi));
  for (int i = 0; i < wanted.control_points; ++i) {
    const double angle =
        phase + 2 * pi * (i + random.uniform(-0.25f, 0.25f)) / wanted.control_points;
    const double radius = wanted.radius_m * (1 + wanted.roughness * random.uniform(-1, 1));
    // longer than wide, as rooms are
    spline.points.push_back({1.15 * radius * std::cos(angle), 0.9 * radius * std::sin(angle)});
  }
  std::vector<Station> stations = resampled(spline);
  const double middle = (wanted.min_half_width_m + wanted.max_half_width_m) / 2;
  const double swing = (wanted.max_half_width_m - wanted.min_half_width_m) / 2;
  const double waves = 1 + static_cast<double>(random.below(3)), start = random.uniform(0, 6.28f);
  for (size_t i = 0; i < stations.size(); ++i)
    stations[i].half_width_m =
        middle + swing * std::sin(start + waves * 2 * pi * static_cast<double>(i) /
                                              static_cast<double>(stations.size()));
  return stations;
}

}  // namespace

Difficulty difficulty_named(std::string_view name, std::string_view where) {
  for (size_t i = 0; i < std::size(kCharacters); ++i)
    if (name == kCharacters[i].name) return static_cast<Difficulty>(i);
  throw Error({.what = fmt::format("\"{}\" is none of easy, moderate, hard", name),
               .where = std::string(where),
               .fix = "give one of these"});
}

Track::Track(std::vector<Station> stations, double spacing_m)
    : stations_(std::move(stations)), spacing_m_(spacing_m) {}

Track Track::generate(uint64_t seed, Difficulty difficulty) {
  const Character& wanted = kCharacters[static_cast<size_t>(difficulty)];
  Random random(seed, hash_of("track"));
  const bool clockwise = random.below(2) == 1;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::vector<Station> stations = drawn(random, wanted);
    if (!drivable(stations, kSpacing_m, wanted)) continue;
    const auto n = static_cast<double>(stations.size());
    // the chord between neighbours is the spacing, but for what a bend takes from it
    double total = 0;
    for (size_t i = 0; i < stations.size(); ++i)
      total += length(stations[(i + 1) % stations.size()].position - stations[i].position);
    Track track(std::move(stations), total / n);
    return clockwise ? track.mirrored() : track;
  }
  throw Error({.what = fmt::format("none of {} tries gave a {} road without tight bends", kAttempts,
                                   wanted.name),
               .where = fmt::format("track, seed {}", seed),
               .fix = "take another seed or an easier difficulty"});
}

Track Track::circle(double radius_m, double half_width_m) {
  const auto count = static_cast<size_t>(std::lround(2 * pi * radius_m / kSpacing_m));
  std::vector<Station> stations(count);
  for (size_t i = 0; i < count; ++i) {
    const double angle = 2 * pi * static_cast<double>(i) / static_cast<double>(count);
    stations[i] = {.position = radius_m * direction(angle),
                   .heading_rad = angle + pi / 2,
                   .curvature_per_m = 1 / radius_m,
                   .half_width_m = half_width_m};
  }
  return {std::move(stations), 2 * pi * radius_m / static_cast<double>(count)};
}

Track Track::mirrored() const {
  std::vector<Station> stations = stations_;
  for (Station& station : stations) {
    station.position.y_m = -station.position.y_m;
    station.heading_rad = -station.heading_rad;
    station.curvature_per_m = -station.curvature_per_m;
  }
  return {std::move(stations), spacing_m_};
}

double Track::min_radius_m() const {
  double sharpest = 0;
  for (const Station& station : stations_)
    sharpest = std::max(sharpest, std::abs(station.curvature_per_m));
  return 1 / sharpest;
}

Station Track::at(double s_m) const {
  const double place = s_m / spacing_m_, whole = std::floor(place), share = place - whole;
  const auto n = static_cast<int64_t>(stations_.size());
  const int64_t i = ((static_cast<int64_t>(whole) % n) + n) % n;
  const Station &a = stations_[static_cast<size_t>(i)],
                &b = stations_[static_cast<size_t>((i + 1) % n)];
  const auto between = [share](double from, double to) { return from + share * (to - from); };
  return {.position = a.position + share * (b.position - a.position),
          .heading_rad = a.heading_rad + share * wrapped_angle(b.heading_rad - a.heading_rad),
          .curvature_per_m = between(a.curvature_per_m, b.curvature_per_m),
          .half_width_m = between(a.half_width_m, b.half_width_m)};
}

Pose Track::pose_at(double s_m, double lateral_m) const {
  const Station station = at(s_m);
  return {station.position + lateral_m * left_of(direction(station.heading_rad)),
          station.heading_rad};
}

Projection Track::project(const Pose& pose) const {
  return project(pose, 0, static_cast<int64_t>(stations_.size()));
}

Projection Track::project(const Pose& pose, double near_s_m, double reach_m) const {
  const auto reach = std::min(static_cast<int64_t>(std::ceil(reach_m / spacing_m_)),
                              static_cast<int64_t>(stations_.size()) / 2);
  return project(pose, static_cast<int64_t>(std::floor(near_s_m / spacing_m_)) - reach,
                 2 * reach + 1);
}

Projection Track::project(const Pose& pose, int64_t first, int64_t count) const {
  const auto n = static_cast<int64_t>(stations_.size());
  double best = std::numeric_limits<double>::infinity();
  int64_t nearest = 0;
  for (int64_t k = 0; k < count; ++k) {
    const int64_t i = (((first + k) % n) + n) % n;
    const Point gap = pose.position - stations_[static_cast<size_t>(i)].position;
    if (const double square = dot(gap, gap); square < best) best = square, nearest = i;
  }
  const Station& station = stations_[static_cast<size_t>(nearest)];
  const Point along = direction(station.heading_rad);
  const double ahead = dot(pose.position - station.position, along);
  const double s = static_cast<double>(nearest) * spacing_m_ + ahead;
  const Station there = at(s);
  const double length = length_m();
  const double wrapped = s - length * std::floor(s / length);
  return {.s_m = wrapped < length ? wrapped : 0,
          .lateral_m = cross(direction(there.heading_rad), pose.position - there.position),
          .heading_error_rad = wrapped_angle(pose.heading_rad - there.heading_rad)};
}

double Track::distance_m(double from_s_m, double to_s_m) const {
  return std::remainder(to_s_m - from_s_m, length_m());
}

}  // namespace argosy::world
