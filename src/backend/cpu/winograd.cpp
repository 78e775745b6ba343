#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <utility>

#include "backend/cpu/kernels.h"
#include "backend/cpu/parts_with_memory.h"
#include "backend/cpu/product.h"
#include "base/aligned_bytes.h"
#include "ops/convolution.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/winograd.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/tile_products-inl.h"

// Convolutions of 3 x 3 and stride 1 by Winograd's minimal filtering, F(2x2, 3x3) of Lavin and Gray
// 2016, "Fast algorithms for convolutional neural networks". Of each tile of 2 x 2 results, the
// 4 x 4 pixels it sees and the kernel are spread to 16 numbers each; these are multiplied place by
// place and summed over the channels, and the sums gathered to the results: 16 products where there
// were 36. Place by place that is a product of matrices, [tiles, channels] by [channels, results].
// Sums and halves are all that spreading and gathering need, so roundings are about those of plain
// sums.
#ifndef ARGOSY_WINOGRAD_TYPES
#define ARGOSY_WINOGRAD_TYPES
namespace argosy::cpu {
namespace {

constexpr int64_t kRun = 32;  // positions or rows of kernels that are brought elsewhere together
constexpr int64_t kResult = 2, kSeen = 4, kPlaces = kSeen * kSeen;

/// Numbers of a row with those that make whole vectors of them.
constexpr int64_t filled(int64_t numbers) { return (numbers + 15) / 16 * 16; }

/// Pictures [N, H, W, C] and the windows of their tiles: tile (row, column) of a picture has its
/// window's first pixel at (2 row - top, 2 column - left).
struct Windows {
  int64_t h, w, channels, top, left;
  int64_t tiles_down, tiles_across;
};

/// A matrix for each place: number `column` of row `row` at place p is data[p * plane + row * step
/// + column]. Rows or planes that lie whole pages apart would compete for the same places of the L1
/// cache.
struct Planes {
  float* data;
  int64_t step, plane;

  /// Rows that products read as they lie.
  static Planes operand(float* at, int64_t rows, int64_t columns) {
    return with_step(at, rows, filled(columns) + 16);
  }
  /// Rows as products write them.
  static Planes result(float* at, int64_t rows, int64_t columns) {
    return with_step(at, rows, filled(columns));
  }
  int64_t floats() const { return kPlaces * plane; }
  Planes from_row(int64_t row) const {
    Planes planes = *this;
    planes.data += row * step;
    return planes;
  }

 private:
  static Planes with_step(float* at, int64_t rows, int64_t step) {
    return {at, step, rows * step + 16};
  }
};

/// How kernels lie: number `line` of tap `tap` at position first + p is data[p * position_step +
/// tap * tap_step + line]. Lines are results, positions are summed over.
struct Kernels {
  const float* data;
  int64_t position_step, tap_step, positions, lines;
};

/// Tiles [begin, end).
struct Tiles {
  int64_t begin, end;
};

}  // namespace
}  // namespace argosy::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

