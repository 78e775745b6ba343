#pragma once
#include <cstddef>
#include <cstdint>

#include "ops/optimizer.h"

/// Formats of an optimizer's state, and bf16 gradients, as f32 numbers and back. `bits` holds
/// ops::rounding_bits of each element.
namespace argosy::cpu {

void draw_rounding_bits(uint32_t key, int64_t first_element, uint32_t* bits, size_t n);

void widen(const BFloat16* from, float* to, size_t n);
void narrow(const float* from, BFloat16* to, size_t n, const uint32_t* bits, size_t state);

/// Whole blocks of ops::kStateBlock codes, the last one may be shorter.
void decode(ops::StateRange range, const uint8_t* codes, const float* scales, float* to, size_t n);
void encode(ops::StateRange range, const float* from, uint8_t* codes, float* scales, size_t n,
            const uint32_t* bits, size_t state);

}  // namespace argosy::cpu
