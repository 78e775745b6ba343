#include "run/recipe_keys.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace argosy::run {
namespace {

Limits between(double low, double high) { return {.low = low, .high = high}; }
Limits above(double low, double high) { return {.low = low, .high = high, .low_open = true}; }
Limits below(double low, double high) { return {.low = low, .high = high, .high_open = true}; }
Limits one_of(Texts choices) { return {.choices = std::move(choices)}; }
Limits given() { return {.required = true}; }
Limits any() { return {}; }

enum When { fixed, any_time };  // whether a run that has begun can go on with another value

/// The member recipe.*section.*member under its name in the file.
template <typename Section, typename Base, typename Member>
Key row(Section Recipe::* section, Member Base::* member, const char* name, Limits limits,
        When when, const char* meaning) {
  return {.name = name,
          .limits = std::move(limits),
          .meaning = meaning,
          .fixed = when == fixed,
          .get = [=](const Recipe& recipe) { return Value(recipe.*section.*member); },
          .set = [=](Recipe& recipe,
                     const Value& value) { recipe.*section.*member = std::get<Member>(value); }};
}

// clang-format off
std::vector<Key> make_table() {
  using R = Recipe;
  constexpr double kSteps = 1e12, kMegabytes = 1 << 24, kPixels = 8192;
  return {
    // the model
    row(&R::model, &R::Model::name, "model.name", one_of({"pilotnet", "clip_transformer", "overview", "grok", "llama", "qwen2", "gpt"}), fixed,
        "policies: pilotnet (convolutions on the frames of a clip, stacked as channels), clip_transformer (on each frame, then attention over time), overview (fully connected layers on small grey pictures); language models: grok (Grok-1's architecture), llama (the Llama family's), qwen2 (Llama's with biases of queries, keys and values), gpt (GPT-2's without biases)"),
    row(&R::model, &R::Model::frames, "model.frames", between(1, 256), fixed,
        "frames in a clip, the last of them the present one"),
    row(&R::model, &R::Model::frame_interval_s, "model.frame_interval_s", above(0, 60), fixed,
        "seconds between the frames of a clip, a multiple of the data set's frame time"),
    row(&R::model, &R::Model::height, "model.height", between(16, 2048), fixed,
        "rows of the image the model sees, after crop and resize"),
    row(&R::model, &R::Model::width, "model.width", between(16, 2048), fixed,
        "columns of the image the model sees"),
    row(&R::model, &R::Model::normalization, "model.normalization", one_of({"fixed", "per_image"}), fixed,
        "fixed: pixels 0..255 become -1..1; per_image: each image gets mean 0 and deviation 1"),
    row(&R::model, &R::Model::dropout, "model.dropout", below(0, 1), fixed,
        "share of activations dropped before the last layers while training"),
    row(&R::model, &R::Model::attention_width, "model.attention_width", between(8, 4096), fixed,
        "clip_transformer: numbers per frame; a multiple of attention_heads"),
    row(&R::model, &R::Model::attention_layers, "model.attention_layers", between(1, 64), fixed,
        "clip_transformer: layers of attention over time"),
    row(&R::model, &R::Model::attention_heads, "model.attention_heads", between(1, 64), fixed,
        "clip_transformer: heads per layer"),

    // of language models
    row(&R::language, &R::Language::vocabulary, "language.vocabulary", between(0, 1 << 24), fixed,
        "entries of the table; 0: as many as there are tokens"),
    row(&R::language, &R::Language::context, "language.context", between(2, 1 << 20), fixed,
        "tokens of a sequence in training"),
    row(&R::language, &R::Language::full_context, "language.full_context", between(0, 1 << 24), fixed,
        "grok, llama: tokens that the trained model takes at most, where that is more; 0: language.context"),
    row(&R::language, &R::Language::width, "language.width", between(8, 65536), fixed,
        "numbers of a token between layers"),
    row(&R::language, &R::Language::layers, "language.layers", between(1, 1024), fixed,
        "layers of attention and a network, or experts"),
    row(&R::language, &R::Language::heads, "language.heads", between(1, 1024), fixed,
        "query heads of a layer"),
    row(&R::language, &R::Language::key_heads, "language.key_heads", between(0, 1024), fixed,
        "grok, llama, qwen2: key and value heads, each for as many query heads; 0: as many as heads"),
    row(&R::language, &R::Language::head_width, "language.head_width", between(0, 4096), fixed,
        "grok, llama, qwen2: numbers of a head, even; 0: the width over the heads"),
    row(&R::language, &R::Language::hidden, "language.hidden", between(0, 1 << 20), fixed,
        "width inside a network, of one expert for grok; 0: 4 times the width for gpt, 8/3 of it for the others"),
    row(&R::language, &R::Language::experts, "language.experts", between(1, 4096), fixed,
        "grok: experts of a layer"),
    row(&R::language, &R::Language::active, "language.active", between(1, 4096), fixed,
        "grok: experts that see a token"),
    row(&R::language, &R::Language::epsilon, "language.epsilon", above(0, 1), fixed,
        "added to the mean square in norms"),
    row(&R::language, &R::Language::rotary_base, "language.rotary_base", above(1, 1e12), fixed,
        "grok, llama, qwen2: base of the rotary positions' angles"),
    row(&R::language, &R::Language::rotary_divisors, "language.rotary_divisors", between(1, 1e6), fixed,
        "grok, llama, qwen2: what the angle of each pair of numbers of a head is divided by, half as many as the head is wide, in models whose context was stretched; empty: nothing"),
    row(&R::language, &R::Language::embedding_multiplier, "language.embedding_multiplier", between(0, 1e6), fixed,
        "grok, llama: factor of a token's row of the table; 0: the root of the width for grok, 1 for llama"),
    row(&R::language, &R::Language::output_multiplier, "language.output_multiplier", between(0, 1e6), fixed,
        "grok, llama: factor of the logits; 0: that of Grok-1 for grok, 1 for llama"),
    row(&R::language, &R::Language::attention_multiplier, "language.attention_multiplier", between(0, 1e6), fixed,
        "grok, llama, qwen2: factor of the scores of attention; 0: 1 over the root of the head's width"),
    row(&R::language, &R::Language::soft_cap, "language.soft_cap", between(0, 1e6), fixed,
        "grok, llama, qwen2: what scores of attention are softly kept below; 0: that of Grok-1 for grok, none for the others"),
    row(&R::language, &R::Language::tied, "language.tied", any(), fixed,
        "grok, llama, qwen2: whether the output has the table of the tokens, too, or one of its own"),
    row(&R::language, &R::Language::z_loss, "language.z_loss", between(0, 1), fixed,
        "weight of the squared log-sum-exp of the logits in the loss, which keeps them small"),
    row(&R::language, &R::Language::balance_loss, "language.balance_loss", between(0, 10), fixed,
        "grok: weight of the loss that keeps the experts alike in use"),
    row(&R::language, &R::Language::adapter_rank, "language.adapter_rank", between(0, 1024), fixed,
        "0: all weights are trained; else low-rank adapters (LoRA) of all matrices but tables and experts, of this rank, and nothing else"),
    row(&R::language, &R::Language::adapter_scale, "language.adapter_scale", above(0, 1000), fixed,
        "factor of what an adapter adds (LoRA's alpha over its rank)"),
    row(&R::language, &R::Language::tokenizer, "language.tokenizer", given(), fixed,
        "characters: one token for each character of the text; else a file or folder with a tokenizer (tokenizer.json, tokenizer.model)"),
    row(&R::language, &R::Language::sample_tokens, "language.sample_tokens", between(0, 1e6), any_time,
        "tokens of a sample that is shown at every evaluation; 0: none"),

    // the data
    row(&R::data, &R::Data::path, "data.path", given(), any_time,
        "folder of the data set that `argosy ingest` wrote; for a language model a text file or a token store"),
    row(&R::data, &R::Data::more, "data.more", any(), fixed,
        "of a language model: further token stores, of the same tokens, that are learned beside data.path"),
    row(&R::data, &R::Data::weights, "data.weights", above(0, 1e12), fixed,
        "how often samples come from data.path and from each of data.more; empty: as often as each has tokens"),
    row(&R::data, &R::Data::camera, "data.camera", any(), fixed,
        "camera to learn from; empty: the only one"),
    row(&R::data, &R::Data::outputs, "data.outputs", given(), fixed,
        "numbers to predict, by name of column or of element"),
    row(&R::data, &R::Data::crop_top, "data.crop_top", between(0, kPixels), fixed,
        "source rows cut off at the top, before resizing"),
    row(&R::data, &R::Data::crop_bottom, "data.crop_bottom", between(0, kPixels), fixed,
        "source rows cut off at the bottom"),
    row(&R::data, &R::Data::crop_left, "data.crop_left", between(0, kPixels), fixed,
        "source columns cut off at the left"),
    row(&R::data, &R::Data::crop_right, "data.crop_right", between(0, kPixels), fixed,
        "source columns cut off at the right"),
    row(&R::data, &R::Data::holdout_share, "data.holdout_share", below(0, 1), fixed,
        "share of each recording's frames held out for evaluation: its last episodes, whole; of a text, its end"),
    row(&R::data, &R::Data::order, "data.order", one_of({"shuffled", "windowed", "sequential"}), fixed,
        "shuffled: every row anywhere; windowed: shuffled in a sliding window, each frame decoded once"),
    row(&R::data, &R::Data::window_groups, "data.window_groups", between(1, 1e6), fixed,
        "windowed: groups of pictures in the window"),
    row(&R::data, &R::Data::cache_megabytes, "data.cache_megabytes", between(0, kMegabytes), any_time,
        "decoded frames kept in memory"),
    row(&R::data, &R::Data::cache_file, "data.cache_file", any(), any_time,
        "file for decoded frames beyond that; empty: none"),
    row(&R::data, &R::Data::cache_file_megabytes, "data.cache_file_megabytes", between(1, kMegabytes), any_time,
        "size the cache file may reach"),
    row(&R::data, &R::Data::threads, "data.threads", between(1, 256), any_time,
        "threads that decode; what is delivered does not depend on it"),
    row(&R::data, &R::Data::prefetch, "data.prefetch", between(1, 64), any_time,
        "batches decoded ahead"),

    // random changes of training images
    row(&R::augmentation, &R::Augmentation::mirror, "augmentation.mirror", between(0, 1), fixed,
        "probability of a left-right flip"),
    row(&R::augmentation, &R::Augmentation::mirror_negates, "augmentation.mirror_negates", any(), fixed,
        "outputs that change sign with the flip"),
    row(&R::augmentation, &R::Augmentation::shift, "augmentation.shift", between(0, 0.5), fixed,
        "largest shift, as share of width and height"),
    row(&R::augmentation, &R::Augmentation::brightness, "augmentation.brightness", between(0, 1), fixed,
        "largest change, as share of the full range"),
    row(&R::augmentation, &R::Augmentation::contrast, "augmentation.contrast", between(0, 1), fixed,
        "largest change of the factor around 1"),
    row(&R::augmentation, &R::Augmentation::noise, "augmentation.noise", between(0, 128), fixed,
        "standard deviation of pixel noise, in grey levels"),

    // the run
    row(&R::training, &R::Training::steps, "training.steps", between(0, kSteps), any_time,
        "optimizer steps in all; 0: as many as training.epochs asks for"),
    row(&R::training, &R::Training::epochs, "training.epochs", above(0, 1e6), any_time,
        "passes over the training episodes or the text, where steps is 0"),
    row(&R::training, &R::Training::batch_size, "training.batch_size", between(1, 65536), fixed,
        "samples (for a language model sequences) in memory at once; in a step, too, unless training.accumulate is more than 1"),
    row(&R::training, &R::Training::accumulate, "training.accumulate", between(1, 65536), fixed,
        "batches whose gradients are added up for one optimizer step: that of a batch so many times as large, in the memory of one"),
    row(&R::training, &R::Training::seed, "training.seed", between(0, 0x1p53), fixed,
        "names all random numbers of the run"),
    row(&R::training, &R::Training::start_from, "training.start_from", any(), fixed,
        "folder of a run of the same model, whose last weights this one starts from; or a language model (a GGUF file, a Hugging Face folder, a name), which then decides name and sizes; empty: from random ones"),
    row(&R::training, &R::Training::error_limit, "training.error_limit", between(0, 1e6), fixed,
        "error, in deviations of the output, from which the loss grows in a straight line (Huber); 0: squared everywhere"),
    row(&R::training, &R::Training::precision, "training.precision", one_of({"f32", "bf16"}), fixed,
        "number format of activations and products; bf16: weights, their sums and what is sensitive stay f32 (docs/ops.md)"),
    row(&R::training, &R::Training::log_every_steps, "training.log_every_steps", between(1, kSteps), any_time,
        "steps between two values of the loss in the event file"),
    row(&R::training, &R::Training::evaluate_every_steps, "training.evaluate_every_steps", between(0, kSteps), any_time,
        "steps between evaluations on what is held out; 0: at the end alone"),
    row(&R::training, &R::Training::checkpoint_every_steps, "training.checkpoint_every_steps", between(0, kSteps), any_time,
        "steps between checkpoints; 0: at the end alone"),
    row(&R::training, &R::Training::keep_checkpoints, "training.keep_checkpoints", between(1, 1e6), any_time,
        "newest checkpoints kept; the best one is always kept"),
    row(&R::training, &R::Training::skip_limit, "training.skip_limit", between(0, 1e6), any_time,
        "steps in a row that may be skipped because loss or gradient is not finite; one more ends the run"),

    row(&R::memory, &R::Memory::limit, "memory.limit", any(), any_time,
        "what the training step may take, e.g. \"2 GB\" or \"500 MB\": what costs least is computed again instead of kept until it fits; the results stay the same bit for bit; empty: no limit"),

    // the optimizer
    row(&R::optimizer, &R::Optimizer::name, "optimizer.name", one_of({"adamw", "sgd"}), fixed,
        "adamw, or sgd with momentum"),
    row(&R::optimizer, &R::Optimizer::learning_rate, "optimizer.learning_rate", above(0, 100), fixed,
        "highest learning rate of the schedule"),
    row(&R::optimizer, &R::Optimizer::weight_decay, "optimizer.weight_decay", between(0, 10), fixed,
        "decoupled weight decay of matrices and kernels"),
    row(&R::optimizer, &R::Optimizer::beta1, "optimizer.beta1", below(0, 1), fixed,
        "adamw: decay of the mean gradient"),
    row(&R::optimizer, &R::Optimizer::beta2, "optimizer.beta2", below(0, 1), fixed,
        "adamw: decay of the mean squared gradient"),
    row(&R::optimizer, &R::Optimizer::epsilon, "optimizer.epsilon", above(0, 1), fixed,
        "adamw: added to the denominator"),
    row(&R::optimizer, &R::Optimizer::momentum, "optimizer.momentum", below(0, 1), fixed,
        "sgd: decay of the velocity"),
    row(&R::optimizer, &R::Optimizer::clip_norm, "optimizer.clip_norm", between(0, 1e9), fixed,
        "gradients are scaled down to this norm; 0: never"),
    row(&R::optimizer, &R::Optimizer::state, "optimizer.state", one_of({"f32", "bf16", "int8"}), fixed,
        "format of the optimizer's own numbers (see above): 4, 2 or 1 bytes for each kept number"),

    row(&R::schedule, &R::Schedule::name, "schedule.name", one_of({"constant", "cosine"}), fixed,
        "learning rate after the warm-up"),
    row(&R::schedule, &R::Schedule::warmup_steps, "schedule.warmup_steps", between(0, kSteps), fixed,
        "steps over which the learning rate rises in a line"),
    row(&R::schedule, &R::Schedule::final_share, "schedule.final_share", between(0, 1), fixed,
        "cosine: learning rate of the last step, as share of the highest"),

    row(&R::average, &R::Average::decay, "average.decay", below(0, 1), fixed,
        "moving average of the weights, used for evaluation; 0: none"),
  };
}
// clang-format on

std::string toml_string(std::string_view text) {
  std::string toml = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      toml += {'\\', c};
    else if (byte < 0x20 || byte == 0x7f)
      toml += fmt::format("\\u{:04x}", byte);
    else
      toml += c;
  }
  return toml + '"';
}

