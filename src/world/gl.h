#pragma once
#include <memory>
#include <string>

namespace argosy::world {

/// An off-screen OpenGL context. The GL library is loaded when the first one is made, so that the
/// program starts on machines without any: EGL (Mesa, without a display), else OSMesa.
class GlContext {
 public:
  /// throws  Error (device): no library, or it refuses, with what each said
  static std::unique_ptr<GlContext> create();
  virtual ~GlContext() = default;
  /// For this thread, until another is; a context is current on one thread at a time.
  virtual void make_current() = 0;
  virtual std::string name() const = 0;  ///< "EGL"
};

/// For `argosy doctor`: which library draws ("EGL"); throws as create().
std::string gl_description();

}  // namespace argosy::world
