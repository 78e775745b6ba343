#include "ops/convolution.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <atomic>
#include <span>
#include <string_view>
#include <utility>

#include "backend/cpu/kernels.h"
#include "backend/cpu/onednn.h"
#include "backend/cpu/product.h"
#include "base/aligned_bytes.h"
#include "base/threads.h"

namespace argosy::cpu {
namespace {

using dnnl::memory;
using ops::ConvolutionSizes;

/// A convolution's descriptors: images channels-last, weights as the graph holds them ([O, KH, KW,
/// C]) and as the primitive wants them.
struct Layout {
  memory::desc x, y, graph_weight, any_weight;
  memory::dims stride, dilation, before, after;
  ConvolutionSizes sizes;

  Layout(const Type& of_x, const Type& of_weight, const Type& of_y, const Attributes& attributes)
      : Layout(ops::convolution_sizes(of_x.shape, of_weight.shape, attributes),
               onednn_dtype(of_x.dtype), onednn_dtype(of_weight.dtype), onednn_dtype(of_y.dtype)) {}

  /// The same with all numbers in one dtype, as a forward description wants it.
  Layout in(DType dtype) const {
    const auto type = onednn_dtype(dtype);
    return Layout(sizes, type, type, type);
  }

 private:
  Layout(const ConvolutionSizes& s, memory::data_type of_x, memory::data_type of_weight,
         memory::data_type of_y)
      : sizes(s) {
    x = {{s.n, s.c, s.h, s.w}, of_x, memory::format_tag::nhwc};
    y = {{s.n, s.o, s.oh, s.ow}, of_y, memory::format_tag::nhwc};
    const int64_t c = s.c / s.groups, o = s.o / s.groups;
    memory::dims kernel = {o, c, s.kh, s.kw}, strides = {s.kh * s.kw * c, 1, s.kw * c, c};
    if (s.groups > 1) {
      kernel.insert(kernel.begin(), s.groups);
      strides.insert(strides.begin(), o * s.kh * s.kw * c);
    }
    graph_weight = {kernel, of_weight, strides};
    any_weight = {kernel, of_weight, memory::format_tag::any};
    stride = {s.stride_h, s.stride_w};
    dilation = {s.dilation_h - 1, s.dilation_w - 1};
    before = {s.top, s.left};
    after = {s.bottom, s.right};
  }
};

constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

/// Zen 4 runs an AVX-512 instruction as two halves. The choice depends on the kind of CPU alone and
/// never on a measurement, so that a run gives the same bits again.
bool halves_wide_vectors() {
#if defined(__x86_64__)
  static const bool halves = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_AMD_ebx) return false;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
    const unsigned family = ((a >> 8) & 15) + ((a >> 20) & 255);
    return family == 0x19 && __builtin_cpu_supports("avx512f");  // without AVX-512: Zen 3
  }();
  return halves;
#else
  return false;
#endif
}

/// What `make` gives, or oneDNN's implementation called `wanted` where there is such a one.
template <typename Make>
auto choose(Make make, const char* wanted) -> decltype(make()) {
  auto description = make();
  if (!wanted) return description;
  do
    if (std::string_view(description.impl_info_str()) == wanted) return description;
  while (description.next_impl());
  return make();
}

/// Eight floats at a time waste nothing on 8, 24, 40, ... channels, sixteen do; where wide vectors
/// are no faster, that decides.
bool fits_eight_alone(int64_t channels) { return channels % 16 == 8; }

const char* faster_forward(const Layout& l) {
  if (l.x.get_data_type() != memory::data_type::f32) return nullptr;
  if (!halves_wide_vectors() || l.sizes.groups > 1) return nullptr;
  return fits_eight_alone(l.sizes.c) || fits_eight_alone(l.sizes.o) ? "jit:avx2" : nullptr;
}

const char* faster_gradient_input(const Layout& l) {
  if (l.y.get_data_type() != memory::data_type::f32) return nullptr;
  if (!halves_wide_vectors() || l.sizes.groups > 1) return nullptr;
  return fits_eight_alone(l.sizes.c) ? "jit:avx2" : "jit:avx512_core";
}

