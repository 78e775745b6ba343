#pragma once
// MuJoCo for the few files of this folder that use it; no other header includes this one.
#include <mujoco/mujoco.h>

#include <memory>

namespace argosy::world {

template <auto Free>
struct FreeWith {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using ModelHolder = std::unique_ptr<mjModel, FreeWith<mj_deleteModel>>;
using DataHolder = std::unique_ptr<mjData, FreeWith<mj_deleteData>>;
using SpecHolder = std::unique_ptr<mjSpec, FreeWith<mj_deleteSpec>>;

}  // namespace argosy::world
