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

/// Says once that oneDNN refuses bf16 on this CPU, so that f32 kernels compute it.
void say_that_bf16_is_widened();

/// Runs `make`, for operands of that dtype; nothing where oneDNN cannot do it on this CPU.
template <typename Make>
auto if_supported(DType type, Make make) -> decltype(make()) {
  decltype(make()) made;
  try {
    made = make();
  } catch (const dnnl::error&) {
    made = {};
  }
  if (!made && type == DType::bf16) say_that_bf16_is_widened();
  return made;
}

}  // namespace argosy::cpu
