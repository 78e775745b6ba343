#include "backend/cpu/product.h"

#include <hwy/cache_control.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "backend/cpu/kernels.h"
#include "base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/product.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/tile_products-inl.h"

// A tile of the result stays in registers while the sum runs. Blocks of b are packed so that they
// are read in order and stay in the L2 cache (Goto and van de Geijn 2008, "Anatomy of
// high-performance matrix multiplication"); a is read where it lies if its lines are runs of
// memory.
#ifndef ARGOSY_PRODUCT_TYPES
#define ARGOSY_PRODUCT_TYPES
namespace argosy::cpu {
namespace {

constexpr int64_t kMostHigh = 12;  // lines of a tile

/// A thread's memory.
struct Blocks {
  float* b;  // packed: panels [depth, wide]
  float* a;  // packed: one tile [depth, high]
};

/// Part of a product: lines [row, row_end), columns [column, column_end).
struct Part {
  int64_t row, row_end, column, column_end;
};

/// The block sizes of an instruction set.
struct BlockSizes {
  int64_t depth, columns, high, wide;
};

/// A place of a picture.
struct Place {
  int64_t image, row, column;
};

inline Place place_of(const Patches& patches, int64_t number) {
  const int64_t rest = number / patches.across.places;
  return {rest / patches.down.places, rest % patches.down.places, number % patches.across.places};
}

}  // namespace
}  // namespace argosy::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

// As many sums as leave registers for a row of b and a number of a.
constexpr int64_t kHigh = HWY_MAX_BYTES >= 64 ? 12 : 6;
// depth x columns floats of b are about half of L2
constexpr int64_t kDepth = 384, kColumns = HWY_MAX_BYTES >= 64 ? 384 : 192;
static_assert(kColumns % kPanel == 0 && kHigh <= kMostHigh);

/// Vectors that hold a packed tile's lines.
constexpr int64_t kPackVectors = (kHigh + kLanes - 1) / kLanes;

/// Lines of a read where they lie.
struct InPlace {
  const float* line[kMostHigh];
  HWY_INLINE float at(int64_t i, int64_t l) const { return line[i][l]; }
};
/// Lines of a packed as [depth, high].
template <int64_t kTall>
struct Packed {
  const float* a;
  HWY_INLINE float at(int64_t i, int64_t l) const { return a[l * kTall + i]; }
};

template <int64_t kTall, int64_t kVectors>
struct Sums {
  V v[kTall][kVectors];
  template <typename A>
  HWY_INLINE void add(const A a, const float* HWY_RESTRICT b, int64_t depth) {
    const D d;
    for (int64_t l = 0; l < depth; ++l, b += kVectors * kLanes) {
      V right[kVectors];
#pragma GCC unroll 2
      for (int64_t j = 0; j < kVectors; ++j) right[j] = hn::Load(d, b + j * kLanes);
#pragma GCC unroll 12
      for (int64_t i = 0; i < kTall; ++i) {
        const V left = hn::Set(d, a.at(i, l));
#pragma GCC unroll 2
        for (int64_t j = 0; j < kVectors; ++j) v[i][j] = hn::MulAdd(left, right[j], v[i][j]);
      }
    }
  }
};

/// A tile of c, whose lines are `step` apart: stored, or added to what is there. `packed` has a's
/// lines, or is null and they are `lines`.
template <int64_t kTall, int64_t kVectors>
HWY_NOINLINE void Tile(const float* packed, const InPlace& lines, const float* HWY_RESTRICT b,
                       int64_t depth, float* c, int64_t step, bool add) {
  const D d;
  Sums<kTall, kVectors> sums;
#pragma GCC unroll 12
  for (int64_t i = 0; i < kTall; ++i) {
#pragma GCC unroll 2
    for (int64_t j = 0; j < kVectors; ++j) sums.v[i][j] = hn::Zero(d);
    hwy::Prefetch(c + i * step);  // there by the time that the sums are
    hwy::Prefetch(c + i * step + kVectors * kLanes - 1);
  }
  if (packed)
    sums.add(Packed<kTall>{packed}, b, depth);
  else
    sums.add(lines, b, depth);
#pragma GCC unroll 12
  for (int64_t i = 0; i < kTall; ++i)
#pragma GCC unroll 2
    for (int64_t j = 0; j < kVectors; ++j) {
      float* to = c + i * step + j * kLanes;
      hn::StoreU(add ? hn::Add(sums.v[i][j], hn::LoadU(d, to)) : sums.v[i][j], d, to);
    }
}

