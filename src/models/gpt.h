#pragma once
#include "models/language.h"

namespace argosy::models {

/// A decoder after GPT-2: learned positions, pre-norm blocks, no biases, and one table for the
/// embedding and the output. tokens i32 [B, T], T <= context.
LanguageOutput gpt(const nn::Scope& scope, const Tensor& tokens, const LanguageOptions& options,
                   const nn::Sequences& sequences = {});

}  // namespace argosy::models
