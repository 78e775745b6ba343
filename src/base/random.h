#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace argosy {

/// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
/// easy as 1, 2, 3"). A pure function of key and counter, so any element can be drawn by anyone in
/// any order.
std::array<uint32_t, 4> philox(uint64_t key, uint64_t counter_high, uint64_t counter_low);

/// The top 24 bits as a float in [0, 1).
inline float unit_float(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

/// A stream of numbers named by (key, stream): same name, same numbers.
class Random {
 public:
  explicit Random(uint64_t key, uint64_t stream = 0) : key_(key), stream_(stream) {}
  uint32_t bits();
  float uniform() { return unit_float(bits()); }  ///< [0, 1)
  float uniform(float low, float high) { return low + (high - low) * uniform(); }
  float normal();              ///< mean 0, deviation 1
  uint64_t below(uint64_t n);  ///< [0, n), unbiased; n > 0

  /// Where the stream stands; restoring it continues with the same numbers.
  uint64_t position() const { return position_; }
  void seek(uint64_t position) { position_ = position; }

 private:
  uint64_t key_, stream_, position_ = 0, block_ = ~uint64_t{0};
  std::array<uint32_t, 4> numbers_{};
};

/// Mixes two numbers into one that looks random (splitmix64 finaliser over both).
uint64_t mix(uint64_t a, uint64_t b);

/// FNV-1a, 64 bits.
uint64_t hash_of(std::string_view text);

/// Numbers in [-1, 1) that a text names, exact in f32: element i is the top 24 bits of
/// splitmix64(hash_of(name) + i). Simple enough for a script in another language
/// (bench/peers/named_numbers.py), so that both sides of a golden can make the same tensors.
class NamedNumbers {
 public:
  explicit NamedNumbers(std::string_view name) : key_(hash_of(name)) {}
  float operator()(uint64_t i) const;

 private:
  uint64_t key_;
};

}  // namespace argosy
