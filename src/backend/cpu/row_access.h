#pragma once
#include "backend/cpu/pointwise_steps.h"

/// Rows of operands and results for kernels that compute in f32: where they lie, or for bf16
/// through memory of the thread, one row at a time, which stays in its cache.
namespace argosy::cpu {

/// This thread's memory number `slot`, at least so many floats; it grows to the largest and stays.
float* row_memory(size_t slot, int64_t width);

class ReadRows {
 public:
  ReadRows(const KernelArgs& k, size_t operand, int64_t width)
      : bytes_(k.in_bytes[operand]), width_(width), slot_(operand) {
    if (k.in_types[operand].dtype == DType::bf16) widen_ = find_widen(DType::bf16);
  }
  /// Until this thread asks for another row.
  const float* operator[](int64_t row) const {
    if (!widen_) return reinterpret_cast<const float*>(bytes_) + row * width_;
    float* memory = row_memory(slot_, width_);
    widen_(bytes_ + static_cast<size_t>(row * width_) * sizeof(BFloat16), memory,
           static_cast<size_t>(width_));
    return memory;
  }

 private:
  const std::byte* bytes_;
  int64_t width_;
  size_t slot_;
  ConvertFunction widen_ = nullptr;
};

class WriteRows {
 public:
  WriteRows(const KernelArgs& k, size_t output, int64_t width)
      : bytes_(k.out_bytes[output]), width_(width) {
    if (k.out_types[output].dtype == DType::bf16) narrow_ = find_narrow(DType::bf16);
  }
  /// Where the row is to be computed, before it is stored.
  float* place(int64_t row) const {
    return narrow_ ? row_memory(kSlot, width_) : reinterpret_cast<float*>(bytes_) + row * width_;
  }
  void store(int64_t row) const {
    if (narrow_)
      narrow_(row_memory(kSlot, width_),
              bytes_ + static_cast<size_t>(row * width_) * sizeof(BFloat16),
              static_cast<size_t>(width_));
  }

 private:
  static constexpr size_t kSlot = 3;  // operands have those before it
  std::byte* bytes_;
  int64_t width_;
  NarrowFunction narrow_ = nullptr;
};

}  // namespace argosy::cpu
