#include <nlohmann/json.hpp>

#include "base/error.h"
#include "engine/safetensors.h"
#include "model_files/export.h"
#include "model_files/format_tables.h"
#include "model_files/hugging_face_config.h"
#include "model_files/hugging_face_rotary.h"
#include "model_files/weight_conversion.h"
#include "text/chat_template.h"

namespace argosy::model_files {
namespace {

using Json = nlohmann::ordered_json;

DType dtype_of(BlockFormat format) {
  switch (format) {
    case BlockFormat::f16:
      return DType::f16;
    case BlockFormat::bf16:
      return DType::bf16;
    default:
      return DType::f32;
  }
}

/// What transformers calls it.
const char* torch_name(DType dtype) {
  return dtype == DType::f32 ? "float32" : dtype == DType::f16 ? "float16" : "bfloat16";
}

Json config_of(const LanguageModel& model, const models::LanguageFormat& format, DType dtype) {
  Json config = {{"architectures", Json::array({format.hugging_face})},
                 {"model_type", format.model_type}};
  for (const models::OptionName& option : format.options) {
    const double value = option_value(option, model.options);
    if (is_whole(option))
      config[option.hugging_face] = static_cast<int64_t>(value);
    else
      config[option.hugging_face] = value;
  }
  for (const auto& [key, value] : format.hugging_face_constants) config[key] = Json::parse(value);
  config["rope_scaling"] = Json::parse(rotary_scaling(model.options));
  config["tie_word_embeddings"] = model.options.tied;
  config["torch_dtype"] = torch_name(dtype);
  return config;
}

/// The tokens that a text begins and ends with.
Json token_ids(const text::Tokenizer& tokenizer) {
  Json ids = Json::object();
  if (const auto beginning = tokenizer.beginning()) ids["bos_token_id"] = *beginning;
  const auto& ends = tokenizer.ends();
  if (ends.size() == 1) ids["eos_token_id"] = ends[0];
  if (ends.size() > 1) ids["eos_token_id"] = ends;
  return ids;
}

void write_json(const Path& file, const Json& json) {
  write_file(file, json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n");
}

}  // namespace

std::vector<FormatShare> write_hugging_face_model(const LanguageModel& model, const Path& folder,
                                                  std::optional<BlockFormat> wanted) {
  const models::LanguageFormat& format =
      format_to_write(model, &models::LanguageFormat::hugging_face);
  PartialFolder partial(folder);
  std::vector<Weight> weights;
  std::vector<const Weight*> sources;
  std::vector<NamedTensor> tensors;
  for (const NamedWeight& named :
       named_weights(format, model.options, &models::WeightName::hugging_face)) {
    const Weight& from = *sources.emplace_back(model.find(named.name));
    const DType dtype = dtype_of(wanted.value_or(from.format));
    Weight& to = weights.emplace_back();
    to.name = named.in_file;
    to.shape = named.shape;
    to.format = *block_format_named(name_of(dtype));
    tensors.push_back({named.in_file, {dtype, named.shape}, {}});
  }
  WeightConversion conversion;
  write_safetensors(partial.path() / "model.safetensors", tensors, {{"format", "pt"}},
                    [&](size_t i) { return conversion.convert(*sources[i], weights[i]); });
  const std::vector<FormatShare> shares = conversion.shares();

  Json config = config_of(model, format, dtype_of(shares.front().format));
  const Json ids = token_ids(*model.tokenizer);
  config.update(ids);
  write_json(partial.path() / "config.json", config);
  write_json(partial.path() / "generation_config.json", ids);
  model.tokenizer->write(partial.path());
  if (!model.chat_template.empty())
    write_file(partial.path() / text::kChatTemplateFile, model.chat_template);
  partial.commit();
  return shares;
}

}  // namespace argosy::model_files
