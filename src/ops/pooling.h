#pragma once
#include <algorithm>

#include "ir/op.h"

namespace argosy::ops {

/// All sizes of a 2-D pooling of x [N, H, W, C] to y [N, OH, OW, C]; `padding` is top, bottom,
/// left, right.
struct PoolSizes {
  int64_t n, h, w, c, oh, ow, kh, kw, stride_h, stride_w, top, left;

  /// Calls visit(row of x, row of y) - each a run of C channels - for every element of the window
  /// of y's row (n, i, j).
  template <typename Visit>
  void for_window(int64_t image, int64_t i, int64_t j, Visit visit) const {
    const int64_t y = i * stride_h - top, x = j * stride_w - left;
    for (int64_t p = std::max<int64_t>(0, y); p < std::min(h, y + kh); ++p)
      for (int64_t q = std::max<int64_t>(0, x); q < std::min(w, x + kw); ++q)
        visit((image * h + p) * w + q, (image * oh + i) * ow + j);
  }
};

PoolSizes pool_sizes(const Shape& x, const Attributes& attributes);

/// The average poolings of images [first, last); the references take all. Images are independent.
void average_pool_images(KernelArgs& k, int64_t first, int64_t last);
void average_pool_gradient_images(KernelArgs& k, int64_t first, int64_t last);

}  // namespace argosy::ops
