#include "base/random.h"

#include <cmath>
#include <numbers>

namespace argosy {

std::array<uint32_t, 4> philox(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
  std::array<uint32_t, 4> x = {
      static_cast<uint32_t>(counter_low), static_cast<uint32_t>(counter_low >> 32),
      static_cast<uint32_t>(counter_high), static_cast<uint32_t>(counter_high >> 32)};
  auto k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * x[0], b = uint64_t{0xCD9E8D57} * x[2];
    x = {static_cast<uint32_t>(b >> 32) ^ x[1] ^ k0, static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ x[3] ^ k1, static_cast<uint32_t>(a)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return x;
}

uint32_t Random::bits() {
  if (position_ / 4 != block_) {
    block_ = position_ / 4;
    numbers_ = philox(key_, stream_, block_);
  }
  return numbers_[position_++ % 4];
}

float Random::normal() {
  // Box-Muller; 1 - u keeps the logarithm's argument above zero
  const float u = 1.0f - uniform(), v = uniform();
  return std::sqrt(-2.0f * std::log(u)) * std::cos(2.0f * std::numbers::pi_v<float> * v);
}

uint64_t Random::below(uint64_t n) {
  const uint64_t limit =
      ~uint64_t{0} - ~uint64_t{0} % n;  // a multiple of n: no remainder is favoured
  for (;;) {
    const uint64_t high = bits(), value = high << 32 | bits();
    if (value < limit) return value % n;
  }
}

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = a + 0x9E3779B97F4A7C15 * (b + 1);
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  return x ^ x >> 31;
}

uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  return hash;
}

float NamedNumbers::operator()(uint64_t i) const {
  uint64_t z = key_ + i + 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  z ^= z >> 31;
  return static_cast<float>(z >> 40) * 0x1p-23f - 1;
}

}  // namespace argosy
