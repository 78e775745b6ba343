#include "data/augmentation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/random.h"

namespace argosy::data {
namespace {

constexpr uint64_t kDraw = 3, kNoise = 4;  // what numbers are drawn for
constexpr int kNoiseNumbers = 1 << 16;

void need(bool holds, const char* name, float value, const char* range) {
  if (!holds)
    throw Error({.what = fmt::format("{} is {}", name, value),
                 .where = "augmentation",
                 .fix = fmt::format("give a value in {}", range)});
}

// One row of `width` pixels: out[x] = in[clamp(x - shift)], read backwards when mirrored.
void move_row(const uint8_t* in, int64_t width, int64_t shift, bool mirror, uint8_t* out) {
  const int64_t begin = std::clamp<int64_t>(shift, 0, width);
  const int64_t end = std::clamp<int64_t>(width + shift, 0, width);
  if (mirror) {
    const uint8_t* pixel = in + 3 * (width - 1 - (begin - shift));
    for (int64_t x = begin; x < end; ++x, pixel -= 3) {
      out[3 * x] = pixel[0];
      out[3 * x + 1] = pixel[1];
      out[3 * x + 2] = pixel[2];
    }
  } else {
    std::memcpy(out + 3 * begin, in + 3 * (begin - shift), 3 * (end - begin));
  }
  const uint8_t *left = in, *right = in + 3 * (width - 1);
  if (mirror) std::swap(left, right);
  for (int64_t x = 0; x < begin; ++x) std::memcpy(out + 3 * x, left, 3);
  for (int64_t x = end; x < width; ++x) std::memcpy(out + 3 * x, right, 3);
}

// What happens to each value: ((v - 128) * factor + offset), in sixteenths of a grey level.
struct Tone {
  int16_t factor = 1 << 13;  ///< 13 bits behind the point
  int16_t offset = 128 << 4;

  explicit Tone(const Changes& changes)
      : factor(static_cast<int16_t>(std::lround(changes.contrast * (1 << 13)))),
        offset(static_cast<int16_t>(std::lround((128 + 255 * changes.brightness) * 16) + 8)) {}
  int16_t operator()(uint8_t value) const {
    // the high half of a 16-bit product, which is one instruction: 7 + 13 - 16 = 4 bits stay
    const auto centred = static_cast<int16_t>((value - 128) * 128);
    return static_cast<int16_t>(((static_cast<int32_t>(centred) * factor) >> 16) + offset) >> 4;
  }
};

uint8_t clamp_to_byte(int16_t value) {
  return static_cast<uint8_t>(std::clamp<int16_t>(value, 0, 255));
}

void tone_row(const Tone& tone, uint8_t* __restrict row, int64_t values) {
  for (int64_t i = 0; i < values; ++i) row[i] = clamp_to_byte(tone(row[i]));
}

void tone_row(const Tone& tone, const int8_t* __restrict noise, uint8_t* __restrict row,
              int64_t values) {
  for (int64_t i = 0; i < values; ++i)
    row[i] = clamp_to_byte(static_cast<int16_t>(tone(row[i]) + noise[i]));
}

}  // namespace

Changes draw_changes(const Augmentation& a, uint64_t seed, int64_t epoch, int64_t row) {
  // all are drawn whether used or not, so that switching one on does not change the others
  Random random(mix(mix(seed, kDraw), static_cast<uint64_t>(epoch)), static_cast<uint64_t>(row));
  Changes c;
  c.mirror = random.uniform() < a.mirror;
  c.shift_x = random.uniform(-a.shift, a.shift);
  c.shift_y = random.uniform(-a.shift, a.shift);
  c.brightness = random.uniform(-a.brightness, a.brightness);
  c.contrast = 1 + random.uniform(-a.contrast, a.contrast);
  c.noise = a.noise > 0;
  c.noise_key = static_cast<uint64_t>(random.bits()) << 32 | random.bits();
  return c;
}

Augmenter::Augmenter(const Augmentation& a) {
  need(a.mirror >= 0 && a.mirror <= 1, "mirror", a.mirror, "[0, 1], a probability");
  need(a.shift >= 0 && a.shift <= 0.5f, "shift", a.shift, "[0, 0.5], a share of the size");
  need(a.brightness >= 0 && a.brightness <= 1, "brightness", a.brightness, "[0, 1]");
  need(a.contrast >= 0 && a.contrast <= 1, "contrast", a.contrast, "[0, 1]");
  need(a.noise >= 0 && a.noise <= 40, "noise", a.noise, "[0, 40] grey levels");
  active_ = a.mirror > 0 || a.shift > 0 || a.brightness > 0 || a.contrast > 0 || a.noise > 0;
  if (a.noise == 0) return;
  Random random(kNoise);
  noise_.resize(kNoiseNumbers);
  for (int8_t& number : noise_)
    number = static_cast<int8_t>(std::clamp(std::lround(a.noise * random.normal()), -127l, 127l));
}

void Augmenter::apply(const Changes& c, int64_t height, int64_t width, const uint8_t* from,
                      uint8_t* to) const {
  const int64_t shift_x = std::lround(c.shift_x * static_cast<float>(width));
  const int64_t shift_y = std::lround(c.shift_y * static_cast<float>(height));
  const bool tone_changes = c.contrast != 1 || c.brightness != 0;
  const Tone tone(c);
  const int64_t values = 3 * width;
  for (int64_t y = 0; y < height; ++y) {
    uint8_t* row = to + y * values;
    const int64_t source = std::clamp<int64_t>(y - shift_y, 0, height - 1);
    move_row(from + source * values, width, shift_x, c.mirror, row);
    if (!c.noise) {
      if (tone_changes) tone_row(tone, row, values);
      continue;
    }
    // A row takes numbers from a random place of the table on; a long one goes round.
    auto place = static_cast<int64_t>(mix(c.noise_key, static_cast<uint64_t>(y)) % kNoiseNumbers);
    for (int64_t done = 0; done < values; place = 0) {
      const int64_t run = std::min(values - done, kNoiseNumbers - place);
      tone_row(tone, noise_.data() + place, row + done, run);
      done += run;
    }
  }
}

}  // namespace argosy::data
