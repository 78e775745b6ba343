#pragma once
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace argosy {

/// How the numbers of a weight lie in memory: one by one, or in blocks that share a scale. The
/// block formats are GGUF's; a row is a whole number of blocks, and rows lie one behind another.
enum class BlockFormat : uint8_t { f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k };

struct BlockLayout {
  BlockFormat format;
  std::string_view name;  ///< "q4_0"
  int64_t values;         ///< in a block
  int64_t bytes;          ///< of a block
};

/// Every format, in the order of the enum.
std::span<const BlockLayout> block_layouts();
const BlockLayout& layout_of(BlockFormat format);
inline std::string_view name_of(BlockFormat format) { return layout_of(format).name; }
std::optional<BlockFormat> block_format_named(std::string_view name);

/// True if rows of so many numbers are whole blocks.
inline bool fits(BlockFormat format, int64_t columns) {
  return columns % layout_of(format).values == 0;
}
/// Bytes of a row of `columns` numbers, which must be whole blocks.
int64_t row_bytes(BlockFormat format, int64_t columns);

/// The plain truth of the formats, which every kernel is compared with: one row (or several, or a
/// part that begins and ends with a block). `bytes` must be row_bytes(format, values.size()) long.
///
/// source  GGML's reference quantisation, bit for bit for all but the scales that quantize() finds
///         for q4_k, q5_k and q6_k: these are searched here by weighted least squares
void dequantize(BlockFormat format, std::span<const std::byte> bytes, std::span<float> values);
/// values  finite
void quantize(BlockFormat format, std::span<const float> values, std::span<std::byte> bytes);

}  // namespace argosy

template <>
struct fmt::formatter<argosy::BlockFormat> : fmt::formatter<std::string_view> {
  auto format(argosy::BlockFormat format, fmt::format_context& context) const {
    return fmt::formatter<std::string_view>::format(argosy::name_of(format), context);
  }
};
