#include "data/augmentation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

using namespace argosy::data;

namespace {

constexpr int kHeight = 12, kWidth = 20;
using Pixels = std::vector<uint8_t>;

// Red counts columns, green counts rows, blue their product.
Pixels ramp() {
  Pixels image(kHeight * kWidth * 3);
  for (int y = 0; y < kHeight; ++y)
    for (int x = 0; x < kWidth; ++x) {
      uint8_t* pixel = &image[3 * (y * kWidth + x)];
      pixel[0] = static_cast<uint8_t>(10 * x);
      pixel[1] = static_cast<uint8_t>(20 * y);
      pixel[2] = static_cast<uint8_t>(x * y);
    }
  return image;
}

Pixels changed(const Changes& changes, const Pixels& image, float noise = 0) {
  Pixels result(image.size());
  Augmenter(Augmentation{.noise = noise})
      .apply(changes, kHeight, kWidth, image.data(), result.data());
  return result;
}

const uint8_t* pixel(const Pixels& image, int y, int x) { return &image[3 * (y * kWidth + x)]; }

}  // namespace

TEST_CASE("augmentation: no change leaves every byte as it is") {
  CHECK(changed({}, ramp()) == ramp());
  // also when the tone is computed, with a factor that rounds to one
  CHECK(changed({.contrast = 1.00001f}, ramp()) == ramp());
}

TEST_CASE("augmentation: mirroring swaps left and right, and twice changes nothing") {
  const Pixels image = ramp(), mirrored = changed({.mirror = true}, image);
  for (int y = 0; y < kHeight; ++y)
    for (int x = 0; x < kWidth; ++x)
      for (int c = 0; c < 3; ++c)
        CHECK(pixel(mirrored, y, x)[c] == pixel(image, y, kWidth - 1 - x)[c]);
  CHECK(changed({.mirror = true}, mirrored) == image);
}

TEST_CASE("augmentation: a shift moves the picture right and down and repeats the edges") {
  const Pixels image = ramp();
  for (const auto& [dx, dy] : {std::pair{3, 2}, {-4, -1}, {0, 5}, {-10, 6}}) {
    const Pixels moved = changed(
        {.shift_x = static_cast<float>(dx) / kWidth, .shift_y = static_cast<float>(dy) / kHeight},
        image);
    for (int y = 0; y < kHeight; ++y)
      for (int x = 0; x < kWidth; ++x) {
        const int from_y = std::clamp(y - dy, 0, kHeight - 1),
                  from_x = std::clamp(x - dx, 0, kWidth - 1);
        REQUIRE(pixel(moved, y, x)[0] == pixel(image, from_y, from_x)[0]);
        REQUIRE(pixel(moved, y, x)[1] == pixel(image, from_y, from_x)[1]);
      }
  }
}

TEST_CASE("augmentation: a mirrored picture is shifted after it was mirrored") {
  const Pixels image = ramp();
  const Pixels both = changed({.mirror = true, .shift_x = 0.2f}, image);
  CHECK(both == changed({.shift_x = 0.2f}, changed({.mirror = true}, image)));
}

TEST_CASE("augmentation: brightness and contrast agree with their formula within one grey level") {
  for (const float contrast : {0.5f, 0.8f, 1.0f, 1.3f, 2.0f})
    for (const float brightness : {-0.4f, -0.1f, 0.0f, 0.2f}) {
      const Pixels image = ramp(),
                   result = changed({.contrast = contrast, .brightness = brightness}, image);
      for (size_t i = 0; i < image.size(); ++i) {
        const float exact = (image[i] - 128) * contrast + 128 + 255 * brightness;
        REQUIRE(std::abs(result[i] - std::clamp(exact, 0.0f, 255.0f)) <= 1);
      }
    }
}

TEST_CASE("augmentation: noise has the deviation asked for and differs between samples") {
  const Pixels grey(kHeight * kWidth * 3, 128);
  double sum = 0, squares = 0;
  int count = 0;
  for (uint64_t key = 0; key < 50; ++key)
    for (const uint8_t value : changed({.noise = true, .noise_key = key}, grey, 6.0f)) {
      sum += value - 128;
      squares += (value - 128) * (value - 128);
      ++count;
    }
  CHECK(std::abs(sum / count) < 0.15);
  CHECK(std::sqrt(squares / count) == doctest::Approx(6).epsilon(0.03));
  CHECK(changed({.noise = true, .noise_key = 1}, grey, 6.0f) ==
        changed({.noise = true, .noise_key = 1}, grey, 6.0f));
  CHECK(changed({.noise = true, .noise_key = 1}, grey, 6.0f) !=
        changed({.noise = true, .noise_key = 2}, grey, 6.0f));
}

TEST_CASE("augmentation: draws depend on seed, epoch and row, and stay within their limits") {
  const Augmentation limits{.mirror = 0.5f, .shift = 0.1f, .brightness = 0.2f, .contrast = 0.3f};
  int mirrored = 0;
  for (int64_t row = 0; row < 2000; ++row) {
    const Changes c = draw_changes(limits, 1, 0, row);
    mirrored += c.mirror;
    REQUIRE(std::abs(c.shift_x) <= 0.1f);
    REQUIRE(std::abs(c.brightness) <= 0.2f);
    REQUIRE(std::abs(c.contrast - 1) <= 0.3001f);
  }
  CHECK(mirrored > 900);
  CHECK(mirrored < 1100);
  const float x = draw_changes(limits, 1, 0, 7).shift_x;
  CHECK(x == draw_changes(limits, 1, 0, 7).shift_x);
  CHECK(x != draw_changes(limits, 1, 0, 8).shift_x);
  CHECK(x != draw_changes(limits, 1, 1, 7).shift_x);
  CHECK(x != draw_changes(limits, 2, 0, 7).shift_x);
}

TEST_CASE("augmentation: a value out of range is named with its limits") {
  CHECK_THROWS_WITH_AS(Augmenter(Augmentation{.mirror = 1.5f}),
                       "augmentation: mirror is 1.5; give a value in [0, 1], a probability",
                       argosy::Error);
}
