#pragma once
#include <span>
#include <vector>

#include "serve/generator.h"

namespace argosy::serve {

/// Chooses the tokens of one answer, in the order that Sampling states. What it draws is a function
/// of the seed and of how many tokens it has chosen.
class Sampler {
 public:
  Sampler(Sampling sampling, std::vector<Token> prompt);

  /// logits   [vocabulary], at least one of them finite; NaN is never chosen
  /// allowed  empty: all. If none may come, the most probable of all does.
  Generated choose(std::span<const float> logits, const std::vector<bool>& allowed = {});
  /// A token as if it had been chosen, with its logprob and the most probable if they are asked
  /// for.
  Generated describe(Token token, std::span<const float> logits) const;
  /// The token that was chosen, or put in its place, becomes part of the text.
  void accept(Token token);

 private:
  struct Candidate {
    Token token;
    double weight;  ///< the logit, then e to it
  };
  void penalise(std::span<float> logits) const;
  Token draw(std::span<const float> logits, float highest);

  Sampling sampling_;
  std::vector<Token> prompt_;                        ///< each once, sorted
  std::vector<std::pair<Token, int64_t>> answered_;  ///< with how often, sorted by token
  uint64_t chosen_ = 0;
  std::vector<float> scores_;  ///< memory that stays
  std::vector<Candidate> candidates_;
};

}  // namespace argosy::serve
