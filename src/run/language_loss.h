#pragma once
#include <span>

#include "run/decoder.h"

namespace argosy::run {

struct LanguageLoss {
  double total = 0;    ///< -ln of the probability of each token, added up
  int64_t tokens = 0;  ///< that were predicted
  double mean() const { return tokens == 0 ? 0 : total / static_cast<double>(tokens); }
};

/// Tokens of a window where nothing else is said, or the model's context if that is shorter.
inline constexpr int64_t kLossWindow = 512;

/// How well the decoder's model predicts a text, window by window of its context: each token but a
/// window's first, from those before it in the window. Uses the decoder's first sequence.
///
/// tokens  of the model's vocabulary
LanguageLoss language_loss(Decoder& decoder, std::span<const int32_t> tokens);

}  // namespace argosy::run
