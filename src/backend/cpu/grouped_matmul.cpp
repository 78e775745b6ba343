#include <hwy/cache_control.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "ops/grouped_matmul.h"
#include "ops/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/grouped_matmul.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/tile_products-inl.h"

// Matrix products of groups whose sizes are known at run time only. Blocks of both operands are
// packed so that the inner loop reads memory in order (Goto and van de Geijn 2008, "Anatomy of
// high-performance matrix multiplication"); the inner loop keeps a tile of the result in registers.
#ifndef ARGOSY_GROUPED_MATMUL_TYPES
#define ARGOSY_GROUPED_MATMUL_TYPES
namespace argosy::cpu {
namespace {

constexpr int64_t kDepth =
    320;  // of the inner dimension: two packed tiles are about as large as L1
constexpr int64_t kColumns = 1280;  // kDepth x kColumns floats stay in L2
constexpr int64_t kRows = 96;       // rows that share a packed block; what threads are given

/// c [m, n] = a [m, k] b [k, n]; c is row-major, the others are walked by their steps.
struct Product {
  const float *a, *b;
  float* c;
  int64_t m, n, k;
  int64_t a_row, a_inner, b_inner, b_column;  // steps in elements
};

/// Part of a product: rows [row, row_end), columns [column, column_end).
struct Part {
  int64_t row, row_end, column, column_end;
};

}  // namespace
}  // namespace argosy::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

// A tile of kHigh rows and two vectors: as many sums as leave registers for the operands.
constexpr int64_t kHigh = HWY_MAX_BYTES >= 64 ? 12 : 6;
constexpr int64_t kWide = 2 * kLanes;
static_assert(kRows % kHigh == 0 && kColumns % kWide == 0);

/// Lines [line, line + kSize) of an operand and depth steps along the inner dimension from `first`,
/// as [depth, kSize], zeros beyond the last line. The operand's steps are from line to line and
/// along the inner dimension; one of them is 1.
template <int64_t kSize>
HWY_INLINE void Pack(const float* from, int64_t lines, int64_t line_step, int64_t inner_step,
                     int64_t line, int64_t first, int64_t depth, float* out) {
  const int64_t n = std::min(kSize, lines - line);
  from += line * line_step + first * inner_step;
  if (n < kSize) std::fill_n(out, depth * kSize, 0.0f);
  if (line_step != 1)
    PackColumns(from, line_step, n, depth, 1, out, kSize);
  else if (n == kSize)
    for (int64_t l = 0; l < depth; ++l)
      std::memcpy(out + l * kSize, from + l * inner_step, kSize * sizeof(float));
  else
    for (int64_t l = 0; l < depth; ++l)
      std::memcpy(out + l * kSize, from + l * inner_step, static_cast<size_t>(n) * sizeof(float));
}

/// A tile of c from packed operands: stored, or added to what is there.
HWY_INLINE void Tile(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, int64_t depth,
                     float* c, int64_t c_step, bool add) {
  const D d;
  V sums[kHigh][2];
  HWY_UNROLL(kHigh)
  for (int64_t i = 0; i < kHigh; ++i) {
    sums[i][0] = sums[i][1] = hn::Zero(d);
    hwy::Prefetch(c + i * c_step);  // there by the time that the sums are
    hwy::Prefetch(c + i * c_step + kWide - 1);
  }
  for (int64_t l = 0; l < depth; ++l, a += kHigh, b += kWide) {
    const V left = hn::Load(d, b), right = hn::Load(d, b + kLanes);
    HWY_UNROLL(kHigh)
    for (int64_t i = 0; i < kHigh; ++i) {
      const V x = hn::Set(d, a[i]);
      sums[i][0] = hn::MulAdd(x, left, sums[i][0]);
      sums[i][1] = hn::MulAdd(x, right, sums[i][1]);
    }
  }
  HWY_UNROLL(kHigh)
  for (int64_t i = 0; i < kHigh; ++i) {
    float* row = c + i * c_step;
    if (add) {
      sums[i][0] = hn::Add(sums[i][0], hn::LoadU(d, row));
      sums[i][1] = hn::Add(sums[i][1], hn::LoadU(d, row + kLanes));
    }
    hn::StoreU(sums[i][0], d, row);
    hn::StoreU(sums[i][1], d, row + kLanes);
  }
}

