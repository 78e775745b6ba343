#include "ir/panels.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "ir/super_blocks.h"

namespace argosy {
namespace {

using enum BlockFormat;
using Words = std::array<uint32_t, 8>;  ///< the levels of 32 columns of one row, a byte each

constexpr uint32_t kOnes = 0x01010101u;  // a multiple of it has the same bits in each byte

uint32_t word_at(const uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

void put_word(uint8_t* bytes, uint32_t word) { std::memcpy(bytes, &word, sizeof word); }

// ---- levels in files

/// Two levels a byte: the lower half of the byte has one of the first 16.
[[gnu::always_inline]] inline Words low_levels(const uint8_t* bytes) {
  Words words;
  for (size_t i = 0; i < 4; ++i) {
    const uint32_t both = word_at(bytes + 4 * i);
    words[i] = both & 0xF * kOnes;
    words[i + 4] = both >> 4 & 0xF * kOnes;
  }
  return words;
}

/// The fifth bits of 32 columns, a bit each.
void add_fifth_bits(Words& words, uint32_t fifths) {
  for (uint32_t column = 0; column < 32; ++column)
    words[column / 4] |= (fifths >> column & 1) << (8 * (column % 4) + 4);
}

/// Block formats of 256 columns: cell `cell` of the block.
Words q4_k_levels(const uint8_t* block, int64_t cell) {
  const uint8_t* bytes = block + 16 + cell / 2 * 32;
  Words words;
  for (size_t i = 0; i < 8; ++i)
    words[i] = word_at(bytes + 4 * i) >> (cell % 2 == 0 ? 0 : 4) & 0xF * kOnes;
  return words;
}

Words q5_k_levels(const uint8_t* block, int64_t cell) {
  const uint8_t *fifths = block + 16, *bytes = block + 48 + cell / 2 * 32;
  Words words;
  for (size_t i = 0; i < 8; ++i)
    words[i] = (word_at(bytes + 4 * i) >> (cell % 2 == 0 ? 0 : 4) & 0xF * kOnes) |
               (word_at(fifths + 4 * i) >> cell & kOnes) << 4;
  return words;
}

Words q6_k_levels(const uint8_t* block, int64_t cell) {
  const int64_t half = cell / 4, quarter = cell % 4;
  const uint8_t *low = block + half * 64 + quarter % 2 * 32, *high = block + 128 + half * 32;
  Words words;
  for (size_t i = 0; i < 8; ++i)
    words[i] = (word_at(low + 4 * i) >> (quarter < 2 ? 0 : 4) & 0xF * kOnes) |
               (word_at(high + 4 * i) >> (2 * quarter) & 3 * kOnes) << 4;
  return words;
}

[[gnu::always_inline]] inline Words file_levels(BlockFormat format, const uint8_t* block,
                                                int64_t cell) {
  Words words{};
  switch (format) {
    case q8_0:
      for (size_t i = 0; i < 8; ++i) words[i] = word_at(block + 2 + 4 * i);
      return words;
    case q4_0:
      return low_levels(block + 2);
    case q4_1:
      return low_levels(block + 4);
    case q5_0:
      words = low_levels(block + 6);
      add_fifth_bits(words, word_at(block + 2));
      return words;
    case q5_1:
      words = low_levels(block + 8);
      add_fifth_bits(words, word_at(block + 4));
      return words;
    case q4_k:
      return q4_k_levels(block, cell);
    case q5_k:
      return q5_k_levels(block, cell);
    case q6_k:
      return q6_k_levels(block, cell);
    case f32:
    case f16:
    case bf16:
      break;
  }
  return words;
}

// ---- levels in panels

[[gnu::always_inline]] inline void put_levels(int bits, const Words& words, uint8_t* cell,
                                              int64_t row) {
  const auto put = [&](int64_t word, uint32_t value) {
    put_word(cell + (word * kPanelRows + row) * 4, value);
  };
  if (bits == 8) {
    for (int64_t i = 0; i < 8; ++i) put(i, words[static_cast<size_t>(i)]);
    return;
  }
  for (size_t i = 0; i < 4; ++i)
    put(static_cast<int64_t>(i), (words[i] & 0xF * kOnes) | (words[i + 4] & 0xF * kOnes) << 4);
  if (bits == 5) {
    uint32_t fifths = 0;
    for (size_t i = 0; i < 8; ++i) fifths |= (words[i] >> 4 & kOnes) << i;
    put(4, fifths);
  }
  if (bits == 6)
    for (size_t i = 0; i < 2; ++i) {
      uint32_t high = 0;
      for (size_t pair = 0; pair < 4; ++pair)
        high |= (words[2 * pair + i] >> 4 & 3 * kOnes) << (2 * pair);
      put(4 + static_cast<int64_t>(i), high);
    }
}

Words panel_levels(int bits, const uint8_t* cell, int64_t row) {
  const auto at = [&](size_t word) {
    return word_at(cell + (static_cast<int64_t>(word) * kPanelRows + row) * 4);
  };
  Words words;
  for (size_t i = 0; i < 8; ++i) {
    if (bits == 8) {
      words[i] = at(i);
      continue;
    }
    words[i] = at(i % 4) >> (i < 4 ? 0 : 4) & 0xF * kOnes;
    if (bits == 5) words[i] |= (at(4) >> i & kOnes) << 4;
    if (bits == 6) words[i] |= (at(4 + i % 2) >> (i / 2 * 2) & 3 * kOnes) << 4;
  }
  return words;
}

// ---- scales

constexpr int64_t kHalves = 2 * kPanelRows;  // bytes of a binary16 for each row

/// The 6-bit factor and minimum of group `group`, as q4_k and q5_k pack eight of them in 12 bytes.
std::array<uint8_t, 2> factors_of(const uint8_t* packed, int64_t group) {
  if (group < 4)
    return {static_cast<uint8_t>(packed[group] & 63), static_cast<uint8_t>(packed[group + 4] & 63)};
  return {static_cast<uint8_t>((packed[group + 4] & 15) | packed[group - 4] >> 6 << 4),
          static_cast<uint8_t>(packed[group + 4] >> 4 | packed[group] >> 6 << 4)};
}

/// One block's scales for the row.
[[gnu::always_inline]] inline void put_scales(BlockFormat format, const uint8_t* block,
                                              uint8_t* scales, int64_t row) {
  const auto put_half_at = [&](int64_t which, const uint8_t* from) {
    std::memcpy(scales + which * kHalves + 2 * row, from, 2);
  };
  switch (format) {
    case q8_0:
    case q4_0:
    case q5_0:
      return put_half_at(0, block);
    case q4_1:
    case q5_1:
      put_half_at(0, block);
      return put_half_at(1, block + 2);
    case q4_k:
    case q5_k:
      put_half_at(0, block);
      put_half_at(1, block + 2);
      for (int64_t cell = 0; cell < 8; ++cell) {
        const auto [factor, minimum] = factors_of(block + 4, cell);
        scales[2 * kHalves + cell * 2 * kPanelRows + row] = factor;
        scales[2 * kHalves + (cell * 2 + 1) * kPanelRows + row] = minimum;
      }
      return;
    case q6_k:
      put_half_at(0, block + 208);
      for (int64_t half = 0; half < 16; ++half)
        scales[kHalves + half * kPanelRows + row] = block[192 + half];
      return;
    case f32:
    case f16:
    case bf16:
      return;
  }
}

/// The number that level `level` of half `half` of cell `cell` (of those that share `scales`) is.
float number_of(BlockFormat format, const uint8_t* scales, int64_t row, int64_t cell, int64_t half,
                uint8_t level) {
  const auto real = [&](int64_t which) { return half_at(scales + which * kHalves + 2 * row); };
  const auto value = static_cast<float>(level);
  switch (format) {
    case q8_0:
      return static_cast<float>(static_cast<int8_t>(level)) * real(0);
    case q4_0:
      return (value - 8) * real(0);
    case q5_0:
      return (value - 16) * real(0);
    case q4_1:
    case q5_1:
      return value * real(0) + real(1);
    case q4_k:
    case q5_k: {
      const uint8_t* factors = scales + 2 * kHalves + cell * 2 * kPanelRows;
      return real(0) * static_cast<float>(factors[row]) * value -
             real(1) * static_cast<float>(factors[kPanelRows + row]);
    }
    case q6_k: {
      const uint8_t factor = scales[kHalves + (2 * cell + half) * kPanelRows + row];
      return real(0) * static_cast<float>(static_cast<int8_t>(factor)) * (value - 32);
    }
    case f32:
    case f16:
    case bf16:
      break;
  }
  return 0;
}

int64_t round_up(int64_t size, int64_t to) { return (size + to - 1) / to * to; }

/// Whole numbers of `size` bytes.
void pack_numbers(int64_t size, int64_t columns, const uint8_t* rows, int64_t count,
                  uint8_t* panel) {
  for (int64_t row = 0; row < count; ++row)
    for (int64_t column = 0; column < columns; ++column)
      std::memcpy(panel + (column * kPanelRows + row) * size,
                  rows + (row * columns + column) * size, static_cast<size_t>(size));
}

/// `height` rows, `step` bytes apart, as the scales and levels of a panel. A model is packed when
/// it is opened, so each format has a loop of its own.
template <BlockFormat format>
void pack_blocks(int64_t columns, const uint8_t* rows, int64_t step, int64_t height,
                 uint8_t* scales, uint8_t* levels) {
  const PanelLayout layout = panel_layout(format);
  const int64_t blocks = columns / layout_of(format).values, block_bytes = layout_of(format).bytes;
  for (int64_t row = 0; row < height; ++row) {
    const uint8_t* block = rows + row * step;
    uint8_t *scale = scales, *cell = levels;
    for (int64_t b = 0; b < blocks; ++b, block += block_bytes, scale += layout.scale_bytes) {
      put_scales(format, block, scale, row);
      for (int64_t i = 0; i < layout.cells; ++i, cell += layout.level_bytes)
        put_levels(layout.bits, file_levels(format, block, i), cell, row);
    }
  }
}

/// Calls body<format>() for a format of blocks.
template <typename Body>
void with_format(BlockFormat format, const Body& body) {
  switch (format) {
    case q8_0:
      return body.template operator()<q8_0>();
    case q4_0:
      return body.template operator()<q4_0>();
    case q4_1:
      return body.template operator()<q4_1>();
    case q5_0:
      return body.template operator()<q5_0>();
    case q5_1:
      return body.template operator()<q5_1>();
    case q4_k:
      return body.template operator()<q4_k>();
    case q5_k:
      return body.template operator()<q5_k>();
    case q6_k:
      return body.template operator()<q6_k>();
    case f32:
    case f16:
    case bf16:
      break;
  }
}

}  // namespace

PanelLayout panel_layout(BlockFormat format) {
  switch (format) {
    case q8_0:
      return {.bits = 8, .scale_bytes = kHalves, .level_bytes = 512};
    case q4_0:
      return {.bits = 4, .scale_bytes = kHalves, .level_bytes = 256};
    case q4_1:
      return {.bits = 4, .scale_bytes = 2 * kHalves, .level_bytes = 256};
    case q5_0:
      return {.bits = 5, .scale_bytes = kHalves, .level_bytes = 320};
    case q5_1:
      return {.bits = 5, .scale_bytes = 2 * kHalves, .level_bytes = 320};
    case q4_k:
      return {.bits = 4, .cells = 8, .scale_bytes = 2 * kHalves + 256, .level_bytes = 256};
    case q5_k:
      return {.bits = 5, .cells = 8, .scale_bytes = 2 * kHalves + 256, .level_bytes = 320};
    case q6_k:
      return {.bits = 6, .cells = 8, .scale_bytes = kHalves + 256, .level_bytes = 384};
    case f32:
    case f16:
    case bf16:
      break;
  }
  return {};
}

int64_t panel_count(int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }

int64_t levels_offset(BlockFormat format, int64_t columns) {
  const PanelLayout layout = panel_layout(format);
  return round_up(columns / (kCellColumns * layout.cells) * layout.scale_bytes, 64);
}

int64_t panel_bytes(BlockFormat format, int64_t columns) {
  check(columns >= 0 && fits(format, columns), "{} columns are no whole blocks of {}", columns,
        format);
  const PanelLayout layout = panel_layout(format);
  if (layout.bits == 0) return columns * kPanelRows * layout_of(format).bytes;
  return levels_offset(format, columns) + columns / kCellColumns * layout.level_bytes;
}

Type panels_type(BlockFormat format, Shape matrices) {
  const size_t rank = matrices.size();
  check(rank >= 2, "{} is no matrix", matrices);
  matrices[rank - 1] = panel_bytes(format, matrices[rank - 1]);
  matrices[rank - 2] = panel_count(matrices[rank - 2]);
  return {DType::u8, std::move(matrices)};
}

void pack_panels(BlockFormat format, int64_t columns, std::span<const std::byte> rows,
                 std::span<std::byte> panels) {
  const int64_t bytes = row_bytes(format, columns), size = panel_bytes(format, columns),
                count = bytes == 0 ? 0 : std::ssize(rows) / bytes;
  check(count * bytes == std::ssize(rows) && panel_count(count) * size == std::ssize(panels),
        "{} bytes of rows for {} bytes of panels", rows.size(), panels.size());
  const PanelLayout layout = panel_layout(format);
  const int64_t levels = levels_offset(format, columns);
  for (int64_t first = 0; first < count; first += kPanelRows) {
    const int64_t height = std::min(kPanelRows, count - first);
    const auto* from = reinterpret_cast<const uint8_t*>(rows.data()) + first * bytes;
    auto* panel = reinterpret_cast<uint8_t*>(panels.data()) + first / kPanelRows * size;
    if (height < kPanelRows) std::fill_n(panel, size, uint8_t{0});
    if (layout.bits == 0) {
      pack_numbers(layout_of(format).bytes, columns, from, height, panel);
      continue;
    }
    with_format(format, [&]<BlockFormat kFormat>() {
      pack_blocks<kFormat>(columns, from, bytes, height, panel, panel + levels);
    });
  }
}

void read_row(BlockFormat format, int64_t columns, std::span<const std::byte> panels, int64_t row,
              std::span<float> values) {
  const PanelLayout layout = panel_layout(format);
  const auto* panel = reinterpret_cast<const uint8_t*>(panels.data()) +
                      row / kPanelRows * panel_bytes(format, columns);
  const int64_t within = row % kPanelRows;
  if (layout.bits == 0) {
    const int64_t size = layout_of(format).bytes;
    for (int64_t column = 0; column < columns; ++column)
      dequantize(format,
                 {reinterpret_cast<const std::byte*>(panel + (column * kPanelRows + within) * size),
                  static_cast<size_t>(size)},
                 values.subspan(static_cast<size_t>(column), 1));
    return;
  }
  const uint8_t* levels = panel + levels_offset(format, columns);
  for (int64_t cell = 0; cell < columns / kCellColumns; ++cell) {
    const uint8_t* scales = panel + cell / layout.cells * layout.scale_bytes;
    const Words words = panel_levels(layout.bits, levels + cell * layout.level_bytes, within);
    for (int64_t i = 0; i < kCellColumns; ++i) {
      const auto level =
          static_cast<uint8_t>(words[static_cast<size_t>(i / 4)] >> (8 * (i % 4)) & 0xFF);
      values[static_cast<size_t>(cell * kCellColumns + i)] =
          number_of(format, scales, within, cell % layout.cells, i / 16, level);
    }
  }
}

}  // namespace argosy
