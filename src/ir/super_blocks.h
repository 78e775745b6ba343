#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "ir/dtype.h"

/// The formats with blocks of 256 numbers, in groups whose scales are themselves a few bits wide.
/// Parts of block_format.h, one block a call.
namespace argosy {

void read_q4_k(const uint8_t* block, float* values);
void read_q5_k(const uint8_t* block, float* values);
void read_q6_k(const uint8_t* block, float* values);
void write_q4_k(const float* values, uint8_t* block);
void write_q5_k(const float* values, uint8_t* block);
void write_q6_k(const float* values, uint8_t* block);

inline float half_at(const uint8_t* bytes) {
  Float16 half;
  std::memcpy(&half.bits, bytes, 2);
  return static_cast<float>(half);
}

inline void put_half(uint8_t* bytes, float value) {
  const Float16 half(value);
  std::memcpy(bytes, &half.bits, 2);
}

/// 1 / scale; 0 for a scale so small that its inverse is no number.
inline float inverse_of(float scale) {
  const float inverse = 1.0f / scale;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

}  // namespace argosy
