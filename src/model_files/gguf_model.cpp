#include <algorithm>

#include "base/error.h"
#include "engine/gguf.h"
#include "model_files/format_tables.h"
#include "model_files/gguf_vocabulary.h"

namespace argosy::model_files {
namespace {

const models::LanguageFormat& format_of(const GgufMetadata& metadata, const Path& file) {
  const auto architecture = metadata.text("general.architecture");
  if (!architecture) fail_model(file, "general.architecture is missing");
  std::vector<std::string> known;
  for (const models::LanguageFormat* format : models::language_formats()) {
    if (*architecture == format->gguf) return *format;
    known.emplace_back(format->gguf);
  }
  fail_model(file,
             fmt::format("general.architecture is \"{}\", which is not known here", *architecture),
             fmt::format("use a model of {}", fmt::join(known, ", ")));
}

/// A text or number as models::Constant has it.
std::string as_json(const GgufMetadata& metadata, const std::string& key) {
  const GgufValue* value = metadata.find(key);
  return value->type == GgufType::text && !value->is_array
             ? fmt::format("\"{}\"", *metadata.text(key))
             : fmt::format("{}", *metadata.number(key));
}

/// One divisor for all pairs that turn, or a tensor with one for each.
std::vector<float> rotary_divisors(const models::LanguageFormat& format, const GgufFile& gguf,
                                   const models::LanguageOptions& options, const Path& file) {
  const GgufMetadata& metadata = gguf.metadata();
  const std::string prefix = std::string(format.gguf) + ".rope.";
  const auto type = metadata.text(prefix + "scaling.type");
  if (type && *type != "none" && *type != "linear")
    fail_model(file,
               fmt::format("{}scaling.type is \"{}\"; only \"none\" and \"linear\" are known here",
                           prefix, *type),
               "use a model without it");
  const auto expect = [&](const std::string& name, double value) {
    if (!(value > 0 && value <= kMostRotaryDivisor))
      fail_model(file, fmt::format("{} is {}, which is not above 0 and up to {}", name, value,
                                   kMostRotaryDivisor));
    return static_cast<float>(value);
  };
  float of_all = 1;
  for (const char* key : {"scale_linear", "scaling.factor"})  // the older, then the newer
    if (const auto factor = metadata.number(prefix + key); factor && type.value_or("") != "none")
      of_all = expect(prefix + key, *factor);
  const auto pairs = static_cast<size_t>(options.head_width / 2);
  std::vector<float> divisors(pairs, 1);
  const StoredTensor* tensor =
      format.gguf_rotary_divisors ? gguf.find(format.gguf_rotary_divisors) : nullptr;
  if (tensor) {
    if (tensor->shape != Shape{std::ssize(divisors)})
      fail_model(file, fmt::format("tensor {} is {}, the heads make it [{}]", tensor->name,
                                   tensor->shape, pairs));
    dequantize(tensor->format, tensor->bytes, divisors);
  } else if (of_all == 1) {
    return {};
  }
  for (float& divisor : divisors)
    divisor = of_all * (tensor ? expect("a number of tensor " + tensor->name, divisor) : divisor);
  return divisors;
}

models::LanguageOptions options_of(const models::LanguageFormat& format, const GgufFile& gguf,
                                   const Path& file) {
  const GgufMetadata& metadata = gguf.metadata();
  const std::string prefix = std::string(format.gguf) + ".";
  for (const auto& [name, wanted] : format.gguf_constants)
    if (const std::string key = prefix + name; metadata.find(key))
      if (const std::string value = as_json(metadata, key); value != wanted)
        fail_model(file, fmt::format("{} is {}; only {} is known here", key, value, wanted),
                   "use a model without it");
  const auto lookup = [&](const std::string& key, bool whole) -> std::optional<double> {
    if (metadata.find(key))
      return whole ? static_cast<double>(*metadata.integer(key)) : *metadata.number(key);
    if (key == prefix + "vocab_size")  // older files leave it to the tokens
      if (const auto tokens = metadata.texts("tokenizer.ggml.tokens"))
        return static_cast<double>(tokens->size());
    return std::nullopt;
  };
  models::LanguageOptions options =
      read_options(format, &models::OptionName::gguf, prefix, lookup, file);
  const std::string turned = prefix + "rope.dimension_count";
  if (metadata.integer(turned).value_or(options.head_width) != options.head_width)
    fail_model(file,
               fmt::format("{} is {}, the heads are {} wide; only whole heads turn here", turned,
                           *metadata.integer(turned), options.head_width),
               "use a model of another kind");
  options.rotary_divisors = rotary_divisors(format, gguf, options, file);
  for (const models::WeightName& row : format.weights)
    if (row.untied_only) options.tied = !gguf.find(row.gguf);
  return options;
}

}  // namespace

LanguageModel open_gguf_model(const Path& file) {
  auto gguf = std::make_shared<GgufFile>(file);
  const models::LanguageFormat& format = format_of(gguf->metadata(), file);
  LanguageModel model;
  model.path = file;
  model.name = file.stem();
  model.kind = "GGUF";
  model.options = options_of(format, *gguf, file);
  const std::vector<NamedWeight> wanted =
      named_weights(format, model.options, &models::WeightName::gguf);
  std::vector<StoredTensor> stored(gguf->tensors().begin(), gguf->tensors().end());
  if (format.gguf_rotary_divisors)
    std::erase_if(stored, [&](const auto& t) { return t.name == format.gguf_rotary_divisors; });
  model.weights = match_weights(wanted, stored, file);
  for (size_t i = 0; i < wanted.size(); ++i)
    if (const auto heads = wanted[i].row->paired_heads)
      model.weights[i].paired_heads = model.options.*heads;
  model.tokenizer = read_gguf_tokenizer(gguf->metadata(), file);
  expect_fit(*model.tokenizer, model.options, file);
  model.chat_template = gguf->metadata().text("tokenizer.chat_template").value_or("");
  model.mapping = std::move(gguf);
  return model;
}

}  // namespace argosy::model_files
