#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compile/program.h"
#include "models/language.h"

namespace argosy::run {

/// A language model as the engine would run it, built and compiled without its weights.
struct ModelDescription {
  struct Part {
    std::string name;  ///< "embedding", "attention", "experts", ...
    int64_t parameters = 0;
  };
  models::LanguageOptions options;
  std::vector<Part> parts;
  int64_t parameters = 0, active = 0;  ///< active: those that one token is computed with
  int64_t tokens = 0;                  ///< of the one sequence that `program` takes
  Program program;                     ///< logits of each token, in bf16; weights are f32
};

/// tokens  of a sequence, at most the context
ModelDescription describe(const models::LanguageOptions& options, int64_t tokens);

/// The sizes of a model that was published, by name ("grok-1"); nothing for other names.
std::optional<models::LanguageOptions> published_model(std::string_view name);

/// 12345678 -> "12,345,678"
std::string grouped(int64_t number);

/// Some lines for people.
std::string to_text(const ModelDescription& description);

}  // namespace argosy::run
