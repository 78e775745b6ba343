#include "ir/block_format.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "ir/dtype.h"
#include "ir/super_blocks.h"

namespace argosy {
namespace {

template <typename Number>
void read_number(const uint8_t* bytes, float* value) {
  Number number;
  std::memcpy(&number, bytes, sizeof number);
  *value = static_cast<float>(number);
}

template <typename Number>
void write_number(const float* value, uint8_t* bytes) {
  const Number number(*value);
  std::memcpy(bytes, &number, sizeof number);
}

/// q4_0, q4_1, q5_0, q5_1: 32 numbers that are scale * (level - middle), or scale * level +
/// minimum. Scale and minimum as binary16, the fifth bits of all levels, and two levels a byte: the
/// lower half of the byte has one of the first 16.
template <int bits, bool with_minimum>
struct Levels {
  static constexpr int kTop = (1 << bits) - 1, kMiddle = 1 << (bits - 1);
  static constexpr int kFifths = with_minimum ? 4 : 2, kLevels = kFifths + (bits == 5 ? 4 : 0);
  static constexpr int kBytes = kLevels + 16;

  static void read(const uint8_t* block, float* values) {
    const float scale = half_at(block), minimum = with_minimum ? half_at(block + 2) : 0;
    uint32_t fifths = 0;
    if constexpr (bits == 5) std::memcpy(&fifths, block + kFifths, 4);
    for (int i = 0; i < 32; ++i) {
      const int nibble = block[kLevels + i % 16] >> (i < 16 ? 0 : 4) & 15;
      const int level = nibble | static_cast<int>(fifths >> i & 1) << 4;
      values[i] = with_minimum ? static_cast<float>(level) * scale + minimum
                               : static_cast<float>(level - kMiddle) * scale;
    }
  }

  static void write(const float* values, uint8_t* block) {
    float scale = 0, minimum = 0;
    if constexpr (with_minimum) {
      const auto [low, high] = std::minmax_element(values, values + 32);
      minimum = *low;
      scale = (*high - *low) / kTop;
    } else {
      const float widest = *std::max_element(
          values, values + 32, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
      scale = widest / -kMiddle;
    }
    const float inverse = inverse_of(scale);
    std::memset(block, 0, kBytes);
    put_half(block, scale);
    if constexpr (with_minimum) put_half(block + 2, minimum);
    uint32_t fifths = 0;
    for (int i = 0; i < 32; ++i) {
      const float place = with_minimum ? (values[i] - minimum) * inverse + 0.5f
                                       : values[i] * inverse + (kMiddle + 0.5f);
      const auto level = static_cast<uint32_t>(std::clamp(place, 0.0f, float{kTop}));
      block[kLevels + i % 16] |= static_cast<uint8_t>((level & 15) << (i < 16 ? 0 : 4));
      fifths |= (level >> 4) << i;
    }
    if constexpr (bits == 5) std::memcpy(block + kFifths, &fifths, 4);
  }
};

/// q8_0: the scale as binary16, then 32 signed bytes.
void read_q8_0(const uint8_t* block, float* values) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; ++i)
    values[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * scale;
}

void write_q8_0(const float* values, uint8_t* block) {
  float widest = 0;
  for (int i = 0; i < 32; ++i) widest = std::max(widest, std::fabs(values[i]));
  const float scale = widest / 127, inverse = inverse_of(scale);
  put_half(block, scale);
  for (int i = 0; i < 32; ++i)
    block[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::round(values[i] * inverse)));
}

struct Row {
  BlockLayout layout;
  void (*read)(const uint8_t* block, float* values);
  void (*write)(const float* values, uint8_t* block);
};

template <int bits, bool with_minimum>
constexpr Row levels(BlockFormat format, std::string_view name) {
  using Format = Levels<bits, with_minimum>;
  return {{format, name, 32, Format::kBytes}, Format::read, Format::write};
}

using enum BlockFormat;
constexpr Row kRows[] = {
    {{f32, "f32", 1, 4}, read_number<float>, write_number<float>},
    {{f16, "f16", 1, 2}, read_number<Float16>, write_number<Float16>},
    {{bf16, "bf16", 1, 2}, read_number<BFloat16>, write_number<BFloat16>},
    {{q8_0, "q8_0", 32, 34}, read_q8_0, write_q8_0},
    levels<4, false>(q4_0, "q4_0"),
    levels<4, true>(q4_1, "q4_1"),
    levels<5, false>(q5_0, "q5_0"),
    levels<5, true>(q5_1, "q5_1"),
    {{q4_k, "q4_k", 256, 144}, read_q4_k, write_q4_k},
    {{q5_k, "q5_k", 256, 176}, read_q5_k, write_q5_k},
    {{q6_k, "q6_k", 256, 210}, read_q6_k, write_q6_k},
};

const Row& row_of(BlockFormat format) { return kRows[static_cast<size_t>(format)]; }

}  // namespace

std::span<const BlockLayout> block_layouts() {
  static const auto layouts = [] {
    std::array<BlockLayout, std::size(kRows)> all;
    std::ranges::transform(kRows, all.begin(), &Row::layout);
    return all;
  }();
  return layouts;
}

const BlockLayout& layout_of(BlockFormat format) { return row_of(format).layout; }

std::optional<BlockFormat> block_format_named(std::string_view name) {
  for (const Row& row : kRows)
    if (row.layout.name == name) return row.layout.format;
  return std::nullopt;
}

int64_t row_bytes(BlockFormat format, int64_t columns) {
  const BlockLayout& layout = layout_of(format);
  check(columns >= 0 && fits(format, columns), "{} numbers are no whole blocks of {}", columns,
        format);
  return columns / layout.values * layout.bytes;
}

void dequantize(BlockFormat format, std::span<const std::byte> bytes, std::span<float> values) {
  const Row& row = row_of(format);
  const auto [_, name, block_values, block_bytes] = row.layout;
  check(std::ssize(bytes) == row_bytes(format, std::ssize(values)), "{} bytes for {} numbers of {}",
        bytes.size(), values.size(), name);
  const auto* block = reinterpret_cast<const uint8_t*>(bytes.data());
  for (int64_t i = 0; i < std::ssize(values); i += block_values, block += block_bytes)
    row.read(block, &values[i]);
}

void quantize(BlockFormat format, std::span<const float> values, std::span<std::byte> bytes) {
  const Row& row = row_of(format);
  const auto [_, name, block_values, block_bytes] = row.layout;
  check(std::ssize(bytes) == row_bytes(format, std::ssize(values)), "{} bytes for {} numbers of {}",
        bytes.size(), values.size(), name);
  auto* block = reinterpret_cast<uint8_t*>(bytes.data());
  for (int64_t i = 0; i < std::ssize(values); i += block_values, block += block_bytes)
    row.write(&values[i], block);
}

}  // namespace argosy
