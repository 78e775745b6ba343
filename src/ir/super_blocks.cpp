#include "ir/super_blocks.h"

#include <algorithm>
#include <array>

namespace argosy {
namespace {

constexpr int kValues = 256;

/// The nearest whole number in [low, high]; `low` for what is no number.
int nearest(float value, int low, int high) {
  if (!(value > static_cast<float>(low))) return low;
  if (value >= static_cast<float>(high)) return high;
  return static_cast<int>(std::nearbyintf(value));
}

/// A group's scale and minimum, of 6 bits each. Eight pairs are packed into 12 bytes: those of the
/// first four groups in the low bits of bytes 0-3 and 4-7; of the other four the low halves share
/// bytes 8-11, and the upper two bits fill up bytes 0-7.
struct Pair {
  int scale = 0, minimum = 0;
};

Pair unpack(const uint8_t* packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  return {(packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4,
          (packed[group + 4] >> 4) | (packed[group] >> 6) << 4};
}

/// Into bytes that are 0 before the first group.
void pack(uint8_t* packed, int group, Pair pair) {
  const auto add = [&](int at, int bits) { packed[at] |= static_cast<uint8_t>(bits); };
  if (group < 4) {
    add(group, pair.scale);
    add(group + 4, pair.minimum);
  } else {
    add(group + 4, (pair.scale & 15) | (pair.minimum & 15) << 4);
    add(group - 4, pair.scale >> 4 << 6);
    add(group, pair.minimum >> 4 << 6);
  }
}

/// x is about scale * level - minimum, with neither below 0.
struct Line {
  float scale = 0, minimum = 0;
};

/// The line with the least squared error over one group of 32 numbers, large ones weighing more.
/// Tried are several spacings of the levels; the line through each is found by least squares.
Line best_line(const float* x, int top) {
  constexpr int kGroup = 32;
  const auto [lowest, highest] = std::minmax_element(x, x + kGroup);
  const float low = std::min(*lowest, 0.0f), range = *highest - low;
  if (inverse_of(range) == 0) return {0, -low};
  double squares = 0;
  for (int i = 0; i < kGroup; ++i) squares += double{x[i]} * x[i];
  const double typical = std::sqrt(squares / kGroup);

  Line best;
  double least = INFINITY;
  std::array<int, kGroup> levels;
  const auto consider = [&](double scale, double offset) {
    double error = 0;
    for (int i = 0; i < kGroup; ++i) {
      const double off = scale * levels[i] + offset - x[i];
      error += (typical + std::fabs(x[i])) * off * off;
    }
    if (scale >= 0 && offset <= 0 && error < least) {
      least = error;
      best = {static_cast<float>(scale), static_cast<float>(-offset)};
    }
  };
  for (int step = 0; step <= 20; ++step) {
    const float spacing = range / (static_cast<float>(top - 1) + 0.1f * static_cast<float>(step));
    double w = 0, wx = 0, wl = 0, wll = 0, wlx = 0;  // weighted sums
    for (int i = 0; i < kGroup; ++i) {
      const int level = levels[i] = nearest((x[i] - low) / spacing, 0, top);
      const double weight = typical + std::fabs(x[i]);
      w += weight;
      wx += weight * x[i];
      wl += weight * level;
      wll += weight * level * level;
      wlx += weight * level * x[i];
    }
    consider(spacing, low);
    if (const double determinant = w * wll - wl * wl; determinant > 0)
      consider((w * wlx - wx * wl) / determinant, (wll * wx - wl * wlx) / determinant);
    if (wll > 0) consider(wlx / wll, 0);
  }
  return best;
}

/// q4_k, q5_k: eight groups of 32. Scale and minimum of the block as binary16, the pairs of its
/// groups, the fifth bits (one byte for a number of each group), the low halves of the levels (two
/// neighbouring groups share 32 bytes).
template <int bits>
struct Lines {
  static constexpr int kGroups = 8, kTop = (1 << bits) - 1;
  static constexpr int kPairs = 4, kFifths = kPairs + 12, kLevels = kFifths + (bits == 5 ? 32 : 0);
  static constexpr int kBytes = kLevels + 128;

  static void read(const uint8_t* block, float* values) {
    const float scale = half_at(block), minimum = half_at(block + 2);
    for (int i = 0; i < kValues; ++i) {
      const int group = i / 32, place = i % 32;
      const Pair pair = unpack(block + kPairs, group);
      int level = block[kLevels + group / 2 * 32 + place] >> group % 2 * 4 & 15;
      if constexpr (bits == 5) level |= (block[kFifths + place] >> group & 1) << 4;
      values[i] = scale * static_cast<float>(pair.scale) * static_cast<float>(level) -
                  minimum * static_cast<float>(pair.minimum);
    }
  }

  static void write(const float* values, uint8_t* block) {
    std::memset(block, 0, kBytes);
    std::array<Line, kGroups> lines;
    Line widest;
    for (int group = 0; group < kGroups; ++group) {
      lines[group] = best_line(values + group * 32, kTop);
      widest.scale = std::max(widest.scale, lines[group].scale);
      widest.minimum = std::max(widest.minimum, lines[group].minimum);
    }
    put_half(block, widest.scale / 63);
    put_half(block + 2, widest.minimum / 63);
    const float scale = half_at(block), minimum = half_at(block + 2);
    for (int group = 0; group < kGroups; ++group) {
      const Pair pair = {nearest(lines[group].scale * inverse_of(widest.scale / 63), 0, 63),
                         nearest(lines[group].minimum * inverse_of(widest.minimum / 63), 0, 63)};
      pack(block + kPairs, group, pair);
      const float step = inverse_of(scale * static_cast<float>(pair.scale));
      const float offset = minimum * static_cast<float>(pair.minimum);
      for (int place = 0; place < 32; ++place) {
        const int level = nearest((values[group * 32 + place] + offset) * step, 0, kTop);
        block[kLevels + group / 2 * 32 + place] |=
            static_cast<uint8_t>((level & 15) << group % 2 * 4);
        if constexpr (bits == 5)
          block[kFifths + place] |= static_cast<uint8_t>((level >> 4) << group);
      }
    }
  }
};

/// The scale with the least squared error over one group of 16 numbers as scale * level, with
/// levels from -32 to 31; large numbers weigh more.
float best_scale(const float* x) {
  constexpr int kGroup = 16;
  const float widest = *std::max_element(
      x, x + kGroup, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  double best = 0, most = 0;
  for (int step = -9; step <= 9; ++step) {
    const float levels_per_one = -(32 + 0.1f * static_cast<float>(step)) * inverse_of(widest);
    double xl = 0, ll = 0;  // sums weighted with x^2
    for (int i = 0; i < kGroup; ++i) {
      const double level = nearest(x[i] * levels_per_one, -32, 31), weight = double{x[i]} * x[i];
      xl += weight * x[i] * level;
      ll += weight * level * level;
    }
    // with the best scale, xl / ll, the error is less by xl * xl / ll
    if (ll > 0 && xl * xl > most * ll) {
      most = xl * xl / ll;
      best = xl / ll;
    }
  }
  return static_cast<float>(best);
}

/// q6_k: the low four bits of the levels, their upper two, a signed byte of scale for each 16
/// numbers, and the scale of those as binary16.
constexpr int kUppers = 128, kScales = 192, kScale = 208;

/// Where the bits of number i stand: a half of 128 numbers has 64 bytes of low and 32 of upper
/// bits.
struct Place {
  int low, low_shift, upper, upper_shift;
};

Place place_of(int i) {
  const int half = i / 128, part = i % 128 / 32, column = i % 32;
  return {64 * half + 32 * (part % 2) + column, part / 2 * 4, kUppers + 32 * half + column,
          part * 2};
}

}  // namespace

void read_q4_k(const uint8_t* block, float* values) { Lines<4>::read(block, values); }
void read_q5_k(const uint8_t* block, float* values) { Lines<5>::read(block, values); }
void write_q4_k(const float* values, uint8_t* block) { Lines<4>::write(values, block); }
void write_q5_k(const float* values, uint8_t* block) { Lines<5>::write(values, block); }

void read_q6_k(const uint8_t* block, float* values) {
  const float scale = half_at(block + kScale);
  for (int i = 0; i < kValues; ++i) {
    const Place at = place_of(i);
    const int level = (block[at.low] >> at.low_shift & 15) | (block[at.upper] >> at.upper_shift & 3)
                                                                 << 4;
    values[i] = scale * static_cast<float>(static_cast<int8_t>(block[kScales + i / 16])) *
                static_cast<float>(level - 32);
  }
}

void write_q6_k(const float* values, uint8_t* block) {
  std::memset(block, 0, kScale);
  std::array<float, 16> scales;
  for (int group = 0; group < 16; ++group) scales[group] = best_scale(values + group * 16);
  const float widest = *std::max_element(
      scales.begin(), scales.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  put_half(block + kScale, widest / -128);
  const float scale = half_at(block + kScale);
  for (int group = 0; group < 16; ++group) {
    const int small = nearest(scales[group] * inverse_of(widest / -128), -128, 127);
    block[kScales + group] = static_cast<uint8_t>(static_cast<int8_t>(small));
    const float step = inverse_of(scale * static_cast<float>(small));
    for (int i = group * 16; i < group * 16 + 16; ++i) {
      const int level = nearest(values[i] * step, -32, 31) + 32;
      const Place at = place_of(i);
      block[at.low] |= static_cast<uint8_t>((level & 15) << at.low_shift);
      block[at.upper] |= static_cast<uint8_t>((level >> 4) << at.upper_shift);
    }
  }
}

}  // namespace argosy
