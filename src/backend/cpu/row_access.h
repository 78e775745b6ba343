#pragma once
#include <algorithm>

#include "backend/cpu/conversions.h"

/// Rows of operands and results for kernels that compute in f32: where they lie, or through memory
/// of the thread, a row or a part of it at a time, which stays in its cache: what is bf16, and
/// results that go past the caches.
namespace argosy::cpu {

/// This thread's memory number `slot`, at least so many floats; it grows to the largest and stays.
float* row_memory(size_t slot, int64_t width);

/// Whether what a kernel does not read row by row is f32.
inline bool is_wide(Types types) {
  return std::ranges::none_of(types, [](const Type& t) { return t.dtype == DType::bf16; });
}

class ReadRows {
 public:
  ReadRows(const KernelArgs& k, size_t operand, int64_t width)
      : bytes_(k.in_bytes[operand]), width_(width), slot_(operand) {
    if (k.in_types[operand].dtype == DType::bf16) widen_ = find_widen(DType::bf16);
  }
  /// Until this thread asks for another row or part.
  const float* operator[](int64_t row) const { return part(row * width_, width_); }
  const float* part(int64_t first, int64_t n) const {
    if (!widen_) return reinterpret_cast<const float*>(bytes_) + first;
    float* memory = row_memory(slot_, n);
    widen_(bytes_ + static_cast<size_t>(first) * sizeof(BFloat16), memory, static_cast<size_t>(n));
    return memory;
  }

 private:
  const std::byte* bytes_;
  int64_t width_;
  size_t slot_;
  ConvertFunction widen_ = nullptr;
};

enum class Stores { cached, past_caches };

class WriteRows {
 public:
  /// With Stores::past_caches where passes_caches() finds that worth it.
  WriteRows(const KernelArgs& k, size_t output, int64_t width, Stores stores = Stores::cached)
      : WriteRows(k.out_bytes[output], k.out_types[output].dtype, width) {
    if (stores == Stores::past_caches && passes_caches(k, output))
      store_ = find_streaming(k.out_types[output].dtype);
  }
  WriteRows(std::byte* bytes, DType dtype, int64_t width)
      : bytes_(bytes), width_(width), size_(size_of(dtype)) {
    if (dtype == DType::bf16) store_ = find_narrow(DType::bf16);
  }
  /// Where the row is to be computed, before it is stored.
  float* place(int64_t row) const { return place_part(row * width_, width_); }
  void store(int64_t row) const { store_part(row * width_, width_); }
  float* place_part(int64_t first, int64_t n) const {
    return store_ ? row_memory(kSlot, n) : reinterpret_cast<float*>(bytes_) + first;
  }
  void store_part(int64_t first, int64_t n) const {
    if (store_)
      store_(row_memory(kSlot, n), bytes_ + static_cast<size_t>(first) * size_,
             static_cast<size_t>(n));
  }

 private:
  static constexpr size_t kSlot = 3;  // operands have those before it
  std::byte* bytes_;
  int64_t width_;
  size_t size_;
  NarrowFunction store_ = nullptr;
};

}  // namespace argosy::cpu
