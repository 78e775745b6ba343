#include "run/language_loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/threads.h"

namespace argosy::run {
namespace {

/// -ln of the probability that the logits give to a token.
double loss_of(std::span<const float> logits, int32_t token) {
  const float top = *std::ranges::max_element(logits);
  double total = 0;
  for (const float logit : logits) total += std::exp(logit - top);
  return top + std::log(total) - logits[static_cast<size_t>(token)];
}

}  // namespace

LanguageLoss language_loss(Decoder& decoder, std::span<const int32_t> tokens) {
  const int64_t context = decoder.options().context;
  const auto vocabulary = static_cast<size_t>(decoder.model().vocabulary);
  for (int32_t page = 0; int32_t& entry : decoder.pages(0)) entry = page++;
  LanguageLoss loss;
  std::vector<Decoder::Row> rows;
  std::vector<double> losses;
  // the last token is only predicted
  for (int64_t first = 0; first + 1 < std::ssize(tokens);) {
    const int64_t position = first % context;
    const int64_t count =
        std::min({Decoder::kMostAnswers, context - position, std::ssize(tokens) - 1 - first});
    rows.clear();
    for (int64_t i = 0; i < count; ++i)
      rows.push_back({.token = tokens[static_cast<size_t>(first + i)],
                      .position = static_cast<int32_t>(position + i),
                      .answers = true});
    const std::span<const float> logits = decoder.run(rows);
    losses.assign(static_cast<size_t>(count), 0);
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
        losses[i] = loss_of(logits.subspan(i * vocabulary, vocabulary),
                            tokens[static_cast<size_t>(first) + i + 1]);
    });
    // the first token of the next window is not predicted from this one
    const bool window_ends = position + count == context;
    for (int64_t i = 0; i < count - (window_ends ? 1 : 0); ++i)
      loss.total += losses[static_cast<size_t>(i)], ++loss.tokens;
    first += count;
  }
  return loss;
}

}  // namespace argosy::run