using TileFunction = void (*)(const float*, const InPlace&, const float*, int64_t, float*, int64_t,
                              bool);
template <size_t... kIndex>
TileFunction TileOf(int64_t high, int64_t vectors, std::index_sequence<kIndex...>) {
  static constexpr TileFunction one[] = {Tile<kIndex + 1, 1>...}, two[] = {Tile<kIndex + 1, 2>...};
  return (vectors == 1 ? one : two)[high - 1];
}

/// Columns [column, column + wide) of b and positions [first, first + depth), as [depth, wide],
/// zeros beyond the last column.
void PackRight(const Product& p, int64_t column, int64_t wide, int64_t first, int64_t depth,
               float* out) {
  const D d;
  const Operand& b = p.b;
  const int64_t n = std::min(wide, p.n - column);
  const auto copy = [&](const float* from, float* to) {
    if (n == 2 * kLanes) {
      hn::Store(hn::LoadU(d, from), d, to);
      hn::Store(hn::LoadU(d, from + kLanes), d, to + kLanes);
    } else {
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
    }
  };
  if (n < wide) std::fill_n(out, depth * wide, 0.0f);
  switch (b.kind) {
    case Operand::Kind::along:
      PackColumns<Singles>(b.data + column * b.step + first, b.step, n, depth, out, wide);
      return;
    case Operand::Kind::across:
      for (int64_t l = 0; l < depth; ++l)
        copy(b.data + (first + l) * b.step + column, out + l * wide);
      return;
    case Operand::Kind::seen:
      break;
    case Operand::Kind::packed:
      check(false, "a packed operand is packed once more");
  }
  // what the taps see: pieces of the panel that are one tap's, or one row's where taps touch
  const Patches& t = b.patches;
  const bool touch = t.across.tap_step == 1;
  const int64_t row_seen = t.across.taps * t.channels;
  for (int64_t at = column; at < column + n;) {
    const int64_t tap_row = at / row_seen, in_row = at % row_seen, tap = in_row / t.channels;
    const int64_t row_left = std::min(column + n, at - in_row + row_seen) - at;
    const int64_t tap_left = std::min(row_left, (tap + 1) * t.channels - in_row);
    // the last tap of the row that is seen from here
    const int64_t last_tap = touch ? (in_row + row_left - 1) / t.channels : tap;
    Place place = place_of(t, first);
    const int64_t length = touch ? row_left : tap_left;
    float* to = out + (at - column);
    for (int64_t l = 0; l < depth; ++l, to += wide) {
      const int64_t y = place.row * t.down.place_step + t.down.first + tap_row * t.down.tap_step;
      const int64_t x = place.column * t.across.place_step + t.across.first;
      const int64_t left = x + tap * t.across.tap_step, right = x + last_tap * t.across.tap_step;
      // where the row begins, if it is on the picture
      const int64_t row = (place.image * t.down.pixels + y) * t.across.pixels * t.channels;
      if (y < 0 || y >= t.down.pixels) {
        std::fill_n(to, length, 0.0f);
      } else if (left < 0 || right >= t.across.pixels) {
        for (int64_t i = 0; i < length; ++i) {
          const int64_t pixel = x + (in_row + i) / t.channels * t.across.tap_step;
          to[i] = pixel >= 0 && pixel < t.across.pixels
                      ? b.data[row + pixel * t.channels + (in_row + i) % t.channels]
                      : 0.0f;
        }
      } else {
        const float* from = b.data + row + left * t.channels + in_row % t.channels;
        if (length == 2 * kLanes) {
          hn::StoreU(hn::LoadU(d, from), d, to);
          hn::StoreU(hn::LoadU(d, from + kLanes), d, to + kLanes);
        } else {
          for (int64_t i = 0; i < length; ++i) to[i] = from[i];
        }
      }
      if (++place.column == t.across.places) {
        place.column = 0;
        if (++place.row == t.down.places) place.row = 0, ++place.image;
      }
    }
    at += length;
  }
}

