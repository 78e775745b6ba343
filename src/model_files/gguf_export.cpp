#include <algorithm>
#include <deque>
#include <map>

#include "base/error.h"
#include "engine/gguf.h"
#include "model_files/export.h"
#include "model_files/format_tables.h"
#include "model_files/gguf_vocabulary.h"
#include "model_files/weight_conversion.h"

namespace argosy::model_files {
namespace {

/// The weights as the new file has them: its names, formats and order of rows, but no bytes.
std::vector<Weight> weights_to_write(const LanguageModel& model,
                                     const std::vector<NamedWeight>& names,
                                     std::optional<BlockFormat> wanted) {
  std::vector<Weight> weights;
  for (const NamedWeight& named : names) {
    const Weight& from = *model.find(named.name);
    Weight& to = weights.emplace_back();
    to.name = named.in_file;
    to.shape = named.shape;
    to.format = wanted ? quantised_format(from, model.options.vocabulary, *wanted) : from.format;
    if (to.shape.size() < 2 || named.row->always_f32)  // llama.cpp has no other vectors
      to.format = BlockFormat::f32;
    if (const auto heads = named.row->paired_heads) to.paired_heads = model.options.*heads;
  }
  return weights;
}

/// What stretches rotary positions, as a key where it is one number; otherwise the tensor.
StoredTensor rotary_divisors_to_write(const LanguageModel& model,
                                      const models::LanguageFormat& format,
                                      GgufMetadata& metadata) {
  const std::vector<float>& divisors = model.options.rotary_divisors;
  if (divisors.empty()) return {};
  if (std::ranges::count(divisors, divisors[0]) == std::ssize(divisors)) {
    const std::string prefix = std::string(format.gguf) + ".rope.scaling.";
    metadata.set(prefix + "type", GgufValue::text("linear"));
    metadata.set(prefix + "factor", GgufValue::of(divisors[0]));
    return {};
  }
  if (!format.gguf_rotary_divisors)
    throw Error({.what = fmt::format("GGUF has no form for the rotary positions of this {} model",
                                     format.gguf),
                 .where = model.path,
                 .fix = "export it as a Hugging Face folder"});
  return {.name = format.gguf_rotary_divisors,
          .shape = {std::ssize(divisors)},
          .bytes = std::as_bytes(std::span(divisors))};
}

BlockFormat most_common(std::span<const Weight> weights) {
  std::map<BlockFormat, int64_t> bytes;
  for (const Weight& weight : weights)
    bytes[weight.format] += weight.rows() * weight.bytes_per_row();
  const auto less = [](const auto& a, const auto& b) { return a.second < b.second; };
  return std::max_element(bytes.begin(), bytes.end(), less)->first;
}

}  // namespace

std::vector<FormatShare> write_gguf_model(const LanguageModel& model, const Path& file,
                                          std::optional<BlockFormat> wanted) {
  const models::LanguageFormat& format = format_to_write(model, &models::LanguageFormat::gguf);
  const std::vector<NamedWeight> names =
      named_weights(format, model.options, &models::WeightName::gguf);
  const std::vector<Weight> weights = weights_to_write(model, names, wanted);
  GgufMetadata metadata;
  metadata.set("general.architecture", GgufValue::text(format.gguf));
  metadata.set("general.name", GgufValue::text(model.name));
  metadata.set("general.file_type", GgufValue::of(gguf_file_type(most_common(weights))));
  metadata.set("general.quantization_version", GgufValue::of(uint32_t{2}));
  for (const models::OptionName& option : format.options) {
    const double value = option_value(option, model.options);
    metadata.set(fmt::format("{}.{}", format.gguf, option.gguf),
                 is_whole(option) ? GgufValue::of(static_cast<uint32_t>(value))
                                  : GgufValue::of(static_cast<float>(value)));
  }
  const std::string prefix = std::string(format.gguf) + ".";
  const auto head_width = static_cast<uint32_t>(model.options.head_width);
  metadata.set(prefix + "attention.value_length", GgufValue::of(head_width));
  metadata.set(prefix + "rope.dimension_count", GgufValue::of(head_width));
  const StoredTensor divisors = rotary_divisors_to_write(model, format, metadata);
  std::deque<std::string> texts;
  write_gguf_tokenizer(*model.tokenizer, model.options.vocabulary, metadata, texts);
  if (!model.chat_template.empty())
    metadata.set("tokenizer.chat_template", GgufValue::text(model.chat_template));

  WeightConversion conversion;
  std::vector<StoredTensor> tensors(weights.begin(), weights.end());
  if (!divisors.name.empty()) tensors.push_back(divisors);
  write_gguf(file, metadata, tensors, [&](size_t i) {
    return i < weights.size() ? conversion.convert(*model.find(names[i].name), weights[i])
                              : divisors.bytes;
  });
  return conversion.shares();
}

}  // namespace argosy::model_files
