#pragma once
#include "models/language.h"

namespace argosy::models {

/// The Llama family: RMS norm before each block, grouped query heads with rotary positions, a
/// network gated by SiLU, no biases; one table for embedding and output, or two. tokens i32 [B, T]
/// of whole sequences, [N] of continued ones.
/// source  Touvron et al. 2023, "LLaMA"; SmolLM2-135M-Instruct's configuration
LanguageOutput llama(const nn::Scope& scope, const Tensor& tokens, const LanguageOptions& options,
                     const nn::Sequences& sequences = {});

/// Qwen 2 and 2.5: the same with biases of queries, keys and values.
/// source  Yang et al. 2024, "Qwen2 Technical Report"; transformers, Qwen2ForCausalLM
LanguageOutput qwen2(const nn::Scope& scope, const Tensor& tokens, const LanguageOptions& options,
                     const nn::Sequences& sequences = {});

}  // namespace argosy::models
