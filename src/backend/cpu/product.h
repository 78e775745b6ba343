#pragma once
#include <cstdint>
#include <span>

/// Matrix products c = a b of f32, whose operands may be matrices in either order; b may be what a
/// convolution's kernel sees of pictures, which is then not copied as a whole.
namespace argosy::cpu {

/// How a kernel's taps lie along one side of a picture: place p, tap t reads pixel
/// p * place_step + first + t * tap_step, which may lie outside: there the picture is 0.
struct TapAxis {
  int64_t places = 1, place_step = 1;
  int64_t taps = 1, tap_step = 1, first = 0;
  int64_t pixels = 1;
};

/// Pictures [N, H, W, C] as a matrix of places and what the taps see from them. Place number
/// (image * down.places + row) * across.places + column; seen number (tap row * across.taps + tap
/// column) * channels + channel.
struct Patches {
  TapAxis down, across;
  int64_t channels = 1;
  int64_t seen() const { return down.taps * across.taps * channels; }
};

/// An operand, as lines (rows of a, columns of b) and positions along the sum.
struct Operand {
  enum class Kind {
    along,   ///< a line's numbers stand side by side: data[line * step + position]
    across,  ///< lines stand side by side: data[position * step + line]
    seen,    ///< lines are what is seen in patches, positions are places; b only
    packed,  ///< as panels of lines, all positions of each (tile_products-inl.h); b only
  };
  Kind kind = Kind::along;
  const float* data = nullptr;
  int64_t step = 0;
  Patches patches = {};
};

/// c [m, n] = a [m, k] b [k, n]; c is row-major.
struct Product {
  int64_t m = 0, n = 0, k = 0;
  Operand a, b;
  float* c = nullptr;
  bool add = false;  ///< to what c holds
};

/// Computes all of them, which have one n, on the threads. Each number is summed in one order,
/// whatever the number of threads.
void multiply_all(std::span<const Product> products);
inline void multiply(const Product& product) { multiply_all({&product, 1}); }

}  // namespace argosy::cpu
