#include <algorithm>

#include "backend/cpu/kernels.h"
#include "backend/cpu/product.h"
#include "base/threads.h"
#include "ops/convolution.h"

// A single picture without padding, as a policy at work sees it: what the kernel sees from each
// place is copied out, and the convolution is a product with that. oneDNN would bring the weight
// into its own order every time, and allocate what it calls with.
namespace argosy::cpu {
namespace {

constexpr int64_t kMostSeen = 4 << 20;  // floats that are copied out

bool is_suitable(const ops::ConvolutionSizes& s) {
  return s.n == 1 && s.groups == 1 && s.dilation_w == 1 && s.dilation_h == 1 && s.top == 0 &&
         s.left == 0 && s.bottom == 0 && s.right == 0 &&
         s.oh * s.ow * s.kh * s.kw * s.c <= kMostSeen;
}

}  // namespace

std::optional<Kernel> make_convolution_of_one(const KernelRequest& request) {
  const ops::ConvolutionSizes s =
      ops::convolution_sizes(request.in[0].shape, request.in[1].shape, request.attributes);
  if (request.in[0].dtype != DType::f32 || !is_suitable(s)) return {};
  const int64_t row = s.kw * s.c, numbers = s.kh * row, places = s.oh * s.ow;
  return Kernel{
      .run =
          [=](KernelArgs& k) {
            const float* x = k.in(0).data();
            auto* all = reinterpret_cast<float*>(k.workspace);
            parallel_for(s.oh, 1, [&](int64_t first, int64_t last) {
              for (int64_t y = first; y < last; ++y)
                for (int64_t column = 0; column < s.ow; ++column)
                  for (int64_t tap = 0; tap < s.kh; ++tap)
                    std::copy_n(x + ((y * s.stride_h + tap) * s.w + column * s.stride_w) * s.c, row,
                                all + (y * s.ow + column) * numbers + tap * row);
            });
            using enum Operand::Kind;
            const Product product = {.m = places,
                                     .n = s.o,
                                     .k = numbers,
                                     .a = {.kind = along, .data = all, .step = numbers},
                                     .b = {.kind = along, .data = k.in(1).data(), .step = numbers},
                                     .c = k.out().data()};
            multiply(product);
          },
      .workspace_bytes = static_cast<size_t>(places * numbers) * sizeof(float)};
}

}  // namespace argosy::cpu
