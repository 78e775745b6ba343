#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "ops/block_weights.h"
#include "ops/grouped_matmul.h"
#include "ops/ops.h"

#include <hwy/cache_control.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/block_matmul.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/level_sums-inl.h"

// Rows times weights in panels. One row reads the weights once, as fast as memory gives them; of
// many rows a few are multiplied by a cell of weights while it is in registers. Each number is
// summed in one order, whatever the rows beside it and the threads, so that a row's result does not
// depend on what else is computed. Rows in groups are multiplied group by group, each with matrices
// of its own; those of a group without rows are not read.
#ifndef ARGOSY_BLOCK_MATMUL_TYPES
#define ARGOSY_BLOCK_MATMUL_TYPES
namespace argosy::cpu {
namespace {

/// 32 numbers of a row as whole steps.
struct alignas(16) Rounded {
  int8_t levels[32];
  float step;
  float sum;                       ///< of the numbers
  int32_t minus_all, minus_first;  ///< minus the sum of all levels, of the first half's
};

/// `tall` rows times a panel.
struct PanelWork {
  const uint8_t* panel;
  int64_t columns;
  const float* numbers;    ///< the rows, as they are
  const Rounded* rounded;  ///< the rows, rounded
  float* y;                ///< [tall, 16], or fewer columns
  int64_t y_step;
  int64_t height;  ///< rows of the panel that are there
};
using PanelFunction = void (*)(const PanelWork&);

/// How far ahead of the weights that are multiplied others are fetched: the CPU's own prefetching
/// begins anew with every page of memory and every panel, but what is fetched far ahead hinders it.
constexpr int64_t kAhead = 256;

/// For 1, 2, 4 and 8 rows.
struct PanelFunctions {
  PanelFunction by_power[4];
};

}  // namespace
}  // namespace argosy::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

#if ARGOSY_HAVE_LEVEL_SUMS
constexpr int64_t kParts = kPanelRows / kRowLanes;  // vectors that a panel is high

void RoundRow(const float* x, int64_t blocks, Rounded* out) {
  const D d;
  const Whole whole;
  const hn::Rebind<int8_t, D> bytes;
  for (int64_t b = 0; b < blocks; ++b, x += 32, ++out) {
    V largest = hn::Zero(d), doubt = hn::Zero(d);  // x * 0 is NaN where x is not finite
    for (int64_t i = 0; i < 32; i += kRowLanes) {
      const V v = hn::LoadU(d, x + i);
      largest = hn::Max(largest, hn::Abs(v));
      doubt = hn::MulAdd(v, hn::Zero(d), doubt);
    }
    const float top = hn::GetLane(hn::MaxOfLanes(d, largest));
    if (!hn::AllTrue(d, hn::Eq(doubt, hn::Zero(d)))) {
      *out = {};
      out->step = out->sum = std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    const V inverse = hn::Set(d, top >= ops::kLeastRounded ? 127 / top : 0.0f);
    Sum halves[2] = {hn::Zero(whole), hn::Zero(whole)};
    for (int64_t i = 0; i < 32; i += kRowLanes) {
      const Sum rounded = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), inverse));
      hn::StoreU(hn::DemoteTo(bytes, rounded), bytes, out->levels + i);
      halves[i / 16] = hn::Add(halves[i / 16], rounded);
    }
    out->step = top / 127;
    out->minus_first = -hn::GetLane(hn::SumOfLanes(whole, halves[0]));
    out->minus_all = out->minus_first - hn::GetLane(hn::SumOfLanes(whole, halves[1]));
    out->sum = out->step * static_cast<float>(-out->minus_all);
  }
}

template <int64_t kTall>
HWY_INLINE void StoreSums(const PanelWork& work, const V (&sums)[kTall][kParts]) {
  const D d;
  for (int64_t t = 0; t < kTall; ++t) {
    float* y = work.y + t * work.y_step;
    if (work.height == kPanelRows) {
      for (int64_t part = 0; part < kParts; ++part)
        hn::StoreU(sums[t][part], d, y + part * kRowLanes);
      continue;
    }
    HWY_ALIGN float edge[kPanelRows];
    for (int64_t part = 0; part < kParts; ++part)
      hn::Store(sums[t][part], d, edge + part * kRowLanes);
    std::copy_n(edge, work.height, y);
  }
}

