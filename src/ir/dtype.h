#pragma once
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"

namespace argosy {

/// f16 and i8 stand in files of others; no op computes with them.
enum class DType : uint8_t { f32, bf16, i32, i64, u8, boolean, f16, i8 };

constexpr size_t size_of(DType type) {
  switch (type) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
    case DType::i64:
      return 8;
    case DType::u8:
    case DType::i8:
    case DType::boolean:
      return 1;
  }
  return 0;
}

constexpr std::string_view name_of(DType type) {
  constexpr std::string_view names[] = {"f32", "bf16", "i32", "i64", "u8", "bool", "f16", "i8"};
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

/// IEEE 754 binary16, rounded to nearest even; NaN stays NaN.
struct Float16 {
  uint16_t bits = 0;
  Float16() = default;
  explicit Float16(float value) {
    const auto x = std::bit_cast<uint32_t>(value);
    const float magnitude = std::fabs(value);
    uint32_t half = 0;
    if (value != value) {
      half = 0x7E00;
    } else if (magnitude >= 65520.0f) {
      half = 0x7C00;
    } else if (magnitude < 0x1p-14f) {  // a whole number of the smallest step, 2^-24
      half = static_cast<uint32_t>(std::nearbyintf(magnitude * 0x1p24f));
    } else {
      const uint32_t positive = x & 0x7FFFFFFF;
      half = (positive + 0xFFF + (positive >> 13 & 1) - (112u << 23)) >> 13;
    }
    bits = static_cast<uint16_t>((x >> 16 & 0x8000) | half);
  }
  explicit operator float() const {
    const uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float magnitude =
        exponent == 0
            ? static_cast<float>(fraction) * 0x1p-24f
            : std::bit_cast<float>((exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13);
    return bits & 0x8000 ? -magnitude : magnitude;
  }
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
    case DType::i8:
      return body(int8_t{});
    case DType::f16:
      check(false, "f16 stands in files alone");
      break;
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
