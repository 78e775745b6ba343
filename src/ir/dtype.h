#pragma once
#include <fmt/format.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace argosy {

enum class DType : uint8_t { f32, bf16, i32, i64, u8, boolean };

constexpr size_t size_of(DType type) {
  switch (type) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
      return 2;
    case DType::i64:
      return 8;
    case DType::u8:
    case DType::boolean:
      return 1;
  }
  return 0;
}

constexpr std::string_view name_of(DType type) {
  constexpr std::string_view names[] = {"f32", "bf16", "i32", "i64", "u8", "bool"};
  return names[static_cast<size_t>(type)];
}

constexpr bool is_floating(DType type) { return type == DType::f32 || type == DType::bf16; }
constexpr bool is_integer(DType type) { return type == DType::i32 || type == DType::i64; }

/// The upper half of a float32, rounded to nearest even; NaN stays NaN.
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value) {
    const auto x = std::bit_cast<uint32_t>(value);
    bits = value != value ? static_cast<uint16_t>(x >> 16 | 0x40)
                          : static_cast<uint16_t>((x + 0x7FFF + (x >> 16 & 1)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

/// Calls body with a value of the C++ type that holds `type` (bool is held in a uint8_t 0 or 1).
template <typename Body>
decltype(auto) visit_dtype(DType type, Body&& body) {
  switch (type) {
    case DType::f32:
      return body(float{});
    case DType::bf16:
      return body(BFloat16{});
    case DType::i32:
      return body(int32_t{});
    case DType::i64:
      return body(int64_t{});
    case DType::u8:
    case DType::boolean:
      break;
  }
  return body(uint8_t{});
}

}  // namespace argosy

template <>
struct fmt::formatter<argosy::DType> : fmt::formatter<std::string_view> {
  auto format(argosy::DType type, fmt::format_context& context) const {
    return fmt::formatter<std::string_view>::format(argosy::name_of(type), context);
  }
};
