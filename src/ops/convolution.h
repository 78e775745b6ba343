#pragma once
#include "ir/op.h"

namespace argosy::ops {

/// All sizes of a 2-D convolution: x [N, H, W, C], weight [O, KH, KW, C / groups], y [N, OH, OW,
/// O].
struct ConvolutionSizes {
  int64_t n, h, w, c, o, kh, kw, oh, ow, groups;
  int64_t stride_h, stride_w, top, bottom, left, right, dilation_h, dilation_w;
  double flops() const;
};

ConvolutionSizes convolution_sizes(const Shape& x, const Shape& weight,
                                   const Attributes& attributes);

}  // namespace argosy::ops
