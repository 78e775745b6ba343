#include "backend/cpu/onednn.h"

#include <fmt/format.h>

#include "backend/cpu/backend.h"
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

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace argosy::cpu
