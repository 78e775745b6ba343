#pragma once
#include "nn/scope.h"

namespace argosy::models {

struct GptOptions {
  int64_t vocabulary = 8192, context = 256;
  int64_t width = 384, layers = 6, heads = 6;
};

/// A decoder after GPT-2: learned positions, pre-norm blocks without biases, and one table for the
/// embedding and the output. tokens i32 [B, T], T <= context -> logits [B * T, vocabulary].
Tensor gpt(const nn::Scope& scope, const Tensor& tokens, const GptOptions& options);

}  // namespace argosy::models