// What spreading and gathering do to a line of numbers; a square's columns are such lines, and then
// its rows.
struct SpreadSeen {
  static constexpr size_t kFrom = 4, kTo = 4;
  template <typename X>
  static HWY_INLINE void line(const X (&x)[kFrom], X (&y)[kTo]) {
    y[0] = hn::Sub(x[0], x[2]);
    y[1] = hn::Add(x[1], x[2]);
    y[2] = hn::Sub(x[2], x[1]);
    y[3] = hn::Sub(x[1], x[3]);
  }
};
struct GatherResult {
  static constexpr size_t kFrom = 4, kTo = 2;
  template <typename X>
  static HWY_INLINE void line(const X (&x)[kFrom], X (&y)[kTo]) {
    y[0] = hn::Add(hn::Add(x[0], x[1]), x[2]);
    y[1] = hn::Sub(hn::Sub(x[1], x[2]), x[3]);
  }
};
/// The transpose of GatherResult, for gradients.
struct SpreadResult {
  static constexpr size_t kFrom = 2, kTo = 4;
  template <typename X>
  static HWY_INLINE void line(const X (&x)[kFrom], X (&y)[kTo]) {
    y[0] = x[0];
    y[1] = hn::Add(x[0], x[1]);
    y[2] = hn::Sub(x[0], x[1]);
    y[3] = hn::Neg(x[1]);
  }
};
struct SpreadKernel {
  static constexpr size_t kFrom = 3, kTo = 4;
  template <typename X>
  static HWY_INLINE void line(const X (&x)[kFrom], X (&y)[kTo]) {
    const auto half = hn::Set(hn::DFromV<X>(), 0.5f);
    const X ends = hn::Mul(hn::Add(x[0], x[2]), half), middle = hn::Mul(x[1], half);
    y[0] = x[0];
    y[1] = hn::Add(ends, middle);
    y[2] = hn::Sub(ends, middle);
    y[3] = x[2];
  }
};
/// The transpose of SpreadKernel, for gradients.
struct GatherKernel {
  static constexpr size_t kFrom = 4, kTo = 3;
  template <typename X>
  static HWY_INLINE void line(const X (&x)[kFrom], X (&y)[kTo]) {
    const auto half = hn::Set(hn::DFromV<X>(), 0.5f);
    const X sum = hn::Mul(hn::Add(x[1], x[2]), half);
    y[0] = hn::Add(x[0], sum);
    y[1] = hn::Mul(hn::Sub(x[1], x[2]), half);
    y[2] = hn::Add(x[3], sum);
  }
};

template <typename Line, typename X>
HWY_INLINE void BothWays(const X (&x)[Line::kFrom][Line::kFrom], X (&y)[Line::kTo][Line::kTo]) {
  X half[Line::kTo][Line::kFrom];
#pragma GCC unroll 4
  for (size_t j = 0; j < Line::kFrom; ++j) {
    X column[Line::kFrom], to[Line::kTo];
#pragma GCC unroll 4
    for (size_t i = 0; i < Line::kFrom; ++i) column[i] = x[i][j];
    Line::line(column, to);
#pragma GCC unroll 4
    for (size_t i = 0; i < Line::kTo; ++i) half[i][j] = to[i];
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < Line::kTo; ++i) Line::line(half[i], y[i]);
}

/// Where the pixels of a tile's window lie in the pictures; -1 beyond their edges.
template <size_t kSide>
HWY_INLINE void FindWindow(const Windows& s, int64_t tile, int64_t (&pixel)[kSide][kSide]) {
  const int64_t column = tile % s.tiles_across, rest = tile / s.tiles_across;
  const int64_t row = rest % s.tiles_down, image = rest / s.tiles_down;
  const int64_t y = kResult * row - s.top, x = kResult * column - s.left;
  for (int64_t i = 0; i < static_cast<int64_t>(kSide); ++i)
    for (int64_t j = 0; j < static_cast<int64_t>(kSide); ++j) {
      const bool inside = y + i >= 0 && y + i < s.h && x + j >= 0 && x + j < s.w;
      pixel[i][j] = inside ? ((image * s.h + y + i) * s.w + x + j) * s.channels : -1;
    }
}

/// The numbers of all places, which lie `plane` apart from `at` on.
template <typename Tag>
HWY_INLINE void StorePlaces(Tag d, const hn::Vec<Tag> (&y)[kSeen][kSeen], float* at,
                            int64_t plane) {
#pragma GCC unroll 16
  for (int64_t p = 0; p < kPlaces; ++p) hn::StoreU(y[p / kSeen][p % kSeen], d, at + p * plane);
}

/// Gathers such numbers to y; false if any of it is not finite.
template <typename Line, typename Tag>
HWY_INLINE bool GatherPlaces(Tag d, const float* at, int64_t plane,
                             hn::Vec<Tag> (&y)[Line::kTo][Line::kTo]) {
  hn::Vec<Tag> x[kSeen][kSeen];
#pragma GCC unroll 16
  for (int64_t p = 0; p < kPlaces; ++p) x[p / kSeen][p % kSeen] = hn::LoadU(d, at + p * plane);
  BothWays<Line>(x, y);
  hn::Vec<Tag> doubt = hn::Zero(d);  // x * 0, which is NaN where x is not finite
#pragma GCC unroll 9
  for (size_t i = 0; i < Line::kTo * Line::kTo; ++i)
    doubt = hn::MulAdd(y[i / Line::kTo][i % Line::kTo], hn::Zero(d), doubt);
  return hn::AllTrue(d, hn::Eq(doubt, hn::Zero(d)));
}

