#pragma once
#include <cstddef>

#include "ir/op.h"

/// Numbers in memory as floats, and back.
namespace argosy::cpu {

/// y[i] = x[i] for n elements between dtypes; bool is any non-zero value.
using ConvertFunction = void (*)(const std::byte* from, float* to, size_t n);
ConvertFunction find_widen(DType from);
using NarrowFunction = void (*)(const float* from, std::byte* to, size_t n);
NarrowFunction find_narrow(DType to);

/// Rounds floats to numbers that bf16 has.
using RoundFunction = void (*)(float* x, size_t n);
RoundFunction find_round_bf16();

/// The same by stores that go past the caches; f32 or bf16.
NarrowFunction find_streaming(DType to);
/// Whether an output is worth that: larger than the caches, so that an ordinary store reads each
/// line before it writes it and drops what might be read again sooner; and not where an operand
/// lies, whose lines have been read anyway. For sweeps that compute little: where memory waits for
/// arithmetic, these stores wait too.
bool passes_caches(const KernelArgs& k, size_t output);

}  // namespace argosy::cpu
