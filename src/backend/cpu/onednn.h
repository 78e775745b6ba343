#pragma once
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>

#include "ir/dtype.h"

namespace argosy::cpu {

const dnnl::engine& onednn_engine();
dnnl::stream& onednn_stream();

/// Of f32 and bf16, which is what oneDNN is given here.
inline dnnl::memory::data_type onednn_dtype(DType type) {
  return type == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

/// Whether it is worth using for operands of that dtype: in bf16 oneDNN's plain reference loses to
/// an f32 kernel and two conversions.
inline bool is_usable(const dnnl::primitive_desc& description, DType type) {
  return type == DType::f32 || !std::string_view(description.impl_info_str()).starts_with("ref");
}

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
