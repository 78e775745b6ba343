#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "run/decoder.h"

/// How fast a language model reads prompts and continues texts.
namespace argosy::bench {

/// What was done and how long it took.
struct DecodeTimes {
  int64_t tokens = 0;
  double seconds = 0, cpu_s = 0;
};

/// A model with room for some sequences, each from an empty context.
class DecodeBench {
 public:
  static constexpr int64_t kSequences = 8;
  DecodeBench(run::Decoder decoder) : decoder_(std::move(decoder)) {}  // NOLINT: takes it over

  /// `tokens` one at a time, of `sequences` sequences beside each other.
  DecodeTimes decode(int64_t tokens, int64_t sequences = 1);
  /// A prompt of `tokens`, the logits of its last one.
  DecodeTimes prefill(int64_t tokens);

  /// Bytes of weights that a token of one sequence reads: all but the rows of an embedding that is
  /// not the output's table as well, and of experts those that are active.
  double bytes_per_token() const;
  run::Decoder& decoder() { return decoder_; }

 private:
  void take_pages();
  run::Decoder decoder_;
};

/// Sizes to be timed with random weights: "llama" of 124 million parameters (width 768, 12 layers,
/// 32,000 tokens, two tables), which bench/peers/make_random_gguf.py writes for llama.cpp; "grok"
/// of 456 million, 155 of them for a token (width 1024, 8 layers of 8 experts, 2 for a token).
std::optional<models::LanguageOptions> synthetic_model(std::string_view architecture);

/// A model of these sizes with random weights of one format.
run::Decoder random_decoder(const models::LanguageOptions& model, BlockFormat format,
                            const run::DecoderOptions& options);

}  // namespace argosy::bench
