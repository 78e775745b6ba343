#pragma once
#include <span>
#include <utility>
#include <variant>

#include "ir/shape.h"
#include "models/language.h"

/// How files of other programs name what a language model of ours has: one table an architecture,
/// read by whoever opens or writes such files.
namespace argosy::models {

/// One of LanguageOptions.
struct OptionName {
  std::variant<int64_t LanguageOptions::*, double LanguageOptions::*> option;
  const char* hugging_face = nullptr;  ///< its key in config.json
  const char* gguf;                    ///< its key behind "ARCHITECTURE."
  double least, most;
  /// What it is where the file does not say; null: the file must say it.
  double (*otherwise)(const LanguageOptions&) = nullptr;
};

/// One weight, or one of each layer: {} stands for the layer's number.
struct WeightName {
  const char *name, *hugging_face = nullptr, *gguf;
  Shape (*shape)(const LanguageOptions&);
  /// How many heads its rows are cut into, if GGUF has the two halves of each head, which turn
  /// together, as neighbouring pairs of rows; null where it has the rows as they are.
  int64_t LanguageOptions::* paired_heads = nullptr;
  bool untied_only = false;
  bool always_f32 = false;  ///< whatever the format that a model is quantised to
};

/// A key whose value is one for all models of the architecture, as JSON. A file that says otherwise
/// holds another model; a file may be silent.
using Constant = std::pair<const char*, const char*>;

struct LanguageFormat {
  const char* architecture;             ///< a name of language_models()
  const char* hugging_face = nullptr;   ///< in config.json "architectures"; null: not of that kind
  const char* model_type = nullptr;     ///< in config.json
  const char* gguf;                     ///< "general.architecture"
  std::span<const OptionName> options;  ///< in an order in which `otherwise` finds what it needs
  std::span<const WeightName> weights;
  std::span<const Constant> hugging_face_constants, gguf_constants;
  /// The tensor with LanguageOptions::rotary_divisors where they differ; null: there is none.
  const char* gguf_rotary_divisors = nullptr;
};

extern const LanguageFormat kLlamaFormat, kQwen2Format, kGrokFormat;

/// Those that files can be of.
std::span<const LanguageFormat* const> language_formats();

}  // namespace argosy::models
