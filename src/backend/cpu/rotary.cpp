#include <cmath>

#include "backend/cpu/kernels.h"
#include "backend/cpu/row_access.h"
#include "base/threads.h"

namespace argosy::cpu {

std::optional<Kernel> make_rotary_angles(const KernelRequest& request) {
  const auto width = static_cast<size_t>(request.out[0].shape[1]), half = width / 2;
  const double base = request.attributes.get<double>("base");
  return Kernel{
      .run =
          [=](KernelArgs& k) {
            auto* frequencies = reinterpret_cast<double*>(k.workspace);
            for (size_t j = 0; j < half; ++j)
              frequencies[j] =
                  std::pow(base, -2.0 * static_cast<double>(j) / static_cast<double>(width)) /
                  (k.in_types.size() > 1 ? k.in(1)[j] : 1.0f);
            const auto positions = k.in<int32_t>(0);
            float* out = k.out().data();
            parallel_for(std::ssize(positions), 64, [=](int64_t begin, int64_t end) {
              for (auto t = static_cast<size_t>(begin); t < static_cast<size_t>(end); ++t) {
                float *c = out + t * width, *s = c + half;
                for (size_t j = 0; j < half; ++j) {
                  const double angle = positions[t] * frequencies[j];
                  c[j] = static_cast<float>(std::cos(angle));
                  s[j] = static_cast<float>(std::sin(angle));
                }
              }
            });
          },
      .workspace_bytes = half * sizeof(double)};
}

std::optional<Kernel> make_rotary(const KernelRequest& request) {
  const Shape& shape = request.in[0].shape;
  const auto times = static_cast<size_t>(shape[1]), heads = static_cast<size_t>(shape[2]),
             width = static_cast<size_t>(shape[3]), half = width / 2;
  const float sign = request.attributes.get<bool>("inverse") ? -1 : 1;
  return Kernel{.run = [=, rows = shape[0] * shape[1]](KernelArgs& k) {
    const float* angles = k.in(1).data();
    const auto row_size = static_cast<int64_t>(heads * width);
    const ReadRows all_x(k, 0, row_size);
    const WriteRows all_y(k, 0, row_size);
    parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
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