dnnl::convolution_forward::primitive_desc forward_description(const Layout& l) {
  return {onednn_engine(),  dnnl::prop_kind::forward_training,
          kAlgorithm,       l.x,
          l.any_weight,     l.y,
          l.stride,         l.dilation,
          l.before,         l.after,
          user_scratchpad()};
}

memory at(const memory::desc& description, const std::byte* bytes) {
  return {description, onednn_engine(), const_cast<std::byte*>(bytes)};
}

/// A primitive that reads the weight (forward, or gradient of the input): operands are
/// (image argument, weight) -> image argument.
template <typename Primitive, typename Description>
std::optional<Kernel> reading_weight(const Description& description, DType dtype,
                                     const memory::desc& from, const memory::desc& to,
                                     const memory::desc& graph_weight, int from_argument,
                                     int to_argument) {
  if (!is_usable(description, dtype)) return {};
  const Primitive primitive(description);
  const memory::desc wanted = description.weights_desc(), scratch = description.scratchpad_desc();
  const bool reorders = wanted != graph_weight;
  const size_t weight_bytes = reorders ? aligned_bytes(wanted.get_size()) : 0;
  std::optional<dnnl::reorder> reorder;
  if (reorders)
    reorder.emplace(
        dnnl::reorder::primitive_desc(onednn_engine(), graph_weight, onednn_engine(), wanted));
  return Kernel{.run =
                    [=](KernelArgs& k) {
                      memory weight = at(graph_weight, k.in_bytes[1]);
                      if (reorder) {
                        memory packed = at(wanted, k.workspace);
                        reorder->execute(onednn_stream(), weight, packed);
                        weight = packed;
                      }
                      primitive.execute(
                          onednn_stream(),
                          {{from_argument, at(from, k.in_bytes[0])},
                           {DNNL_ARG_WEIGHTS, weight},
                           {to_argument, at(to, k.out_bytes[0])},
                           {DNNL_ARG_SCRATCHPAD, at(scratch, k.workspace + weight_bytes)}});
                    },
                .workspace_bytes = weight_bytes + scratch.get_size(),
                .thread_invariant = false};
}

/// oneDNN reaches half of the arithmetic's speed where the weight is larger than the pictures, as
/// in a deep ResNet's last layers; a product with the kernel's patches is faster there.
bool is_large_weight(const ConvolutionSizes& s) {
  return s.groups == 1 && s.o * s.kh * s.kw * s.c >= int64_t{1} << 20;
}

/// Whether all are finite.
bool are_finite(std::span<const float> numbers) {
  constexpr int64_t kAtOnce = 16, kGrain = 1 << 16;
  std::atomic<bool> finite = true;
  const auto n = static_cast<int64_t>(numbers.size());
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    float doubt[kAtOnce] = {};  // x * 0, which is NaN where x is not finite
    int64_t i = begin;
    for (; i + kAtOnce <= end; i += kAtOnce)
      for (int64_t j = 0; j < kAtOnce; ++j) doubt[j] += numbers[static_cast<size_t>(i + j)] * 0;
    for (; i < end; ++i) doubt[0] += numbers[static_cast<size_t>(i)] * 0;
    if (!std::ranges::all_of(doubt, [](float x) { return x == 0; })) finite = false;
  });
  return finite;
}

/// `direct` skips pixels beyond the edge, which are zeros here and make NaN of what is infinite.
Kernel gradient_of_large_weight(const ConvolutionSizes& s, Kernel direct) {
  const Patches patches = {.down = {.places = s.oh,
                                    .place_step = s.stride_h,
                                    .taps = s.kh,
                                    .tap_step = s.dilation_h,
                                    .first = -s.top,
                                    .pixels = s.h},
                           .across = {.places = s.ow,
                                      .place_step = s.stride_w,
                                      .taps = s.kw,
                                      .tap_step = s.dilation_w,
                                      .first = -s.left,
                                      .pixels = s.w},
                           .channels = s.c};
  return if_finite(0, std::move(direct), [=](KernelArgs& k) {
    const Product product = {
        .m = s.o,
        .n = patches.seen(),
        .k = s.n * s.oh * s.ow,
        .a = {.kind = Operand::Kind::across, .data = k.in(1).data(), .step = s.o},
        .b = {.kind = Operand::Kind::seen, .data = k.in(0).data(), .patches = patches},
        .c = k.out().data()};
    multiply(product);
    return are_finite(k.out());
  });
}

