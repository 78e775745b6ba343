#pragma once
#include <cmath>
#include <numbers>

/// The plane of the road: metres, x and y right-handed, headings anticlockwise from x.
namespace argosy::world {

struct Point {
  double x_m = 0, y_m = 0;
};

inline Point operator+(Point a, Point b) { return {a.x_m + b.x_m, a.y_m + b.y_m}; }
inline Point operator-(Point a, Point b) { return {a.x_m - b.x_m, a.y_m - b.y_m}; }
inline Point operator*(double k, Point a) { return {k * a.x_m, k * a.y_m}; }
inline double dot(Point a, Point b) { return a.x_m * b.x_m + a.y_m * b.y_m; }
inline double cross(Point a, Point b) { return a.x_m * b.y_m - a.y_m * b.x_m; }
inline double length(Point a) { return std::hypot(a.x_m, a.y_m); }
inline Point direction(double heading_rad) {
  return {std::cos(heading_rad), std::sin(heading_rad)};
}
inline Point left_of(Point a) { return {-a.y_m, a.x_m}; }

struct Pose {
  Point position;
  double heading_rad = 0;
};

/// The same angle in (-pi, pi].
inline double wrapped_angle(double angle_rad) {
  return std::remainder(angle_rad, 2 * std::numbers::pi);
}

}  // namespace argosy::world