/// The tiles' windows of `pictures`, spread to rows of `to`.
template <typename Line>
HWY_INLINE void SpreadPictures(const float* pictures, const Windows& s, Tiles tiles, Planes to) {
  constexpr size_t kSide = Line::kFrom;
  int64_t pixel[kSide][kSide];
  for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
    FindWindow<kSide>(s, tile, pixel);
    float* row = to.data + (tile - tiles.begin) * to.step;
    for_channels(static_cast<size_t>(s.channels), [&](auto d, size_t c) HWY_ATTR {
      using X = hn::Vec<decltype(d)>;
      X x[kSide][kSide], y[kSeen][kSeen];
#pragma GCC unroll 4
      for (size_t i = 0; i < kSide; ++i)
#pragma GCC unroll 4
        for (size_t j = 0; j < kSide; ++j)
          x[i][j] = pixel[i][j] < 0 ? hn::Zero(d) : hn::LoadU(d, pictures + pixel[i][j] + c);
      BothWays<Line>(x, y);
      StorePlaces(d, y, row + c, to.plane);
    });
  }
}

void SpreadSeenPixels(const float* pictures, const Windows& s, Tiles tiles, Planes to) {
  SpreadPictures<SpreadSeen>(pictures, s, tiles, to);
}
void SpreadResultPixels(const float* pictures, const Windows& s, Tiles tiles, Planes to) {
  SpreadPictures<SpreadResult>(pictures, s, tiles, to);
}

/// Rows of `from`, gathered to the tiles' results in `pictures`; false if any is not finite.
bool GatherResultPixels(Planes from, const Windows& s, Tiles tiles, float* pictures) {
  bool finite = true;
  int64_t pixel[kResult][kResult];
  for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
    FindWindow<kResult>(s, tile, pixel);
    const float* row = from.data + (tile - tiles.begin) * from.step;
    for_channels(static_cast<size_t>(s.channels), [&](auto d, size_t c) HWY_ATTR {
      hn::Vec<decltype(d)> y[kResult][kResult];
      finite &= GatherPlaces<GatherResult>(d, row + c, from.plane, y);
#pragma GCC unroll 4
      for (size_t q = 0; q < kResult * kResult; ++q) {
        const int64_t at = pixel[q / kResult][q % kResult];
        if (at >= 0) hn::StoreU(y[q / kResult][q % kResult], d, pictures + at + c);
      }
    });
  }
  return finite;
}

/// Positions [first, last) of the kernels, spread to packed right operands of products (product.h)
/// that lie `plane` apart and are filled up with zeros.
void SpreadKernels(const Kernels& from, int64_t first, int64_t last, float* panels, int64_t plane) {
  const auto in_panels = [&](int64_t at, int64_t line) {
    const int64_t in_panel = line % kPanel, panel = line - in_panel;
    return panels + panel * from.positions + at * panel_width(filled(from.lines) - panel) +
           in_panel;
  };
  // a panel's positions lie side by side in each of the places
  for_channels(static_cast<size_t>(from.lines), [&](auto d, size_t line) HWY_ATTR {
    using X = hn::Vec<decltype(d)>;
    for (int64_t at = first; at < last; ++at) {
      const float* taps = from.data + (at - first) * from.position_step + line;
      X x[3][3], y[kSeen][kSeen];
#pragma GCC unroll 9
      for (int64_t tap = 0; tap < 9; ++tap)
        x[tap / 3][tap % 3] = hn::LoadU(d, taps + tap * from.tap_step);
      BothWays<SpreadKernel>(x, y);
      StorePlaces(d, y, in_panels(at, static_cast<int64_t>(line)), plane);
    }
  });
  for (int64_t line = from.lines; line < filled(from.lines); ++line)
    for (int64_t at = first; at < last; ++at)
      for (int64_t p = 0; p < kPlaces; ++p) in_panels(at, line)[p * plane] = 0;
}

