#include "model_files/format_tables.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"

namespace argosy::model_files {
namespace {

using models::LanguageOptions;
using models::OptionName;

void set_option(const OptionName& option, LanguageOptions& options, double value) {
  std::visit(
      [&](auto member) {
        options.*member = static_cast<std::remove_reference_t<decltype(options.*member)>>(value);
      },
      option.option);
}

std::string numbered(const char* pattern, int64_t layer) {
  return fmt::format(fmt::runtime(pattern), layer);
}

}  // namespace

void fail_model(const Path& file, const std::string& what, const std::string& fix) {
  throw Error({.what = what, .where = file, .fix = fix, .kind = ErrorKind::file});
}

const models::LanguageFormat& format_to_write(const LanguageModel& model,
                                              const char* models::LanguageFormat::* name) {
  std::vector<std::string_view> known;
  bool elsewhere = false;
  for (const models::LanguageFormat* format : models::language_formats()) {
    const bool same = model.options.architecture == format->architecture;
    if (same && format->*name) return *format;
    elsewhere |= same;
    if (format->*name) known.push_back(format->architecture);
  }
  throw Error({.what = fmt::format("files of that kind have no form for a {} model that is known "
                                   "here",
                                   model.options.architecture),
               .where = model.path,
               .fix = elsewhere ? "write it as a GGUF file, --to NAME.gguf"
                                : fmt::format("export a model of the architecture {}",
                                              fmt::join(known, " or "))});
}

bool is_whole(const OptionName& option) {
  return std::holds_alternative<int64_t LanguageOptions::*>(option.option);
}

double option_value(const OptionName& option, const LanguageOptions& options) {
  return std::visit([&](auto member) { return static_cast<double>(options.*member); },
                    option.option);
}

LanguageOptions read_options(const models::LanguageFormat& format, const char* OptionName::* name,
                             const std::string& prefix, const OptionLookup& lookup,
                             const Path& file) {
  LanguageOptions options;
  options.architecture = format.architecture;
  for (const OptionName& option : format.options) {
    const std::string key = prefix + option.*name;
    std::optional<double> value = lookup(key, is_whole(option));
    if (!value && option.otherwise) value = option.otherwise(options);
    if (!value) fail_model(file, fmt::format("{} is missing", key));
    if (!(*value >= option.least && *value <= option.most))
      fail_model(file, fmt::format("{} is {}, which is not from {} to {}", key, *value,
                                   option.least, option.most));
    set_option(option, options, *value);
  }
  if (options.heads % options.key_heads != 0)
    fail_model(file, fmt::format("{} heads of queries cannot share {} of keys evenly",
                                 options.heads, options.key_heads));
  if (options.active > options.experts)
    fail_model(file, fmt::format("a token goes to {} experts, but there are {}", options.active,
                                 options.experts));
  if (options.head_width % 2 != 0)
    fail_model(file, fmt::format("a head is {} wide, an odd number, so its halves cannot turn",
                                 options.head_width));
  return options;
}

std::vector<NamedWeight> named_weights(const models::LanguageFormat& format,
                                       const LanguageOptions& options,
                                       const char* models::WeightName::* key) {
  std::vector<NamedWeight> named;
  const auto layered = [](const models::WeightName& row) {
    return std::string_view(row.name).find("{}") != std::string_view::npos;
  };
  const auto add = [&](const models::WeightName& row, int64_t layer) {
    named.push_back(
        {&row, numbered(row.name, layer), numbered(row.*key, layer), row.shape(options)});
  };
  // a run of rows with a number is one block, which stands once for each layer
  for (size_t i = 0; i < format.weights.size();) {
    const models::WeightName& row = format.weights[i];
    if (!layered(row)) {
      if (!row.untied_only || !options.tied) add(row, 0);
      ++i;
      continue;
    }
    size_t end = i;
    while (end < format.weights.size() && layered(format.weights[end])) ++end;
    for (int64_t layer = 0; layer < options.layers; ++layer)
      for (size_t j = i; j < end; ++j) add(format.weights[j], layer);
    i = end;
  }
  return named;
}

std::vector<Weight> match_weights(const std::vector<NamedWeight>& wanted,
                                  std::span<const StoredTensor> stored, const Path& file) {
  std::unordered_map<std::string_view, const StoredTensor*> by_name;
  for (const StoredTensor& tensor : stored) by_name.emplace(tensor.name, &tensor);
  std::vector<Weight> weights;
  for (const NamedWeight& weight : wanted) {
    const auto found = by_name.find(weight.in_file);
    if (found == by_name.end())
      fail_model(file, fmt::format("tensor {} is missing", weight.in_file));
    if (found->second->shape != weight.shape)
      fail_model(file, fmt::format("tensor {} is {}, the model's options make it {}",
                                   weight.in_file, found->second->shape, weight.shape));
    Weight& added = weights.emplace_back();
    static_cast<StoredTensor&>(added) = *found->second;
    added.name = weight.name;
    by_name.erase(found);
  }
  if (!by_name.empty()) {
    std::vector<std::string_view> left;
    for (const auto& [name, _] : by_name) left.push_back(name);
    const auto first = std::ranges::min_element(left);
    fail_model(
        file,
        fmt::format("tensor {} has no place in the model{}", *first,
                    left.size() > 1 ? fmt::format(" (nor have {} more)", left.size() - 1) : ""),
        "use a model of an architecture that is known here");
  }
  return weights;
}

void expect_fit(const text::Tokenizer& tokenizer, const LanguageOptions& options,
                const Path& tokenizer_file) {
  if (tokenizer.vocabulary() > options.vocabulary)
    fail_model(tokenizer_file,
               fmt::format("the tokenizer has {} tokens, the model's table {} entries",
                           tokenizer.vocabulary(), options.vocabulary),
               "use the tokenizer that belongs to the model");
}

}  // namespace argosy::model_files