/// Lines [line, line + high) of a, packed; or null where they are runs of memory, which `lines`
/// then has.
const float* FindLeft(const Product& p, int64_t line, int64_t high, int64_t first, int64_t depth,
                      float* block, InPlace& lines) {
  const Operand& a = p.a;
  check(a.kind != Operand::Kind::seen, "a is no matrix");
  if (a.kind == Operand::Kind::along) {
    // lines a multiple of 4 KB apart would compete for the same places of the L1 cache
    const bool copied = a.step % 1024 == 0;
    for (int64_t i = 0; i < high; ++i) {
      const float* from = a.data + (line + i) * a.step + first;
      float* to = block + i * (kDepth + 16);
      if (copied) std::memcpy(to, from, static_cast<size_t>(depth) * sizeof(float));
      lines.line[i] = copied ? to : from;
    }
    return nullptr;
  }
  const D d;
  const float* from = a.data + first * a.step + line;
  float* to = block;
  // whole vectors, what is too much is written over, as long as that is on the matrix
  const int64_t taken = kPackVectors * kLanes, last = (p.k - first) * a.step - line - taken;
  int64_t l = 0;
  for (; l < depth && l * a.step <= last; ++l, from += a.step, to += high)
    for (int64_t v = 0; v < kPackVectors; ++v)
      hn::StoreU(hn::LoadU(d, from + v * kLanes), d, to + v * kLanes);
  for (; l < depth; ++l, from += a.step, to += high) std::copy_n(from, high, to);
  return block;
}

/// One part of a product. Each number is summed in one order, whatever the part.
void Multiply(const Product& p, const Part& part, const Blocks& blocks) {
  constexpr auto kHeights = std::make_index_sequence<kHigh>();
  HWY_ALIGN float edge[kHigh * kPanel];
  InPlace lines;
  // tiles of about one height, so that the last is not a sliver
  const int64_t height = part.row_end - part.row, tiles = (height + kHigh - 1) / kHigh;
  for (int64_t left = part.column; left < part.column_end; left += kColumns) {
    const int64_t right = std::min(part.column_end, left + kColumns);
    const auto width = [&](int64_t j) { return panel_width(right - j); };
    for (int64_t first = 0; first < p.k; first += kDepth) {
      const int64_t depth = std::min(kDepth, p.k - first);
      const bool add = first > 0 || p.add;
      const bool ready = p.b.kind == Operand::Kind::packed;
      const auto panel = [&](int64_t j) {
        return ready ? p.b.data + j * p.k + first * width(j) : blocks.b + (j - left) * depth;
      };
      for (int64_t j = left; j < right && !ready; j += kPanel)
        PackRight(p, j, width(j), first, depth, blocks.b + (j - left) * depth);
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t line = part.row + tile * height / tiles,
                      high = part.row + (tile + 1) * height / tiles - line;
        const float* packed = FindLeft(p, line, high, first, depth, blocks.a, lines);
        for (int64_t j = left; j < right; j += kPanel) {
          float* c = p.c + line * p.n + j;
          const TileFunction multiply = TileOf(high, width(j) / kLanes, kHeights);
          const int64_t wide = std::min(width(j), p.n - j);
          if (wide == width(j)) {
            multiply(packed, lines, panel(j), depth, c, p.n, add);
            continue;
          }
          multiply(packed, lines, panel(j), depth, edge, kPanel, false);
          for (int64_t i = 0; i < high; ++i)
            for (int64_t x = 0; x < wide; ++x)
              c[i * p.n + x] = edge[i * kPanel + x] + (add ? c[i * p.n + x] : 0.0f);
        }
      }
    }
  }
}

