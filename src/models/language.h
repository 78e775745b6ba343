#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nn/sequences.h"

namespace argosy::models {

/// Sizes and constants of a language model; each architecture uses what it has.
struct LanguageOptions {
  std::string architecture = "llama";  ///< a name of language_models()
  int64_t vocabulary = 0, context = 0;
  int64_t width = 0, layers = 0;
  int64_t heads = 0, key_heads = 0, head_width = 0;
  int64_t hidden = 0;               ///< of a block's network, or of one expert
  int64_t experts = 0, active = 0;  ///< 0: one dense network a block
  double epsilon = 1e-5, rotary_base = 10000;
  /// What the angle of each of the head_width / 2 pairs that turn is divided by, where rotary
  /// positions were stretched (models/rotary_scaling.h); empty: nothing.
  std::vector<float> rotary_divisors;
  double embedding_multiplier = 1, output_multiplier = 1;
  double attention_multiplier = 0;  ///< on scores; 0: 1 / sqrt(head_width)
  double soft_cap = 0;              ///< of scores; 0: none
  bool tied = true;                 ///< one table for embedding and output
};

struct LanguageOutput {
  Tensor logits;        ///< [rows, vocabulary]
  Tensor balance_loss;  ///< mean over the layers, see nn::Mixture; empty without experts
};

/// An architecture: a function that builds its graph, of whole or of continued sequences.
struct LanguageArchitecture {
  std::string_view name;
  LanguageOutput (*build)(const nn::Scope& scope, const Tensor& tokens,
                          const LanguageOptions& options, const nn::Sequences& sequences);
};
std::span<const LanguageArchitecture> language_models();
bool is_language_model(std::string_view architecture);

/// The model that options.architecture names. tokens i32 [B, T], or [N] of continued sequences.
/// throws  Error: there is none of that name
LanguageOutput build_language_model(const nn::Scope& scope, const Tensor& tokens,
                                    const LanguageOptions& options,
                                    const nn::Sequences& sequences = {});

/// What the attention of an architecture with rotary positions and without biases is told.
nn::AttentionOptions attention_options(const LanguageOptions& options);

/// Parameters that one token is computed with: of the experts, those that are active.
int64_t active_parameters(const Graph& graph, const LanguageOptions& options);

}  // namespace argosy::models
