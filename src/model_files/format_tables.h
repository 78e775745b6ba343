#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "model_files/language_model.h"
#include "models/language_format.h"

/// What the readers and writers of models in other programs' files share.
namespace argosy::model_files {

/// What a file says of a key: a number, checked to be whole if `whole`; nothing where it is silent.
using OptionLookup = std::function<std::optional<double>(const std::string& key, bool whole)>;

/// The options of a format from a file. `name` says which of the format's names the file has, which
/// stand behind `prefix`.
/// throws Error (file) with `file` and the key: missing, out of its limits, options that contradict
/// each other
models::LanguageOptions read_options(const models::LanguageFormat& format,
                                     const char* models::OptionName::* name,
                                     const std::string& prefix, const OptionLookup& lookup,
                                     const Path& file);

/// Of LanguageOptions::rotary_divisors: beyond it a file is broken, not stretched.
constexpr double kMostRotaryDivisor = 1e6;

/// How a model is written for others; `name` says for whom. throws Error: its architecture has no
/// such form
const models::LanguageFormat& format_to_write(const LanguageModel& model,
                                              const char* models::LanguageFormat::* name);

/// An option's value, as both formats write it.
double option_value(const models::OptionName& option, const models::LanguageOptions& options);
bool is_whole(const models::OptionName& option);

/// One weight of a model by all its names.
struct NamedWeight {
  const models::WeightName* row;
  std::string name, in_file;
  Shape shape;
};
/// All weights of a model, layer by layer; `key` says whose names `in_file` is to have.
std::vector<NamedWeight> named_weights(const models::LanguageFormat& format,
                                       const models::LanguageOptions& options,
                                       const char* models::WeightName::* key);

/// The weights of a model among the tensors of its files.
/// throws Error (file): one is missing, has another shape or is too many
std::vector<Weight> match_weights(const std::vector<NamedWeight>& wanted,
                                  std::span<const StoredTensor> stored, const Path& file);

/// throws Error (file) where the model has another number of entries than the tokenizer has tokens,
/// unless it has more (tables are often padded)
void expect_fit(const text::Tokenizer& tokenizer, const models::LanguageOptions& options,
                const Path& tokenizer_file);

[[noreturn]] void fail_model(const Path& file, const std::string& what,
                             const std::string& fix = "use another copy of the model");

LanguageModel open_gguf_model(const Path& file);
LanguageModel open_hugging_face_model(const Path& folder);

}  // namespace argosy::model_files