/// A matrix [rows, columns], whose rows are `step` apart, as [columns, rows].
void Transpose(const float* matrix, int64_t rows, int64_t step, int64_t columns, float* to) {
  // few rows at a time, so that lines of the cache stay until their columns are read
  for (int64_t row = 0; row < rows; row += kRun)
    PackColumns<Singles>(matrix + row * step, step, std::min(kRun, rows - row), columns, to + row,
                         rows);
}

/// The way back for gradients: rows of `from`, each of `channels`, to kernels; false if any is not
/// finite.
bool GatherKernels(Planes from, int64_t first, int64_t last, int64_t channels, float* kernels) {
  bool finite = true;
  for (int64_t o = first; o < last; ++o) {
    const float* row = from.data + o * from.step;
    float* to = kernels + o * 9 * channels;
    for_channels(static_cast<size_t>(channels), [&](auto d, size_t c) HWY_ATTR {
      hn::Vec<decltype(d)> y[3][3];
      finite &= GatherPlaces<GatherKernel>(d, row + c, from.plane, y);
#pragma GCC unroll 9
      for (size_t tap = 0; tap < 9; ++tap)
        hn::StoreU(y[tap / 3][tap % 3], d, to + tap * static_cast<size_t>(channels) + c);
    });
  }
  return finite;
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(SpreadSeenPixels);
HWY_EXPORT(SpreadResultPixels);
HWY_EXPORT(GatherResultPixels);
HWY_EXPORT(SpreadKernels);
HWY_EXPORT(Transpose);
HWY_EXPORT(GatherKernels);

namespace {

using ops::ConvolutionSizes;
using enum Operand::Kind;

constexpr int64_t kMostSpread = 1 << 24;  // numbers of a spread kernel, which takes that memory

/// Products of a place's matrices want some lines and columns to be worth spreading the kernel.
bool is_worth_it(const ConvolutionSizes& s) {
  const auto in_range = [](int64_t padding) { return padding <= 2; };
  return s.kh == 3 && s.kw == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 &&
         s.dilation_w == 1 && s.groups == 1 && in_range(s.top) && in_range(s.left) &&
         in_range(s.bottom) && in_range(s.right) && std::min(s.c, s.o) >= 32 &&
         s.n * s.oh * s.ow >= 512 && kPlaces * s.c * s.o <= kMostSpread;
}

int64_t half(int64_t pixels) { return (pixels + 1) / 2; }

/// What tiles of y see of x.
Windows seen_windows(const ConvolutionSizes& s) {
  return {s.h, s.w, s.c, s.top, s.left, half(s.oh), half(s.ow)};
}
/// The tiles of y.
Windows result_windows(const ConvolutionSizes& s) {
  return {s.oh, s.ow, s.o, 0, 0, half(s.oh), half(s.ow)};
}
int64_t tiles_of(int64_t images, const Windows& windows) {
  return images * windows.tiles_down * windows.tiles_across;
}

constexpr int64_t kGrain = int64_t{1} << 14;  // numbers of kernels that pay for a thread

/// The products that `product` gives for each place.
template <typename Make>
void multiply_places(Make product) {
  std::array<Product, kPlaces> products;
  for (int64_t place = 0; place < kPlaces; ++place)
    products[static_cast<size_t>(place)] = product(place);
  multiply_all(products);
}

size_t bytes_of(int64_t floats) {
  return aligned_bytes(static_cast<size_t>(floats) * sizeof(float));
}

/// The spread kernels as packed right operands of products (product.h), forward or, turned round,
/// back.
class KernelPanels {
 public:
  KernelPanels(const ConvolutionSizes& s, bool back)
      : s_(s),
        back_(back),
        positions_(back ? s.o : s.c),
        lines_(back ? s.c : s.o),
        runs_((positions_ + kRun - 1) / kRun, back ? 0 : 9 * kRun * lines_,
              std::max<int64_t>(1, kGrain / (kRun * lines_))) {}

  /// Spreads a weight [O, 3, 3, C] in a workspace of `bytes()`.
  void spread(const float* weight, std::byte* workspace) const {
    auto* panels = reinterpret_cast<float*>(workspace);
    runs_.run(workspace + panel_bytes(), [&](int64_t begin, int64_t end, float* turned) {
      for (int64_t first = begin * kRun; first < std::min(positions_, end * kRun); first += kRun) {
        const int64_t last = std::min(positions_, first + kRun);
        Kernels kernels = {weight + first * 9 * s_.c, 9 * s_.c, s_.c, positions_, lines_};
        if (!back_) {  // results stand apart in the weight
          for (int64_t tap = 0; tap < 9; ++tap) HWY_DYNAMIC_DISPATCH(Transpose)
          (weight + tap * s_.c + first, s_.o, 9 * s_.c, last - first, turned + tap * kRun * s_.o);
          kernels = {turned, s_.o, kRun * s_.o, positions_, lines_};
        }
        HWY_DYNAMIC_DISPATCH(SpreadKernels)(kernels, first, last, panels, plane());
      }
    });
  }
  size_t bytes() const { return panel_bytes() + runs_.workspace_bytes(); }

  /// What stands at a place, in the workspace.
  Operand at(int64_t place, const std::byte* workspace) const {
    // spread, a kernel that is turned round has its ends exchanged
    const auto end_for_end = [&](int64_t i) { return back_ && i % 3 == 0 ? 3 - i : i; };
    const int64_t from = end_for_end(place / kSeen) * kSeen + end_for_end(place % kSeen);
    return {.kind = packed, .data = reinterpret_cast<const float*>(workspace) + from * plane()};
  }

 private:
  int64_t plane() const { return positions_ * filled(lines_) + 16; }
  size_t panel_bytes() const { return bytes_of(kPlaces * plane()); }

  ConvolutionSizes s_;
  bool back_;
  int64_t positions_, lines_;
  PartsWithMemory runs_;  // of positions
};

/// The forward convolution or, back, the gradient of its input: pictures by kernels to pictures.
Kernel multiply_pictures(const ConvolutionSizes& s, bool back, Kernel direct) {
  Windows from = seen_windows(s), to = result_windows(s);
  if (back) {
    from = {s.oh, s.ow, s.o, 2 - s.top, 2 - s.left, half(s.h), half(s.w)};
    to = {s.h, s.w, s.c, 0, 0, half(s.h), half(s.w)};
  }
  const KernelPanels kernels(s, back);
  // so few tiles that they stay in the L2 cache from one stage to the next
  constexpr int64_t kTogether = 48;
  const int64_t seen_floats = Planes::operand(nullptr, kTogether, from.channels).floats(),
                floats = seen_floats + Planes::result(nullptr, kTogether, to.channels).floats();
  const PartsWithMemory parts(tiles_of(s.n, to), floats, kTogether / 2);
  const auto run = [=](KernelArgs& k) {
    kernels.spread(k.in(1).data(), k.workspace);
    std::atomic<bool> finite = true;
    parts.run(k.workspace + kernels.bytes(), [&](int64_t begin, int64_t end, float* memory) {
      const Planes seen = Planes::operand(memory, kTogether, from.channels),
                   results = Planes::result(memory + seen_floats, kTogether, to.channels);
      for (; begin < end; begin += kTogether) {
        const Tiles tiles = {begin, std::min(begin + kTogether, end)};
        HWY_DYNAMIC_DISPATCH(SpreadSeenPixels)(k.in(0).data(), from, tiles, seen);
        multiply_places([&](int64_t place) {
          return Product{
              .m = tiles.end - tiles.begin,
              .n = filled(to.channels),
              .k = from.channels,
              .a = {.kind = along, .data = seen.data + place * seen.plane, .step = seen.step},
              .b = kernels.at(place, k.workspace),
              .c = results.data + place * results.plane};
        });
        if (!HWY_DYNAMIC_DISPATCH(GatherResultPixels)(results, to, tiles, k.out().data()))
          finite = false;
      }
    });
    return finite.load();
  };
  return if_finite(kernels.bytes() + parts.workspace_bytes(), std::move(direct), run);
}

/// The gradient of the weight: seen pictures by results' gradients, summed over tiles.
Kernel multiply_for_weight(const ConvolutionSizes& s, Kernel direct) {
  const Windows seen = seen_windows(s), results = result_windows(s);
  const int64_t tiles = tiles_of(s.n, results);
  // a round's tiles stay in the caches, and are worth adding to all sums
  const int64_t together = std::min<int64_t>(tiles, 384);
  const int64_t x_floats = Planes::operand(nullptr, together, s.c).floats(),
                y_floats = Planes::operand(nullptr, together, s.o).floats(),
                sum_floats = Planes::result(nullptr, s.o, s.c).floats();
  const auto run = [=](KernelArgs& k) {
    auto* memory = reinterpret_cast<float*>(k.workspace);
    const Planes x = Planes::operand(memory, together, s.c),
                 y = Planes::operand(memory + x_floats, together, s.o),
                 sums = Planes::result(memory + x_floats + y_floats, s.o, s.c);
    if (s.c % 16 != 0) std::fill_n(memory, x_floats, 0.0f);  // what fills its rows up
    for (int64_t begin = 0; begin < tiles; begin += together) {
      const int64_t count = std::min(together, tiles - begin);
      parallel_for(
          count, std::max<int64_t>(1, kGrain / (s.c + s.o)), [&](int64_t first, int64_t last) {
            const Tiles mine = {begin + first, begin + last};
            HWY_DYNAMIC_DISPATCH(SpreadSeenPixels)(k.in(0).data(), seen, mine, x.from_row(first));
            HWY_DYNAMIC_DISPATCH(SpreadResultPixels)
            (k.in(1).data(), results, mine, y.from_row(first));
          });
      multiply_places([&](int64_t place) {
        return Product{.m = s.o,
                       .n = filled(s.c),
                       .k = count,
                       .a = {.kind = across, .data = y.data + place * y.plane, .step = y.step},
                       .b = {.kind = across, .data = x.data + place * x.plane, .step = x.step},
                       .c = sums.data + place * sums.plane,
                       .add = begin > 0};
      });
    }
    std::atomic<bool> finite = true;
    parallel_for(s.o, std::max<int64_t>(1, kGrain / s.c), [&](int64_t first, int64_t last) {
      if (!HWY_DYNAMIC_DISPATCH(GatherKernels)(sums, first, last, s.c, k.out().data()))
        finite = false;
    });
    return finite.load();
  };
  return if_finite(bytes_of(x_floats + y_floats + sum_floats), std::move(direct), run);
}

std::optional<Kernel> if_worth_it(const KernelRequest& request, const Type& x, const Type& weight,
                                  std::optional<Kernel> (*make_direct)(const KernelRequest&),
                                  Kernel (*make)(const ConvolutionSizes&, Kernel direct)) {
  const ConvolutionSizes s = ops::convolution_sizes(x.shape, weight.shape, request.attributes);
  if (x.dtype != DType::f32 || !is_worth_it(s)) return {};
  std::optional<Kernel> direct = make_direct(request);
  if (!direct) return {};
  return make(s, *std::move(direct));
}

}  // namespace

std::optional<Kernel> make_winograd_convolution(const KernelRequest& request) {
  return if_worth_it(request, request.in[0], request.in[1], make_convolution,
                     [](const ConvolutionSizes& s, Kernel direct) {
                       return multiply_pictures(s, false, std::move(direct));
                     });
}

std::optional<Kernel> make_winograd_gradient_input(const KernelRequest& request) {
  return if_worth_it(request, request.out[0], request.in[1], make_convolution_gradient_input,
                     [](const ConvolutionSizes& s, Kernel direct) {
                       return multiply_pictures(s, true, std::move(direct));
                     });
}

std::optional<Kernel> make_winograd_gradient_weight(const KernelRequest& request) {
  return if_worth_it(request, request.in[0], request.out[0], make_convolution_gradient_weight,
                     multiply_for_weight);
}

}  // namespace argosy::cpu
#endif
