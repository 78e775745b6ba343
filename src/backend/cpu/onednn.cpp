#include "backend/cpu/onednn.h"

#include <fmt/format.h>

#include "backend/cpu/backend.h"
#include "base/log.h"
#include "base/threads.h"

namespace argosy::cpu {

const dnnl::engine& onednn_engine() {
  // a primitive keeps the number of threads that OpenMP has when it is made, so ours comes first
  static const dnnl::engine engine = [] {
    thread_count();
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return engine;
}

dnnl::stream& onednn_stream() {
  static dnnl::stream stream(onednn_engine());
  return stream;
}

void say_that_bf16_is_widened() {
  static const bool said = [] {
    log::info(
        "oneDNN does not compute in bf16 on this CPU: f32 kernels do, with the same numbers to "
        "rounding, slower");
    return true;
  }();
  (void)said;
}

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace argosy::cpu
