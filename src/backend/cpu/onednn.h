#pragma once
#include <oneapi/dnnl/dnnl.hpp>

namespace argosy::cpu {

const dnnl::engine& onednn_engine();
dnnl::stream& onednn_stream();

/// Runs `make`; nothing where oneDNN cannot do it on this CPU.
template <typename Make>
auto if_supported(Make make) -> decltype(make()) {
  try {
    return make();
  } catch (const dnnl::error&) {
    return {};
  }
}

}  // namespace argosy::cpu
