#include "world/camera.h"

#include <algorithm>

#include "base/random.h"
#include "world/scene.h"

namespace argosy::world {
namespace {

constexpr int kOversampling = 2, kMaxGeoms = 256;
constexpr int kCaptionFont = mjFONTSCALE_150;

struct Vector {
  double x = 0, y = 0, z = 0;
};

/// The driver's camera: colours, contrast and grain of a cheap sensor.
void develop(std::span<uint8_t> rgb, const CameraMount& camera, uint64_t seed) {
  uint8_t table[3][256];
  for (size_t channel = 0; channel < 3; ++channel)
    for (int value = 0; value < 256; ++value)
      table[channel][value] = static_cast<uint8_t>(std::clamp(
          camera.gain[channel] * (camera.contrast * (static_cast<float>(value) - 128) + 128) +
              camera.brightness,
          0.0f, 255.0f));
  // even noise of the same deviation, from a short generator: this runs for every pixel
  const int amplitude = static_cast<int>(std::lround(256 * 1.732f * camera.noise));
  uint64_t random = seed | 1;
  for (size_t i = 0; i < rgb.size(); ++i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    const int noise = static_cast<int>(random >> 48) - 32768;
    const int value = table[i % 3][rgb[i]] + ((noise * amplitude) >> 23);
    rgb[i] = static_cast<uint8_t>(std::clamp(value, 0, 255));
  }
}

}  // namespace

Camera::Camera(const mjModel* model) : model_(model), gl_(GlContext::create()) {
  gl_->make_current();
  mjv_defaultScene(&scene_);
  mjr_defaultContext(&context_);
  mjv_makeScene(model, &scene_, kMaxGeoms);
  mjr_makeContext(model, &context_, mjFONTSCALE_50);
  mjr_setBuffer(mjFB_OFFSCREEN, &context_);
  scene_.flags[mjRND_SHADOW] = scene_.flags[mjRND_REFLECTION] = scene_.flags[mjRND_HAZE] = 0;
}

Camera::~Camera() {
  gl_->make_current();
  mjr_freeContext(&context_);
  mjv_freeScene(&scene_);
}

void Camera::place(View view, const mjData* data, const Track& track, const CameraMount& mount,
                   double aspect) {
  const Point car{data->qpos[0], data->qpos[1]};
  const double heading = data->qpos[2];
  Vector at, forward, up{0, 0, 1};
  double half_height = 0.5;  // of the picture, at distance 1
  const auto look_along = [&](double yaw, double down) {
    forward = {std::cos(down) * std::cos(yaw), std::cos(down) * std::sin(yaw), -std::sin(down)};
    up = {std::sin(down) * std::cos(yaw), std::sin(down) * std::sin(yaw), std::cos(down)};
  };
  if (view == View::driver) {
    const Point p =
        car + mount.forward_m * direction(heading) + mount.left_m * left_of(direction(heading));
    at = {p.x_m, p.y_m, mount.height_m};
    look_along(heading + mount.yaw_rad, mount.down_rad);
    const Vector side{forward.y * up.z - forward.z * up.y, forward.z * up.x - forward.x * up.z,
                      forward.x * up.y - forward.y * up.x};  // to the right
    const double c = std::cos(mount.roll_rad), s = std::sin(mount.roll_rad);
    up = {c * up.x + s * side.x, c * up.y + s * side.y, c * up.z + s * side.z};
    half_height = std::tan(mount.width_rad / 2) / aspect;
  } else if (view == View::chase) {
    const Point p = car - 0.9 * direction(heading);
    at = {p.x_m, p.y_m, 0.55};
    look_along(heading, 0.42);
  } else {
    Point low{1e9, 1e9}, high{-1e9, -1e9};
    for (const Station& station : track.stations()) {
      low = {std::min(low.x_m, station.position.x_m), std::min(low.y_m, station.position.y_m)};
      high = {std::max(high.x_m, station.position.x_m), std::max(high.y_m, station.position.y_m)};
    }
    const Point middle = 0.5 * (low + high), half = 0.5 * (high - low);
    at = {middle.x_m, middle.y_m, 20};
    forward = {0, 0, -1};
    up = {0, 1, 0};
    half_height = (0.8 + std::max(half.y_m, half.x_m / aspect)) / at.z;
  }
  const double near = view == View::bird ? 10 : 0.03;
  for (mjvGLCamera& camera : scene_.camera) {
    camera = {};
    const double position[] = {at.x, at.y, at.z}, ahead[] = {forward.x, forward.y, forward.z},
                 above[] = {up.x, up.y, up.z};
    for (int i = 0; i < 3; ++i) {
      camera.pos[i] = static_cast<float>(position[i]);
      camera.forward[i] = static_cast<float>(ahead[i]);
      camera.up[i] = static_cast<float>(above[i]);
    }
    camera.frustum_near = static_cast<float>(near);
    camera.frustum_far = 60;
    camera.frustum_top = static_cast<float>(near * half_height);
    camera.frustum_bottom = -camera.frustum_top;
  }
}

void Camera::take(mjData* data, View view, const Track& track, const Look& look, uint64_t moment,
                  int width, int height, const std::string& caption, std::span<uint8_t> rgb) {
  gl_->make_current();
  mjvOption shown;
  mjv_defaultOption(&shown);
  shown.geomgroup[kCarGroup] = view != View::driver;
  shown.geomgroup[kWallGroup] = view != View::bird;
  mjvCamera free;
  mjv_defaultFreeCamera(model_, &free);
  mjv_updateScene(model_, data, &shown, nullptr, &free, mjCAT_ALL, &scene_);
  place(view, data, track, look.camera, static_cast<double>(width) / height);

  const int large_width = kOversampling * width, large_height = kOversampling * height;
  const mjrRect whole{0, 0, large_width, large_height};
  mjr_render(whole, &scene_, &context_);
  if (!caption.empty()) {
    if (context_.fontScale != kCaptionFont) mjr_changeFont(kCaptionFont, &context_);
    mjr_overlay(mjFONT_BIG, mjGRID_TOPLEFT, whole, caption.c_str(), nullptr, &context_);
  }
  large_.resize(size_t{3} * large_width * large_height);
  mjr_readPixels(large_.data(), nullptr, whole, &context_);
  // OpenGL's rows come from the bottom
  const size_t stride = size_t{3} * large_width;
  for (int y = 0; y < height; ++y) {
    const uint8_t* low = &large_[stride * (large_height - 2 - kOversampling * y)];
    const uint8_t* high = low + stride;
    uint8_t* out = &rgb[size_t{3} * width * y];
    for (int x = 0; x < width; ++x, low += 6, high += 6, out += 3)
      for (int c = 0; c < 3; ++c)
        out[c] = static_cast<uint8_t>((low[c] + low[c + 3] + high[c] + high[c + 3] + 2) / 4);
  }
  if (view == View::driver) develop(rgb, look.camera, mix(hash_of("noise"), moment));
}

}  // namespace argosy::world