/// A panel of blocks.
template <typename Format, typename Products, int64_t kTall>
HWY_NOINLINE void BlockPanel(const PanelWork& work) {
  const D d;
  const Whole whole;
  constexpr int kBits = Format::kBits;
  constexpr int64_t kLevelBytes = kBits == 8 ? 512 : 256 + 64 * (kBits - 4);
  // levels of 8 bits are signed, or from 0 on with their middle at 2^7
  constexpr int kMiddle = kBits == 8 && !Products::kSignedBytes ? 7 : Format::kMiddle;
  const auto begin = [&](int32_t minus_sum) {
    if constexpr (kMiddle == 0) return hn::Zero(whole);
    return hn::ShiftLeft<kMiddle>(hn::Set(whole, minus_sum));
  };
  const int64_t cells = work.columns / kCellColumns;
  constexpr int64_t kCellBytes = kLevelBytes + Format::kScaleBytes / Format::kCells;
  const uint8_t* ahead = work.panel + kAhead;
  const uint8_t* scales = work.panel;
  const uint8_t* levels =
      work.panel + (cells / Format::kCells * Format::kScaleBytes + 63) / 64 * 64;
  V sums[kTall][kParts];
#pragma GCC unroll 8
  for (int64_t t = 0; t < kTall; ++t)
#pragma GCC unroll 4
    for (int64_t part = 0; part < kParts; ++part) sums[t][part] = hn::Zero(d);
  for (int64_t cell = 0; cell < cells; ++cell, levels += kLevelBytes) {
    for (int64_t line = 0; line < kCellBytes; line += 64) hwy::Prefetch(ahead + line);
    ahead += kCellBytes;
    const int64_t within = cell % Format::kCells;
    const Rounded* x = work.rounded + cell;
#pragma GCC unroll 4
    for (int64_t part = 0; part < kParts; ++part) {
      Levels words[8];
      LoadLevels<kBits, Products::kSignedBytes>(levels + part * kRowLanes * 4, words);
      const Scales s = Format::scales(scales, within, part * kRowLanes);
#pragma GCC unroll 8
      for (int64_t t = 0; t < kTall; ++t) {
        const Rounded& row = x[t * cells];
        const V step = hn::Set(d, row.step);
        if constexpr (Format::kHalves == 1) {
          const Sum dot = Products::template add<kBits, 8>(words, row.levels, begin(row.minus_all));
          sums[t][part] =
              hn::MulAdd(hn::ConvertTo(d, dot), hn::Mul(s.factor[0], step), sums[t][part]);
        } else {
#pragma GCC unroll 2
          for (int64_t half = 0; half < 2; ++half) {
            const Sum dot = Products::template add<kBits, 4>(
                words + 4 * half, row.levels + 16 * half,
                begin(half == 0 ? row.minus_first : row.minus_all - row.minus_first));
            sums[t][part] =
                hn::MulAdd(hn::ConvertTo(d, dot), hn::Mul(s.factor[half], step), sums[t][part]);
          }
        }
        if constexpr (Format::kMinimum)
          sums[t][part] = hn::MulAdd(s.minimum, hn::Set(d, row.sum), sums[t][part]);
      }
    }
    if (within + 1 == Format::kCells) scales += Format::kScaleBytes;
  }
  StoreSums<kTall>(work, sums);
}

HWY_INLINE V LoadReal(const float* from) { return hn::LoadU(D(), from); }
HWY_INLINE V LoadReal(const hwy::float16_t* from) {
  return hn::PromoteTo(D(), hn::LoadU(hn::Rebind<hwy::float16_t, D>(), from));
}
HWY_INLINE V LoadReal(const hwy::bfloat16_t* from) {
  return hn::PromoteTo(D(), hn::LoadU(hn::Rebind<hwy::bfloat16_t, D>(), from));
}

