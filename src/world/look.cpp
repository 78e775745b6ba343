#include "world/look.h"

#include <algorithm>

#include "base/random.h"

namespace argosy::world {
namespace {

constexpr float kPi = std::numbers::pi_v<float>;

Colour grey(Random& random, float low, float high, float tint) {
  const float level = random.uniform(low, high);
  Colour colour;
  for (float& channel : colour)
    channel = std::clamp(level + tint * random.uniform(-1, 1), 0.0f, 1.0f);
  return colour;
}

float lightness(const Colour& colour) { return (colour[0] + 2 * colour[1] + colour[2]) / 4; }

/// White, yellow, orange, blue, red or black tape, whichever stands out from what it lies on.
Colour tape_on(const Colour& ground, Random& random) {
  static constexpr Colour kTapes[] = {{0.95f, 0.95f, 0.92f}, {0.93f, 0.8f, 0.15f},
                                      {0.95f, 0.5f, 0.12f},  {0.2f, 0.45f, 0.85f},
                                      {0.85f, 0.2f, 0.18f},  {0.08f, 0.08f, 0.09f}};
  for (;;) {
    const Colour& tape = kTapes[random.below(std::size(kTapes))];
    if (std::abs(lightness(tape) - lightness(ground)) > 0.25f) return tape;
  }
}

std::vector<Clutter> drawn_clutter(Random& random, const Track& track, const double (&room_m)[2]) {
  std::vector<Clutter> all;
  const uint64_t wanted = 10 + random.below(25);
  for (uint64_t i = 0; i < wanted; ++i) {
    Clutter one{.shape = static_cast<Clutter::Shape>(random.below(3)),
                .turn_rad = random.uniform(0, kPi),
                .half_size_m = random.uniform(0.05f, 0.3f),
                .half_height_m = random.uniform(0.05f, 0.5f),
                .colour = {random.uniform(), random.uniform(), random.uniform()}};
    one.position = {random.uniform(-1, 1) * room_m[0], random.uniform(-1, 1) * room_m[1]};
    const bool clear = std::ranges::all_of(track.stations(), [&](const Station& station) {
      return length(station.position - one.position) >
             station.half_width_m + 1.5 * one.half_size_m + 0.25;
    });
    if (clear) all.push_back(one);
  }
  return all;
}

}  // namespace

Look Look::draw(uint64_t seed, const Track& track) {
  Random random(seed, hash_of("look"));
  Look look;
  const auto pattern = [&](float low, float high) {
    return FloorPattern{.colour = grey(random, low, high, 0.1f),
                        .patches = random.uniform(0.02f, 0.15f),
                        .grain = random.uniform(0.02f, 0.12f),
                        .tiles = random.below(2) ? 1 + static_cast<int>(random.below(3)) : 0,
                        .joint = random.uniform(0.1f, 0.5f),
                        .seed = mix(seed, random.bits())};
  };
  look.floor = pattern(0.2f, 0.75f);
  look.paved = random.below(3) != 0;
  look.road = pattern(0.12f, 0.6f);
  look.road.tiles = 0;
  const Colour& ground = look.paved ? look.road.colour : look.floor.colour;
  look.tape = tape_on(ground, random);
  look.tape_m = random.uniform(0.03f, 0.06f);
  look.dashes = random.below(4) != 0;
  look.dash = tape_on(ground, random);
  look.dash_length_m = random.uniform(0.12f, 0.35f);
  look.dash_gap_m = random.uniform(0.15f, 0.4f);
  look.walls = random.below(3) != 0;
  for (double& half : look.room_m) half = random.uniform(0.6f, 2.5f);
  for (const Station& station : track.stations()) {  // the room holds the road
    look.room_m[0] = std::max(look.room_m[0], std::abs(station.position.x_m) + 0.9);
    look.room_m[1] = std::max(look.room_m[1], std::abs(station.position.y_m) + 0.9);
  }
  look.room_m[0] += random.uniform(0, 2);
  look.room_m[1] += random.uniform(0, 2);
  look.wall = grey(random, 0.45f, 0.95f, 0.12f);
  look.horizon = grey(random, 0.6f, 0.9f, 0.08f);
  look.sky = {look.horizon[0] * 0.7f, look.horizon[1] * 0.85f, look.horizon[2]};
  look.clutter = drawn_clutter(random, track, look.room_m);
  look.light = grey(random, 0.25f, 0.6f, 0.06f);
  look.ambient = grey(random, 0.35f, 0.65f, 0.06f);
  look.light_heading_rad = random.uniform(0, 2 * kPi);
  look.light_height_rad = random.uniform(0.6f, 1.4f);
  look.camera = {.forward_m = random.uniform(0.05f, 0.11f),
                 .left_m = random.uniform(-0.01f, 0.01f),
                 .height_m = random.uniform(0.13f, 0.18f),
                 .down_rad = random.uniform(0.22f, 0.36f),
                 .yaw_rad = random.uniform(-0.03f, 0.03f),
                 .roll_rad = random.uniform(-0.02f, 0.02f),
                 .width_rad = random.uniform(1.95f, 2.15f),
                 .gain = {random.uniform(0.88f, 1.1f), random.uniform(0.92f, 1.08f),
                          random.uniform(0.88f, 1.1f)},
                 .contrast = random.uniform(0.85f, 1.15f),
                 .brightness = random.uniform(-14, 14),
                 .noise = random.uniform(1, 5)};
  look.car.steer_trim_rad = random.uniform(-0.01f, 0.01f);
  look.car.friction = random.uniform(0.75f, 1.0f);
  look.car.delay_s = random.uniform(0.03f, 0.06f);
  look.car.drive_force_n *= random.uniform(0.9f, 1.1f);
  return look;
}

Look Look::mirrored() const {
  Look look = *this;
  for (Clutter& one : look.clutter) {
    one.position.y_m = -one.position.y_m;
    one.turn_rad = -one.turn_rad;
  }
  look.light_heading_rad = -light_heading_rad;
  look.camera.left_m = -camera.left_m;
  look.camera.yaw_rad = -camera.yaw_rad;
  look.camera.roll_rad = -camera.roll_rad;
  look.car.steer_trim_rad = -car.steer_trim_rad;
  return look;
}

}  // namespace argosy::world
