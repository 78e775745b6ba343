#include "models/language.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "models/gpt.h"
#include "models/grok.h"
#include "models/llama.h"

namespace argosy::models {

std::span<const LanguageArchitecture> language_models() {
  static constexpr LanguageArchitecture all[] = {
      {"grok",
       [](const nn::Scope& scope, const Tensor& tokens, const LanguageOptions& options,
          const nn::Sequences& sequences) -> LanguageOutput {
         return grok(scope, tokens, options, sequences);
       }},
      {"llama", llama},
      {"qwen2", qwen2},
      {"gpt", gpt},
  };
  return all;
}

bool is_language_model(std::string_view architecture) {
  return std::ranges::find(language_models(), architecture, &LanguageArchitecture::name) !=
         language_models().end();
}

LanguageOutput build_language_model(const nn::Scope& scope, const Tensor& tokens,
                                    const LanguageOptions& options,
                                    const nn::Sequences& sequences) {
  const auto found =
      std::ranges::find(language_models(), options.architecture, &LanguageArchitecture::name);
  if (found == language_models().end()) {
    std::vector<std::string_view> names;
    for (const LanguageArchitecture& each : language_models()) names.push_back(each.name);
    throw Error({.what = fmt::format("there is no architecture {}", options.architecture),
                 .where = "language model",
                 .fix = fmt::format("choose from {}", fmt::join(names, ", "))});
  }
  return found->build(scope, tokens, options, sequences);
}

nn::AttentionOptions attention_options(const LanguageOptions& options) {
  return {.heads = options.heads,
          .key_heads = options.key_heads,
          .head_width = options.head_width,
          .causal = true,
          .bias = false,
          .output_bias = false,
          .scale = options.attention_multiplier,
          .soft_cap = options.soft_cap,
          .rotary_base = options.rotary_base,
          .rotary_divisors = options.rotary_divisors};
}

int64_t active_parameters(const Graph& graph, const LanguageOptions& options) {
  int64_t active = 0;
  for (const Variable& variable : graph.variables()) {
    const Shape& shape = graph.type(variable.value).shape;
    const bool of_experts =
        variable.name.find("/experts/") != std::string::npos && shape.size() == 3;
    active += of_experts ? count(shape) / options.experts * options.active : count(shape);
  }
  return active;
}

}  // namespace argosy::models
