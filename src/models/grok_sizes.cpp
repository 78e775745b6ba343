#include "models/grok.h"

namespace argosy::models {

LanguageOptions grok_1() {
  constexpr int64_t kWidth = 6144;
  return {.architecture = "grok",
          .vocabulary = 131072,
          .context = 8192,
          .width = kWidth,
          .layers = 64,
          .heads = 48,
          .key_heads = 8,
          .head_width = 128,
          .hidden = grok_hidden(kWidth, 8),
          .experts = 8,
          .active = 2,
          .epsilon = 1e-5,
          .rotary_base = 10000,
          .embedding_multiplier = 78.38367176906169,
          .output_multiplier = 0.5773502691896257,
          .attention_multiplier = 0.08838834764831845,
          .soft_cap = 30,
          .tied = true};
}

int64_t grok_hidden(int64_t width, double widening) {
  const auto widened = static_cast<int64_t>(widening * static_cast<double>(width));
  return (widened * 2 / 3 + 7) / 8 * 8;
}

}  // namespace argosy::models
