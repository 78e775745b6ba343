#pragma once
#include "ir/dtype.h"

namespace argosy {

/// What a matrix product can do at most here, with the threads that compute now: flops a second of
/// the backend's own on squares that fit the caches. Takes about 0.2 s.
double product_peak_flops(DType dtype);

}  // namespace argosy
