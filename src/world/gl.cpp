#include "world/gl.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "base/error.h"

namespace argosy::world {
namespace {

/// A library that stays loaded, and its functions by name.
class Library {
 public:
  explicit Library(const char* name) : handle_(dlopen(name, RTLD_NOW | RTLD_GLOBAL)) {
    if (!handle_) throw std::runtime_error(dlerror());
  }
  template <typename Function>
  Function* function(const char* name) const {
    void* address = dlsym(handle_, name);
    if (!address) throw std::runtime_error(fmt::format("has no {}", name));
    return reinterpret_cast<Function*>(address);
  }

 private:
  void* handle_;
};

// The few declarations of EGL 1.5 and OSMesa that are needed, so that neither's headers are.
using EglInt = int32_t;
constexpr unsigned kSurfacelessMesa = 0x31DD, kOpenGlApi = 0x30A2;
constexpr EglInt kSurfaceType = 0x3033, kRenderableType = 0x3040, kOpenGlBit = 0x0008,
                 kPbufferBit = 0x0001, kNone = 0x3038;

class EglContext : public GlContext {
 public:
  EglContext() {
    static const Library egl("libEGL.so.1");
    const auto address = egl.function<void*(const char*)>("eglGetProcAddress");
    const auto platform_display = reinterpret_cast<void* (*)(unsigned, void*, const EglInt*)>(
        address("eglGetPlatformDisplayEXT"));
    if (!platform_display) throw std::runtime_error("has no eglGetPlatformDisplayEXT");
    make_current_ = egl.function<unsigned(void*, void*, void*, void*)>("eglMakeCurrent");
    destroy_ = egl.function<unsigned(void*, void*)>("eglDestroyContext");
    // one display for the process: it is made once and never taken down
    static void* const display = [&]() -> void* {
      void* made = platform_display(kSurfacelessMesa, nullptr, nullptr);
      EglInt major = 0, minor = 0;
      if (!made ||
          !egl.function<unsigned(void*, EglInt*, EglInt*)>("eglInitialize")(made, &major, &minor))
        return nullptr;
      return made;
    }();
    display_ = display;
    if (!display_) throw std::runtime_error("has no display without a screen");
    const EglInt wanted[] = {kSurfaceType, kPbufferBit, kRenderableType, kOpenGlBit, kNone};
    void* config = nullptr;
    EglInt found = 0;
    egl.function<unsigned(void*, const EglInt*, void**, EglInt, EglInt*)>("eglChooseConfig")(
        display_, wanted, &config, 1, &found);
    if (found < 1 || !egl.function<unsigned(unsigned)>("eglBindAPI")(kOpenGlApi))
      throw std::runtime_error("has no OpenGL");
    context_ = egl.function<void*(void*, void*, void*, const EglInt*)>("eglCreateContext")(
        display_, config, nullptr, nullptr);
    if (!context_) throw std::runtime_error("made no context");
  }
  ~EglContext() override {
    make_current_(display_, nullptr, nullptr, nullptr);
    destroy_(display_, context_);
  }
  void make_current() override {
    if (!make_current_(display_, nullptr, nullptr, context_))
      throw Error({.what = "EGL refuses to draw on this thread",
                   .where = "OpenGL",
                   .fix = "run argosy doctor, which says what draws here",
                   .kind = ErrorKind::device});
  }
  std::string name() const override { return "EGL"; }

 private:
  unsigned (*make_current_)(void*, void*, void*, void*);
  unsigned (*destroy_)(void*, void*);
  void* display_ = nullptr;
  void* context_ = nullptr;
};

class OsMesaContext : public GlContext {
 public:
  OsMesaContext() {
    static const Library mesa("libOSMesa.so.8");
    make_current_ =
        mesa.function<unsigned char(void*, void*, unsigned, int, int)>("OSMesaMakeCurrent");
    destroy_ = mesa.function<void(void*)>("OSMesaDestroyContext");
    constexpr unsigned kRgba = 0x1908;
    context_ = mesa.function<void*(unsigned, int, int, int, void*)>("OSMesaCreateContextExt")(
        kRgba, 24, 8, 0, nullptr);
    if (!context_) throw std::runtime_error("made no context");
  }
  ~OsMesaContext() override { destroy_(context_); }
  void make_current() override {
    constexpr unsigned kUnsignedByte = 0x1401;
    if (!make_current_(context_, window_.data(), kUnsignedByte, kSide, kSide))
      throw Error({.what = "OSMesa refuses to draw on this thread",
                   .where = "OpenGL",
                   .fix = "run argosy doctor, which says what draws here",
                   .kind = ErrorKind::device});
  }
  std::string name() const override { return "OSMesa"; }

 private:
  // pictures are drawn into a framebuffer object; the window that OSMesa wants stays unused
  static constexpr int kSide = 16;
  std::vector<uint8_t> window_ = std::vector<uint8_t>(size_t{4} * kSide * kSide);
  unsigned char (*make_current_)(void*, void*, unsigned, int, int);
  void (*destroy_)(void*);
  void* context_ = nullptr;
};

}  // namespace

std::unique_ptr<GlContext> GlContext::create() {
  static std::mutex mutex;  // the libraries' own set-up is for one thread at a time
  const std::scoped_lock lock(mutex);
  // Cars are drawn side by side on the cores, so a picture has no threads of its own.
  setenv("LP_NUM_THREADS", "0", 0);
  std::string said;
  try {
    return std::make_unique<EglContext>();
  } catch (const std::runtime_error& failure) {
    said = fmt::format("EGL: {}", failure.what());
  }
  try {
    return std::make_unique<OsMesaContext>();
  } catch (const std::runtime_error& failure) {
    said += fmt::format("; OSMesa: {}", failure.what());
  }
  throw Error(
      {.what = fmt::format("there is no OpenGL to draw with ({})", said),
       .where = "this machine",
       .fix = "install Debian's libegl1 and libegl-mesa0, or libosmesa6; scripts/setup does",
       .kind = ErrorKind::device});
}

std::string gl_description() {
  const std::unique_ptr<GlContext> context = GlContext::create();
  context->make_current();
  return context->name();
}

}  // namespace argosy::world