/// What oneDNN has no sizes for.
bool is_empty(const KernelRequest& request) {
  return std::ranges::any_of(request.in, [](const Type& type) { return type.elements() == 0; });
}

}  // namespace

std::optional<Kernel> make_convolution(const KernelRequest& request) {
  if (is_empty(request)) return {};
  const Layout l(request.in[0], request.in[1], request.out[0], request.attributes);
  return if_supported(request.in[0].dtype, [&]() -> std::optional<Kernel> {
    return reading_weight<dnnl::convolution_forward>(
        choose([&] { return forward_description(l); }, faster_forward(l)), request.in[0].dtype, l.x,
        l.y, l.graph_weight, DNNL_ARG_SRC, DNNL_ARG_DST);
  });
}

std::optional<Kernel> make_convolution_gradient_input(const KernelRequest& request) {
  if (is_empty(request)) return {};
  const Layout l(request.out[0], request.in[1], request.in[0], request.attributes);
  return if_supported(request.in[0].dtype, [&]() -> std::optional<Kernel> {
    // next_impl() goes back to the forward description, which must therefore live on
    const auto forward = forward_description(l.in(request.in[0].dtype));
    const auto description = choose(
        [&] {
          return dnnl::convolution_backward_data::primitive_desc(
              onednn_engine(), kAlgorithm, l.x, l.any_weight, l.y, l.stride, l.dilation, l.before,
              l.after, forward, user_scratchpad());
        },
        faster_gradient_input(l));
    return reading_weight<dnnl::convolution_backward_data>(description, request.in[0].dtype, l.y,
                                                           l.x, l.graph_weight, DNNL_ARG_DIFF_DST,
                                                           DNNL_ARG_DIFF_SRC);
  });
}

std::optional<Kernel> make_convolution_gradient_weight(const KernelRequest& request) {
  if (is_empty(request)) return {};
  const Layout l(request.in[0], request.out[0], request.in[1], request.attributes);
  auto direct = if_supported(request.in[0].dtype, [&]() -> std::optional<Kernel> {
    const dnnl::convolution_backward_weights::primitive_desc description(
        onednn_engine(), kAlgorithm, l.x, l.any_weight, l.y, l.stride, l.dilation, l.before,
        l.after, forward_description(l.in(request.in[0].dtype)), user_scratchpad());
    if (!is_usable(description, request.in[0].dtype)) return {};
    const dnnl::convolution_backward_weights primitive(description);
    const memory::desc wanted = description.diff_weights_desc(),
                       scratch = description.scratchpad_desc();
    const bool reorders = wanted != l.graph_weight;
    const size_t weight_bytes = reorders ? aligned_bytes(wanted.get_size()) : 0;
    std::optional<dnnl::reorder> reorder;
    if (reorders)
      reorder.emplace(
          dnnl::reorder::primitive_desc(onednn_engine(), wanted, onednn_engine(), l.graph_weight));
    return Kernel{.run =
                      [=](KernelArgs& k) {
                        memory result = at(l.graph_weight, k.out_bytes[0]);
                        memory weight = reorder ? at(wanted, k.workspace) : result;
                        primitive.execute(
                            onednn_stream(),
                            {{DNNL_ARG_SRC, at(l.x, k.in_bytes[0])},
                             {DNNL_ARG_DIFF_DST, at(l.y, k.in_bytes[1])},
                             {DNNL_ARG_DIFF_WEIGHTS, weight},
                             {DNNL_ARG_SCRATCHPAD, at(scratch, k.workspace + weight_bytes)}});
                        if (reorder) reorder->execute(onednn_stream(), weight, result);
                      },
                  .workspace_bytes = weight_bytes + scratch.get_size(),
                  .thread_invariant = false};
  });
  if (direct && request.in[0].dtype == DType::f32 && is_large_weight(l.sizes))
    return gradient_of_large_weight(l.sizes, *std::move(direct));
  return direct;
}

}  // namespace argosy::cpu