BlockSizes SizesOfBlocks() { return {kDepth, kColumns, kHigh, kPanel}; }

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(Multiply);
HWY_EXPORT(SizesOfBlocks);

namespace {

constexpr int64_t kGrain = int64_t{1} << 19;  // products of two numbers that pay for a thread
constexpr int64_t kRows = 96;                 // lines that a thread takes together

int64_t blocks_of(int64_t size, int64_t block) { return (size + block - 1) / block; }

/// This thread's memory, on a cache line.
Blocks thread_blocks(const BlockSizes& sizes) {
  static thread_local std::vector<float> memory;
  const int64_t b = sizes.depth * sizes.columns, a = (sizes.depth + 16) * sizes.high;
  memory.resize(std::max(memory.size(), static_cast<size_t>(b + a) + 16));
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  auto* begin = reinterpret_cast<float*>((address + 63) / 64 * 64);
  return {begin, begin + b};
}

}  // namespace

void multiply_all(std::span<const Product> products) {
  if (products.empty() || products[0].n == 0) return;
  const BlockSizes sizes = HWY_DYNAMIC_DISPATCH(SizesOfBlocks)();
  const int64_t n = products[0].n;
  // Products of few lines are cut by columns: each thread packs its own part of b.
  int64_t most_lines = 0;
  for (const Product& p : products) most_lines = std::max(most_lines, p.m);
  const int64_t by_rows = blocks_of(most_lines, kRows) * static_cast<int64_t>(products.size());
  const bool packs_a = products[0].a.kind == Operand::Kind::across;
  const bool cut_columns = by_rows < 4 * thread_count() || (packs_a && n > most_lines);
  const int64_t panels = blocks_of(n, sizes.wide);
  const int64_t across = std::min(
      panels, cut_columns ? std::max<int64_t>(blocks_of(n, sizes.columns), thread_count()) : 1);
  const auto column = [&](int64_t block) {
    return std::min(n, panels * block / across * sizes.wide);
  };
  const auto work = [&](const Product& p, int64_t block) {
    return std::max<int64_t>(1, p.k) * kRows * (column(block + 1) - column(block));
  };
  int64_t total = 0;
  for (const Product& p : products)
    for (int64_t block = 0; block < across; ++block)
      total += blocks_of(p.m, kRows) * work(p, block);
  // A thread's range of the work, in numbers: it does the parts that begin in it, those of one
  // column block together.
  parallel_for(total, kGrain, [&](int64_t begin, int64_t end) {
    const Blocks blocks = thread_blocks(sizes);
    int64_t at = 0;
    for (const Product& p : products) {
      const int64_t down = blocks_of(p.m, kRows);
      for (int64_t block = 0; block < across; ++block) {
        const int64_t cost = work(p, block);
        const int64_t first = std::clamp<int64_t>(blocks_of(begin - at, cost), 0, down),
                      last = std::clamp<int64_t>(blocks_of(end - at, cost), 0, down);
        at += down * cost;
        const Part part = {first * kRows, std::min(p.m, last * kRows), column(block),
                           column(block + 1)};
        if (part.row >= part.row_end || part.column >= part.column_end) continue;
        if (p.k == 0 && p.add) continue;
        if (p.k == 0)
          for (int64_t row = part.row; row < part.row_end; ++row)
            std::fill(p.c + row * n + part.column, p.c + row * n + part.column_end, 0.0f);
        else
          HWY_DYNAMIC_DISPATCH(Multiply)(p, part, blocks);
      }
    }
  });
}

}  // namespace argosy::cpu
#endif
