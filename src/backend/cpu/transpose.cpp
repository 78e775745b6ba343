#include <algorithm>
#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/cpu/walks.h"
#include "base/threads.h"

namespace argosy::cpu {
namespace {

constexpr int64_t kBlock =
    16;  // rows and columns moved together, so that cache lines are used whole

template <typename T>
void move_plane(const T* in, T* out, const Walk& rows, const Walk& columns) {
  for (int64_t r0 = 0; r0 < rows.size; r0 += kBlock)
    for (int64_t c0 = 0; c0 < columns.size; c0 += kBlock)
      for (int64_t r = r0; r < std::min(rows.size, r0 + kBlock); ++r)
        for (int64_t c = c0; c < std::min(columns.size, c0 + kBlock); ++c)
          out[r * columns.size + c] = in[r * rows.step + c * columns.step];
}

}  // namespace

std::optional<Kernel> make_transpose(const KernelRequest& request) {
  if (request.in[0].elements() == 0) return {};
  const Shape& shape = request.in[0].shape;
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  std::vector<Walk> walks;  // by the output's dimensions; those that stay neighbours are merged
  for (const int64_t axis : request.attributes.get<std::vector<int64_t>>("order")) {
    const Walk next = {shape[static_cast<size_t>(axis)], strides[static_cast<size_t>(axis)]};
    if (next.size == 1) continue;
    if (!walks.empty() && walks.back().step == next.size * next.step)
      walks.back() = {walks.back().size * next.size, next.step};
    else
      walks.push_back(next);
  }
  while (walks.size() < 2) walks.insert(walks.begin(), Walk{1, 0});
  // planes of the last two dimensions; when the innermost runs are contiguous they are copied whole
  const Walk columns = walks.back(), rows = walks[walks.size() - 2];
  walks.resize(walks.size() - 2);
  int64_t planes = 1;
  for (const Walk& walk : walks) planes *= walk.size;
  const auto moving = [&]<typename T>(T) -> Kernel {  // elements of that size
    return {.run = [=](KernelArgs& k) {
      const T* in = k.in<T>(0).data();
      T* out = k.out<T>().data();
      const int64_t plane = rows.size * columns.size;
      parallel_for(planes, 16384 / plane + 1, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          int64_t at = 0, rest = p;
          for (size_t d = walks.size(); d-- > 0;) {
            at += rest % walks[d].size * walks[d].step;
            rest /= walks[d].size;
          }
          if (columns.step == 1)
            for (int64_t r = 0; r < rows.size; ++r)
              std::memcpy(out + p * plane + r * columns.size, in + at + r * rows.step,
                          static_cast<size_t>(columns.size) * sizeof(T));
          else
            move_plane(in + at, out + p * plane, rows, columns);
        }
      });
    }};
  };
  switch (size_of(request.in[0].dtype)) {
    case 1:
      return moving(uint8_t{});
    case 2:
      return moving(uint16_t{});
    case 4:
      return moving(uint32_t{});
    default:
      return moving(uint64_t{});
  }
}

}  // namespace argosy::cpu
