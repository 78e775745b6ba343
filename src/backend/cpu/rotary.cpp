#include <cmath>
#include <vector>

#include "backend/cpu/kernels.h"
#include "backend/cpu/row_access.h"
#include "base/threads.h"
#include "ops/ops.h"

namespace argosy::cpu {

std::optional<Kernel> make_rotary(const KernelRequest& request) {
  const Shape& shape = request.in[0].shape;
  const auto times = static_cast<size_t>(shape[1]), heads = static_cast<size_t>(shape[2]),
             width = static_cast<size_t>(shape[3]), half = width / 2;
  const double base = request.attributes.get<double>("base");
  const double sign = request.attributes.get<bool>("inverse") ? -1 : 1;
  std::vector<float> cosines(times * half), sines(times * half);
  for (size_t t = 0; t < times; ++t)
    for (size_t j = 0; j < half; ++j) {
      const double angle = static_cast<double>(t) * std::pow(base, -2.0 * static_cast<double>(j) /
                                                                       static_cast<double>(width));
      cosines[t * half + j] = static_cast<float>(std::cos(angle));
      sines[t * half + j] = static_cast<float>(sign * std::sin(angle));
    }
  return Kernel{.run = [=, cosines = std::move(cosines), sines = std::move(sines)](KernelArgs& k) {
    const auto row_size = static_cast<int64_t>(heads * width);
    const ReadRows all_x(k, 0, row_size);
    const WriteRows all_y(k, 0, row_size);
    parallel_for(shape[0] * shape[1], 16, [&](int64_t begin, int64_t end) {
      for (auto row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row) {
        const float* c = &cosines[row % times * half];
        const float* s = &sines[row % times * half];
        const float* x = all_x[static_cast<int64_t>(row)];
        float* y = all_y.place(static_cast<int64_t>(row));
        for (size_t h = 0; h < heads; ++h) {
          const size_t at = h * width;
          for (size_t j = 0; j < half; ++j) {  // both are read before either is written: in place
            const float u = x[at + j], v = x[at + half + j];
            y[at + j] = u * c[j] - v * s[j];
            y[at + half + j] = v * c[j] + u * s[j];
          }
        }
        all_y.store(static_cast<int64_t>(row));
      }
    });
  }};
}

}  // namespace argosy::cpu