/// One part of a product; `a_block` holds kRows x kDepth floats, `b_block` kColumns x kDepth. Each
/// element is summed in one order, whatever the part.
void Multiply(const Product& p, const Part& part, float* a_block, float* b_block) {
  HWY_ALIGN float edge[kHigh * kWide];
  for (int64_t first = 0; first < p.k; first += kDepth) {
    const int64_t depth = std::min(kDepth, p.k - first);
    const bool add = first > 0;
    for (int64_t j = part.column; j < part.column_end; j += kWide)
      Pack<kWide>(p.b, p.n, p.b_column, p.b_inner, j, first, depth,
                  b_block + (j - part.column) * depth);
    for (int64_t top = part.row; top < part.row_end; top += kRows) {
      const int64_t bottom = std::min(part.row_end, top + kRows);
      for (int64_t i = top; i < bottom; i += kHigh)
        Pack<kHigh>(p.a, p.m, p.a_row, p.a_inner, i, first, depth, a_block + (i - top) * depth);
      for (int64_t j = part.column; j < part.column_end; j += kWide)
        for (int64_t i = top; i < bottom; i += kHigh) {
          const float *a = a_block + (i - top) * depth, *b = b_block + (j - part.column) * depth;
          float* c = p.c + i * p.n + j;
          const int64_t high = std::min(kHigh, p.m - i), wide = std::min(kWide, p.n - j);
          if (high == kHigh && wide == kWide) {
            Tile(a, b, depth, c, p.n, add);
            continue;
          }
          Tile(a, b, depth, edge, kWide, false);
          for (int64_t y = 0; y < high; ++y)
            for (int64_t x = 0; x < wide; ++x)
              c[y * p.n + x] = edge[y * kWide + x] + (add ? c[y * p.n + x] : 0.0f);
        }
    }
  }
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(Multiply);

namespace {

constexpr int64_t kGrain = int64_t{1} << 19;  // products of two numbers that pay for a thread

/// This thread's memory for packed blocks, on a cache line.
float* thread_blocks() {
  static thread_local std::vector<float> memory((kRows + kColumns) * kDepth + 16);
  auto address = reinterpret_cast<uintptr_t>(memory.data());
  return reinterpret_cast<float*>((address + 63) / 64 * 64);
}

int64_t blocks_of(int64_t size, int64_t block) { return (size + block - 1) / block; }

/// All products, which have one n; the work is cut between threads by parts of kRows rows.
void multiply_all(std::span<const Product> products) {
  if (products.empty() || products[0].n == 0) return;
  const int64_t n = products[0].n;
  const int64_t across = blocks_of(n, kColumns);
  const int64_t wide = blocks_of(blocks_of(n, across), 64) * 64;  // even columns, whole tiles
  const auto work = [&](const Product& p) { return std::max<int64_t>(1, p.k) * kRows; };
  int64_t total = 0;
  for (const Product& p : products) total += across * blocks_of(p.m, kRows) * work(p);
  // A thread's range of the work, in numbers: it does the parts that begin in it, those of one
  // column block together.
  parallel_for(
      total, std::max<int64_t>(1, kGrain / std::min(n, wide)), [&](int64_t begin, int64_t end) {
        float* memory = thread_blocks();
        int64_t at = 0;
        for (const Product& p : products) {
          const int64_t cost = work(p), down = blocks_of(p.m, kRows);
          for (int64_t block = 0; block < across; ++block, at += down * cost) {
            const int64_t first = std::clamp<int64_t>(blocks_of(begin - at, cost), 0, down),
                          last = std::clamp<int64_t>(blocks_of(end - at, cost), 0, down);
            const Part part = {first * kRows, std::min(p.m, last * kRows), block * wide,
                               std::min(n, (block + 1) * wide)};
            if (part.row >= part.row_end || part.column >= part.column_end) continue;
            if (p.k == 0)
              for (int64_t row = part.row; row < part.row_end; ++row)
                std::fill(p.c + row * n + part.column, p.c + row * n + part.column_end, 0.0f);
            else
              HWY_DYNAMIC_DISPATCH(Multiply)(p, part, memory, memory + kRows * kDepth);
          }
        }
      });
}

}  // namespace

std::optional<Kernel> make_grouped_matmul(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const bool transposed = request.attributes.get<bool>("transpose_b");
  const int64_t rows = request.in[0].shape[0], inner = request.in[0].shape[1],
                width = request.out[0].shape[1];
  const size_t groups = static_cast<size_t>(request.in[2].elements());
  return Kernel{.run =
                    [=](KernelArgs& k) {
                      const float *x = k.in(0).data(), *weight = k.in(1).data();
                      float* y = k.out().data();
                      auto* products = reinterpret_cast<Product*>(k.workspace);
                      int64_t used = 0;  // rows that have a group
                      const auto add = [&](int64_t group, int64_t begin, int64_t end) {
                        products[group] = {.a = x + begin * inner,
                                           .b = weight + group * inner * width,
                                           .c = y + begin * width,
                                           .m = end - begin,
                                           .n = width,
                                           .k = inner,
                                           .a_row = inner,
                                           .a_inner = 1,
                                           .b_inner = transposed ? 1 : width,
                                           .b_column = transposed ? inner : 1};
                        used = end;
                      };
                      ops::for_groups(k.in<int32_t>(2), rows, add);
                      multiply_all({products, groups});
                      std::fill(y + used * width, y + rows * width, 0.0f);
                    },
                .workspace_bytes = groups * sizeof(Product)};
}

std::optional<Kernel> make_grouped_matmul_gradient_weight(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const int64_t rows = request.in[0].shape[0], height = request.in[0].shape[1],
                width = request.in[1].shape[1];
  const size_t groups = static_cast<size_t>(request.in[2].elements());
  return Kernel{.run =
                    [=](KernelArgs& k) {
                      const float *x = k.in(0).data(), *dy = k.in(1).data();
                      float* dw = k.out().data();
                      auto* products = reinterpret_cast<Product*>(k.workspace);
                      const auto add = [&](int64_t group, int64_t begin, int64_t end) {
                        products[group] = {.a = x + begin * height,
                                           .b = dy + begin * width,
                                           .c = dw + group * height * width,
                                           .m = height,
                                           .n = width,
                                           .k = end - begin,
                                           .a_row = 1,
                                           .a_inner = height,
                                           .b_inner = width,
                                           .b_column = 1};
                      };
                      ops::for_groups(k.in<int32_t>(2), rows, add);
                      multiply_all({products, groups});
                    },
                .workspace_bytes = groups * sizeof(Product)};
}

}  // namespace argosy::cpu
#endif