std::string written(int64_t integer) { return fmt::format("{}", integer); }
std::string written(bool truth) { return truth ? "true" : "false"; }
std::string written(const std::string& text) { return toml_string(text); }
std::string written(double number) {
  const std::string text = fmt::format("{}", number);  // the shortest that reads back the same
  return std::isfinite(number) && text.find_first_of(".e") == std::string::npos ? text + ".0"
                                                                                : text;
}
template <typename Element>
std::string written(const std::vector<Element>& list) {
  Texts elements;
  for (const Element& element : list) elements.push_back(written(element));
  return fmt::format("[{}]", fmt::join(elements, ", "));
}

}  // namespace

const std::vector<Key>& key_table() {
  static const std::vector<Key> table = make_table();
  return table;
}

std::string text_of(const Limits& limits) {
  if (!limits.choices.empty()) return fmt::format("one of {}", fmt::join(limits.choices, ", "));
  if (limits.required) return "not empty";
  if (!std::isfinite(limits.low)) return "";
  if (limits.low_open)
    return fmt::format("more than {:.16g}, at most {:.16g}", limits.low, limits.high);
  if (limits.high_open)
    return fmt::format("from {:.16g} to less than {:.16g}", limits.low, limits.high);
  return fmt::format("from {:.16g} to {:.16g}", limits.low, limits.high);
}