/// A panel of whole numbers. Columns are added by fours, so that no sum waits for the one before.
template <typename Element, int64_t kTall>
HWY_NOINLINE void NumberPanel(const PanelWork& work) {
  const D d;
  constexpr int64_t kChains = 4;
  const auto* weights = reinterpret_cast<const Element*>(work.panel);
  V sums[kTall][kParts];
  for (int64_t part = 0; part < kParts; ++part) {
    const Element* w = weights + part * kRowLanes;
    V chains[kTall][kChains];
    for (int64_t t = 0; t < kTall; ++t)
      for (int64_t i = 0; i < kChains; ++i) chains[t][i] = hn::Zero(d);
    int64_t column = 0;
    for (; column + kChains <= work.columns; column += kChains, w += kChains * kPanelRows) {
      const auto* ahead = reinterpret_cast<const uint8_t*>(w) + kAhead;
      for (size_t line = 0; line < kChains * kPanelRows * sizeof(Element); line += 64)
        hwy::Prefetch(ahead + line);
#pragma GCC unroll 4
      for (int64_t i = 0; i < kChains; ++i) {
        const V weight = LoadReal(w + i * kPanelRows);
#pragma GCC unroll 8
        for (int64_t t = 0; t < kTall; ++t)
          chains[t][i] = hn::MulAdd(weight, hn::Set(d, work.numbers[t * work.columns + column + i]),
                                    chains[t][i]);
      }
    }
    for (; column < work.columns; ++column, w += kPanelRows)
      for (int64_t t = 0; t < kTall; ++t)
        chains[t][0] = hn::MulAdd(LoadReal(w), hn::Set(d, work.numbers[t * work.columns + column]),
                                  chains[t][0]);
    for (int64_t t = 0; t < kTall; ++t)
      sums[t][part] =
          hn::Add(hn::Add(chains[t][0], chains[t][1]), hn::Add(chains[t][2], chains[t][3]));
  }
  StoreSums<kTall>(work, sums);
}

template <typename Format, typename Products>
PanelFunctions BlockPanels() {
  return {{BlockPanel<Format, Products, 1>, BlockPanel<Format, Products, 2>,
           BlockPanel<Format, Products, 4>, BlockPanel<Format, Products, 8>}};
}
template <typename Element>
PanelFunctions NumberPanels() {
  return {{NumberPanel<Element, 1>, NumberPanel<Element, 2>, NumberPanel<Element, 4>,
           NumberPanel<Element, 8>}};
}

template <typename Products>
PanelFunctions PanelsOf(BlockFormat format) {
  using enum BlockFormat;
  switch (format) {
    case q8_0:
      return BlockPanels<PlainFormat<8, 0, false>, Products>();
    case q4_0:
      return BlockPanels<PlainFormat<4, 3, false>, Products>();
    case q4_1:
      return BlockPanels<PlainFormat<4, 0, true>, Products>();
    case q5_0:
      return BlockPanels<PlainFormat<5, 4, false>, Products>();
    case q5_1:
      return BlockPanels<PlainFormat<5, 0, true>, Products>();
    case q4_k:
      return BlockPanels<FactorFormat<4>, Products>();
    case q5_k:
      return BlockPanels<FactorFormat<5>, Products>();
    case q6_k:
      return BlockPanels<HalvesFormat, Products>();
    case f32:
      return NumberPanels<float>();
    case f16:
      return NumberPanels<hwy::float16_t>();
    case bf16:
      return NumberPanels<hwy::bfloat16_t>();
  }
  return {};
}

PanelFunctions FindPanels(BlockFormat format, bool fours) {
#if ARGOSY_HAVE_FOURS
  if (fours && has_fours()) return PanelsOf<Fours>(format);
#endif
  (void)fours;
  return PanelsOf<Pairwise>(format);
}
#else
void RoundRow(const float*, int64_t, Rounded*) {}
/// None: the op's reference does it.
PanelFunctions FindPanels(BlockFormat, bool) { return {}; }
#endif

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(RoundRow);
HWY_EXPORT(FindPanels);

