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
  const float sign = request.attributes.get<bool>("inverse") ? -1 : 1;
  const bool given = request.in.size() > 1;  // the angles
  if (given && request.in[1].dtype != DType::f32) return {};
  // cosines, then sines of each place
  std::vector<float> table(given ? 0 : times * width);
  for (size_t t = 0; t < (given ? 0 : times); ++t)
    for (size_t j = 0; j < half; ++j) {
      const double angle = static_cast<double>(t) * std::pow(base, -2.0 * static_cast<double>(j) /
                                                                       static_cast<double>(width));
      table[t * width + j] = static_cast<float>(std::cos(angle));
      table[t * width + half + j] = static_cast<float>(std::sin(angle));
    }
  return Kernel{.run = [=, table = std::move(table)](KernelArgs& k) {
    const float* angles = given ? k.in(1).data() : table.data();
    const auto row_size = static_cast<int64_t>(heads * width);
    const ReadRows all_x(k, 0, row_size);
    const WriteRows all_y(k, 0, row_size);
    parallel_for(shape[0] * shape[1], 16, [&](int64_t begin, int64_t end) {
      for (auto row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row) {
        const float *c = angles + row % times * width, *s = c + half;
        const float* x = all_x[static_cast<int64_t>(row)];
        float* y = all_y.place(static_cast<int64_t>(row));
        for (size_t h = 0; h < heads; ++h) {
          const size_t at = h * width;
          for (size_t j = 0; j < half; ++j) {  // both are read before either is written: in place
            const float u = x[at + j], v = x[at + half + j];
            const float turn = sign * s[j];
            y[at + j] = u * c[j] - v * turn;
            y[at + half + j] = v * c[j] + u * turn;
          }
        }
        all_y.store(static_cast<int64_t>(row));
      }
    });
  }};
}

}  // namespace argosy::cpu
