#include "world/versions.h"

#include "world/mujoco.h"

namespace argosy::world {

std::string mujoco_version() { return mj_versionString(); }

}  // namespace argosy::world
