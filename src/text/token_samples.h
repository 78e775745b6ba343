#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "text/token_store.h"

namespace argosy::text {

enum class TokenOrder {
  shuffled,         ///< windows that lie end to end, in random order, elsewhere in each epoch
  random_crops,     ///< windows from anywhere, drawn with replacement
  sequential,       ///< windows that lie end to end, in order; the last one is filled up
  whole_documents,  ///< as many whole documents as fit, in random order; longer ones are divided
};

/// A part of a store, and how often samples come from it beside the other sources.
struct TokenSource {
  std::shared_ptr<const TokenStore> store;
  double weight = 1;           ///< above 0
  int64_t begin = 0, end = 0;  ///< tokens
};
/// All of a store.
TokenSource whole_source(std::shared_ptr<const TokenStore> store, double weight = 1);

/// Samples for training a language model: which comes when is a pure function of the seed, and its
/// place a single number.
class TokenSamples {
 public:
  /// length  tokens of a sample, at least 1
  /// throws Error: no sources, different vocabularies, a source too short for one sample
  TokenSamples(std::vector<TokenSource> sources, int64_t length, TokenOrder order, uint64_t seed);

  /// The next sample; each of the three has `length` elements.
  ///
  /// tokens    in [0, vocabulary)
  /// targets   the token to say next; -1 where there is none to learn: at the end of a document,
  ///           and in conversations at what others than the assistant say
  /// segments  the number of the token's document in the sample, from 0 on: tokens of different
  ///           documents shall not see each other
  void next(std::span<int32_t> tokens, std::span<int32_t> targets, std::span<int32_t> segments);

  /// Samples given so far. After seek() the samples are those that come behind this place.
  int64_t position() const { return position_; }
  void seek(int64_t position);

  int64_t length() const { return length_; }
  /// Samples until every window was given once (of random crops: as many as windows).
  int64_t epoch_samples() const;

  struct Window {
    int64_t begin = 0, end = 0;  ///< tokens and the last one's target
  };

 private:
  struct Source : TokenSource {
    int64_t samples = 0;          ///< an epoch's
    std::vector<Window> windows;  ///< of whole documents
    int64_t given = 0;
  };
  size_t choose(int64_t position) const;
  Window window_of(size_t source, int64_t sample) const;

  std::vector<Source> sources_;
  int64_t length_;
  TokenOrder order_;
  uint64_t seed_;
  int64_t position_ = 0;
  std::vector<double> shares_;  // of the sources, added up
  std::vector<int32_t> buffer_;
};

}  // namespace argosy::text