namespace {

bool fours_allowed = true;

constexpr int64_t kGrainBytes = int64_t{1} << 15;  // of weights, times rows, that pay for a thread

/// One weight of the product.
struct Weight {
  PanelFunctions multiply;
  int64_t rows, first_panel, panels, bytes;  ///< of the matrix of each group; bytes of a panel
};

/// Rows of one group, times panels [begin, end) of its matrices.
void multiply_group(const KernelArgs& k, std::span<const Weight> weights, const Rounded* rounded,
                    int64_t group, int64_t first_row, int64_t end_row, int64_t begin, int64_t end) {
  const int64_t columns = k.shape(0)[1], blocks = columns / kCellColumns;
  size_t i = 0;
  for (int64_t panel = begin; panel < end; ++panel) {
    while (i + 1 < weights.size() && panel >= weights[i + 1].first_panel) ++i;
    const Weight& weight = weights[i];
    const int64_t within = panel - weight.first_panel, first = within * kPanelRows;
    PanelWork work = {.panel = reinterpret_cast<const uint8_t*>(k.in_bytes[i + 1]) +
                               (group * weight.panels + within) * weight.bytes,
                      .columns = columns,
                      .y_step = weight.rows,
                      .height = std::min(kPanelRows, weight.rows - first)};
    size_t power = 3;
    for (int64_t n = first_row; n < end_row;) {
      while (n + (int64_t{1} << power) > end_row) --power;
      work.numbers = k.in(0).data() + n * columns;
      work.rounded = rounded + n * blocks;
      work.y = k.out(i).data() + n * weight.rows + first;
      weight.multiply.by_power[power](work);
      n += int64_t{1} << power;
    }
  }
}

}  // namespace

void allow_byte_products(bool allowed) { fours_allowed = allowed; }

std::optional<Kernel> make_block_matmul(const KernelRequest& request) {
  const std::vector<BlockFormat> formats = ops::formats_of(request.attributes);
  const bool grouped = &request.op == &ops::block_grouped_matmul;
  const int64_t count = request.in[0].shape[0], columns = request.in[0].shape[1],
                blocks = columns / kCellColumns;
  std::vector<Weight> weights;
  int64_t panels = 0, bytes = 0;  // of one group
  bool rounds = false;
  for (size_t i = 0; i < formats.size(); ++i) {
    const PanelFunctions multiply = HWY_DYNAMIC_DISPATCH(FindPanels)(formats[i], fours_allowed);
    if (!multiply.by_power[0]) return {};
    const Weight& weight =
        weights.emplace_back(Weight{.multiply = multiply,
                                    .rows = request.out[i].shape[1],
                                    .first_panel = panels,
                                    .panels = panel_count(request.out[i].shape[1]),
                                    .bytes = panel_bytes(formats[i], columns)});
    panels += weight.panels;
    bytes += weight.panels * weight.bytes;
    rounds |= panel_layout(formats[i]).bits > 0;
  }
  const int64_t grain = kGrainBytes / (count * bytes / std::max<int64_t>(1, panels) + 1) + 1;
  const auto round = HWY_DYNAMIC_DISPATCH(RoundRow);
  return Kernel{
      .run =
          [=](KernelArgs& k) {
            const float* x = k.in(0).data();
            auto* rounded = reinterpret_cast<Rounded*>(k.workspace);
            if (rounds)
              parallel_for(count, 1 + 16384 / columns, [&](int64_t begin, int64_t end) {
                for (int64_t n = begin; n < end; ++n)
                  round(x + n * columns, blocks, rounded + n * blocks);
              });
            const auto all = static_cast<int32_t>(count);
            const std::span<const int32_t> counts =
                grouped ? k.in<int32_t>(weights.size() + 1) : std::span(&all, 1);
            // each thread has the same panels of every group, whose rows may be few or many
            parallel_for(panels, grain, [&](int64_t begin, int64_t end) {
              ops::for_groups(counts, count, [&](int64_t group, int64_t first, int64_t last) {
                if (first < last)
                  multiply_group(k, weights, rounded, group, first, last, begin, end);
              });
            });
            int64_t used = 0;  // rows that have a group
            ops::for_groups(counts, count, [&](int64_t, int64_t, int64_t last) { used = last; });
            for (size_t i = 0; i < weights.size(); ++i)
              std::fill(k.out(i).begin() + used * weights[i].rows, k.out(i).end(), 0.0f);
          },
      .workspace_bytes = rounds ? static_cast<size_t>(count * blocks) * sizeof(Rounded) : 0};
}

}  // namespace argosy::cpu
#endif
