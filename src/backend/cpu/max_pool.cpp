#include <algorithm>

#include "backend/cpu/growing_floats.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/row_access.h"
#include "base/threads.h"
#include "ops/ops.h"
#include "ops/pooling.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/max_pool.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

// Max pooling. A place is a row of C floats.
HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

/// y = the largest of x and y; NaN wins
void KeepLargest(const float* x, size_t channels, float* y) {
  for_channels(channels, [=](auto d, size_t c) HWY_ATTR {
    const auto u = hn::LoadU(d, x + c), v = hn::LoadU(d, y + c);
    const auto wins = hn::Or(hn::Gt(u, v), hn::Ne(u, u));
    hn::StoreU(hn::IfThenElse(wins, u, v), d, y + c);
  });
}

/// Where x is the window's largest y (or NaN) and nobody before had dy, still in `left`: dx takes
/// it.
void GiveToLargest(const float* x, const float* y, size_t channels, float* left, float* dx) {
  for_channels(channels, [=](auto d, size_t c) HWY_ATTR {
    const auto u = hn::LoadU(d, x + c), rest = hn::LoadU(d, left + c);
    const auto takes = hn::Or(hn::Eq(u, hn::LoadU(d, y + c)), hn::Ne(u, u));
    hn::StoreU(hn::Add(hn::LoadU(d, dx + c), hn::IfThenElseZero(takes, rest)), d, dx + c);
    hn::StoreU(hn::IfThenElse(takes, hn::Zero(d), rest), d, left + c);
  });
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(KeepLargest);
HWY_EXPORT(GiveToLargest);

namespace {

/// Calls visit(x's row, y's row, first of the window) of C channels for every place of every window
/// of one image, counted from its first.
template <typename Visit>
void for_windows(const ops::PoolSizes& s, Visit visit) {
  for (int64_t i = 0; i < s.oh; ++i)
    for (int64_t j = 0; j < s.ow; ++j) {
      bool first = true;
      s.for_window(0, i, j, [&](int64_t x, int64_t y) {
        visit(x * s.c, y * s.c, first);
        first = false;
      });
    }
}

}  // namespace

std::optional<Kernel> make_max_pool(const KernelRequest& request) {
  const ops::PoolSizes s = ops::pool_sizes(request.in[0].shape, request.attributes);
  return Kernel{.run = [=](KernelArgs& k) {
    const ReadRows all_x(k, 0, s.h * s.w * s.c);
    const WriteRows all_y(k, 0, s.oh * s.ow * s.c);
    parallel_for(s.n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t image = begin; image < end; ++image) {
        const float* x = all_x[image];
        float* y = all_y.place(image);
        for_windows(s, [&](int64_t from, int64_t to, bool first) {
          if (first)
            std::copy_n(x + from, s.c, y + to);
          else
            HWY_DYNAMIC_DISPATCH(KeepLargest)(x + from, static_cast<size_t>(s.c), y + to);
        });
        all_y.store(image);
      }
    });
  }};
}

std::optional<Kernel> make_max_pool_gradient(const KernelRequest& request) {
  const ops::PoolSizes s = ops::pool_sizes(request.in[1].shape, request.attributes);
  return Kernel{.run = [=](KernelArgs& k) {
    const int64_t size = s.h * s.w * s.c, windows = s.oh * s.ow * s.c;
    const ReadRows all_dy(k, 0, windows), all_x(k, 1, size), all_y(k, 2, windows);
    const WriteRows all_dx(k, 0, size);
    parallel_for(s.n, 1, [&](int64_t begin, int64_t end) {
      static thread_local GrowingFloats memory;
      float* left = memory.at_least(static_cast<size_t>(s.c));
      for (int64_t image = begin; image < end; ++image) {
        const float *dy = all_dy[image], *x = all_x[image], *y = all_y[image];
        float* dx = all_dx.place(image);
        std::fill_n(dx, size, 0.0f);
        for_windows(s, [&](int64_t from, int64_t to, bool first) {
          if (first) std::copy_n(dy + to, s.c, left);
          HWY_DYNAMIC_DISPATCH(GiveToLargest)(x + from, y + to, static_cast<size_t>(s.c), left,
                                              dx + from);
        });
        all_dx.store(image);
      }
    });
  }};
}

}  // namespace argosy::cpu
#endif
