#pragma once
#include <string>

namespace argosy::world {

std::string mujoco_version();  ///< of the library that was loaded

}  // namespace argosy::world
