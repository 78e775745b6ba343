// The simulated world's speed, beside MuJoCo's own drawing of the same scene. One JSON object a
// line: bench_world [--seconds S]
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "world/expert.h"
#include "world/gl.h"
#include "world/scene.h"

namespace {

using namespace argosy;
using namespace argosy::world;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A car that an expert drives for `seconds`; returns the control periods.
int64_t drive(uint64_t seed, double seconds, bool pictures) {
  Simulation simulation({.track_seed = seed, .look_seed = seed});
  Expert expert(seed);
  std::vector<uint8_t> picture(size_t{3} * simulation.options().width *
                               simulation.options().height);
  if (pictures) simulation.picture(picture);  // the first one makes the camera
  int64_t periods = 0;
  for (const auto start = Clock::now(); since(start) < seconds; ++periods) {
    if (pictures) simulation.picture(picture);
    simulation.step(expert.drive(simulation));
  }
  return periods;
}

void measure_drives(double seconds, bool pictures) {
  for (const int cars : {1, thread_count()}) {
    std::vector<int64_t> periods(static_cast<size_t>(cars));
    parallel_tasks(cars, [&](int64_t i) {
      periods[static_cast<size_t>(i)] = drive(static_cast<uint64_t>(2 * i + 2), seconds, pictures);
    });
    int64_t all = 0;
    for (const int64_t count : periods) all += count;
    const double per_s = static_cast<double>(all) / seconds;
    fmt::print(
        "{{\"what\": \"{}\", \"threads\": {}, \"simulated_s_per_s\": {:.1f}, \"periods_per_s\": "
        "{:.0f}}}\n",
        pictures ? "drive with pictures" : "drive without pictures", cars, per_s * kControlPeriod_s,
        per_s);
  }
}

/// MuJoCo draws and reads back the same scene from about the driver's place, and nothing else.
void measure_bare(double seconds, int width, int height) {
  const Track track = Track::generate(2, Difficulty::moderate);
  const ModelHolder model = build_scene(track, Look::draw(2, track), {}, false);
  const DataHolder data(mj_makeData(model.get()));
  const Pose start = track.pose_at(0);
  data->qpos[0] = start.position.x_m;
  data->qpos[1] = start.position.y_m;
  data->qpos[2] = start.heading_rad;
  mj_kinematics(model.get(), data.get());
  const auto gl = GlContext::create();
  gl->make_current();
  mjvScene scene;
  mjrContext context;
  mjv_defaultScene(&scene);
  mjr_defaultContext(&context);
  mjv_makeScene(model.get(), &scene, 256);
  mjr_makeContext(model.get(), &context, mjFONTSCALE_50);
  mjr_setBuffer(mjFB_OFFSCREEN, &context);
  scene.flags[mjRND_SHADOW] = scene.flags[mjRND_REFLECTION] = scene.flags[mjRND_HAZE] = 0;
  mjvOption shown;
  mjv_defaultOption(&shown);
  shown.geomgroup[kCarGroup] = 0;
  mjvCamera camera;
  mjv_defaultFreeCamera(model.get(), &camera);
  const Point ahead = start.position + direction(start.heading_rad);
  camera.lookat[0] = ahead.x_m;
  camera.lookat[1] = ahead.y_m;
  camera.lookat[2] = 0;
  camera.distance = 1;
  camera.azimuth = start.heading_rad * 180 / mjPI;
  camera.elevation = -14;
  const mjrRect whole{0, 0, width, height};
  std::vector<uint8_t> rgb(size_t{3} * width * height);
  int64_t pictures = 0;
  const auto begin = Clock::now();
  for (; since(begin) < seconds; ++pictures) {
    mjv_updateScene(model.get(), data.get(), &shown, nullptr, &camera, mjCAT_ALL, &scene);
    mjr_render(whole, &scene, &context);
    mjr_readPixels(rgb.data(), nullptr, whole, &context);
  }
  fmt::print(
      "{{\"what\": \"MuJoCo alone, {} x {}\", \"threads\": 1, \"pictures_per_s\": {:.0f}}}\n",
      width, height, static_cast<double>(pictures) / since(begin));
  mjr_freeContext(&context);
  mjv_freeScene(&scene);
}

/// The driver's camera: drawn twice as large, averaged, with its colours and grain.
void measure_pictures(double seconds) {
  Simulation simulation({.track_seed = 2, .look_seed = 2});
  std::vector<uint8_t> rgb(size_t{3} * simulation.options().width * simulation.options().height);
  simulation.picture(rgb);
  int64_t pictures = 0;
  const auto begin = Clock::now();
  for (; since(begin) < seconds; ++pictures) simulation.picture(rgb);
  fmt::print(
      "{{\"what\": \"driver's camera, {} x {}\", \"threads\": 1, \"pictures_per_s\": {:.0f}}}\n",
      simulation.options().width, simulation.options().height,
      static_cast<double>(pictures) / since(begin));
}

}  // namespace

int main(int count, char** texts) {
  const double seconds =
      count == 3 && std::string_view(texts[1]) == "--seconds" ? std::atof(texts[2]) : 3;
  try {
    set_thread_count(thread_count());
    for (const bool pictures : {false, true}) measure_drives(seconds, pictures);
    measure_pictures(seconds);
    measure_bare(seconds, 160, 120);
    measure_bare(seconds, 320, 240);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return error.exit_code();
  }
}
