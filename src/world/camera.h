#pragma once
#include <memory>
#include <span>
#include <string>

#include "world/gl.h"
#include "world/look.h"
#include "world/mujoco.h"
#include "world/simulation.h"

namespace argosy::world {

/// Takes pictures of one scene, on one thread. Lines of tape are thinner than a far pixel, so every
/// picture is drawn twice as large and averaged.
class Camera {
 public:
  /// throws  Error (device): no OpenGL
  explicit Camera(const mjModel* model);
  ~Camera();

  /// uint8 [height, width, 3]; `moment` names the picture's noise, `caption` (plain ASCII) is
  /// written into its upper left corner.
  void take(mjData* data, View view, const Track& track, const Look& look, uint64_t moment,
            int width, int height, const std::string& caption, std::span<uint8_t> rgb);

 private:
  void place(View view, const mjData* data, const Track& track, const CameraMount& mount,
             double aspect);

  const mjModel* model_;
  std::unique_ptr<GlContext> gl_;
  mjvScene scene_;
  mjrContext context_;
  std::vector<uint8_t> large_;
};

}  // namespace argosy::world