std::optional<std::string> broken_limit(const Key& key, const Value& value) {
  const Limits& limits = key.limits;
  bool legal = true;
  const auto inside = [&](double number) {
    return (limits.low_open ? number > limits.low : number >= limits.low) &&
           (limits.high_open ? number < limits.high : number <= limits.high);
  };
  if (const auto* integer = std::get_if<int64_t>(&value))
    legal = inside(static_cast<double>(*integer));
  if (const auto* number = std::get_if<double>(&value)) legal = inside(*number);  // false for NaN
  if (const auto* numbers = std::get_if<Numbers>(&value))
    legal = std::all_of(numbers->begin(), numbers->end(), inside);
  if (const auto* text = std::get_if<std::string>(&value)) {
    const Texts& choices = limits.choices;
    legal = choices.empty() ? !(limits.required && text->empty())
                            : std::find(choices.begin(), choices.end(), *text) != choices.end();
  }
  if (const auto* texts = std::get_if<Texts>(&value)) {
    legal = !(limits.required && texts->empty());
    for (size_t i = 0; i < texts->size(); ++i) {
      if ((*texts)[i].empty()) return fmt::format("{} has an empty name in it", key.name);
      if (std::find(texts->begin(), texts->begin() + i, (*texts)[i]) != texts->begin() + i)
        return fmt::format("{} names {} twice", key.name, (*texts)[i]);
    }
  }
  if (legal) return std::nullopt;
  return fmt::format("{} is {} but must be {}", key.name, toml_of(value), text_of(limits));
}

std::string type_of(const Value& value) {
  constexpr const char* kNames[] = {"integer",       "number",        "text",
                                    "true or false", "list of texts", "list of numbers"};
  return kNames[value.index()];
}

std::string toml_of(const Value& value) {
  return std::visit([](const auto& held) { return written(held); }, value);
}

}  // namespace argosy::run
