#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace argosy::run {

/// Everything that decides a training run, section by section as in the TOML file. What each key
/// means and which values it may have stands in one table in recipe.cpp, which docs/recipes.md
/// shows.
struct Recipe {
  struct Model {
    std::string name = "pilotnet";
    int64_t frames = 1;
    double frame_interval_s = 0.1;
    int64_t height = 64, width = 128;
    std::string normalization = "fixed";
    double dropout = 0.1;
    int64_t attention_width = 128, attention_layers = 2, attention_heads = 4;
    bool operator==(const Model&) const = default;
  } model;

  /// Sizes and constants of a language model, see models::LanguageOptions.
  struct LanguageSizes {
    int64_t vocabulary = 0;
    int64_t full_context = 0;
    int64_t width = 256, layers = 4;
    int64_t heads = 4, key_heads = 0, head_width = 0;
    int64_t hidden = 0;
    int64_t experts = 8, active = 2;
    double epsilon = 1e-5, rotary_base = 10000;
    std::vector<double> rotary_divisors;
    double embedding_multiplier = 0, output_multiplier = 0, attention_multiplier = 0;
    double soft_cap = 0;
    bool tied = true;
    bool operator==(const LanguageSizes&) const = default;
  };
  struct Language : LanguageSizes {
    int64_t context = 256;
    double z_loss = 0, balance_loss = 0.01;
    int64_t adapter_rank = 0;
    double adapter_scale = 2;
    std::string tokenizer = "characters";
    int64_t sample_tokens = 100;
    bool operator==(const Language&) const = default;
  } language;

  struct Data {
    std::string path;
    std::string camera;
    std::vector<std::string> outputs = {"user/angle", "user/throttle"};
    int64_t crop_top = 0, crop_bottom = 0, crop_left = 0, crop_right = 0;
    std::vector<std::string> more;
    std::vector<double> weights;
    double holdout_share = 0.2;
    std::string order = "shuffled";
    int64_t window_groups = 256;
    int64_t cache_megabytes = 256;
    std::string cache_file;
    int64_t cache_file_megabytes = 4096;
    int64_t threads = 2;
    int64_t prefetch = 2;
    bool operator==(const Data&) const = default;
  } data;

  struct Augmentation {
    double mirror = 0;
    std::vector<std::string> mirror_negates = {"user/angle"};
    double shift = 0, brightness = 0, contrast = 0, noise = 0;
    bool operator==(const Augmentation&) const = default;
  } augmentation;

  struct Training {
    int64_t steps = 0;
    double epochs = 10;
    int64_t batch_size = 64;
    int64_t accumulate = 1;
    int64_t seed = 1;
    std::string start_from;
    double error_limit = 0;
    std::string precision = "f32";
    int64_t log_every_steps = 10, evaluate_every_steps = 200, checkpoint_every_steps = 200;
    int64_t keep_checkpoints = 3;
    int64_t skip_limit = 5;
    bool operator==(const Training&) const = default;
  } training;

  struct Memory {
    std::string limit;
    bool operator==(const Memory&) const = default;
  } memory;

  struct Optimizer {
    std::string name = "adamw";
    double learning_rate = 1e-3;
    double weight_decay = 1e-4;
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    double momentum = 0.9;
    double clip_norm = 1.0;
    std::string state = "f32";
    bool operator==(const Optimizer&) const = default;
  } optimizer;

  struct Schedule {
    std::string name = "cosine";
    int64_t warmup_steps = 100;
    double final_share = 0.01;
    bool operator==(const Schedule&) const = default;
  } schedule;

  struct Average {
    double decay = 0;
    bool operator==(const Average&) const = default;
  } average;

  bool operator==(const Recipe&) const = default;
};

/// Whether the recipe trains a language model and not a policy.
bool is_language_recipe(const Recipe& recipe);

/// Reads a recipe and applies overrides "section.key=value" on top. A value is TOML; what is not
/// TOML is taken as text, so quotes are not needed. Keys left out have their defaults.
///
/// throws Error: no such file, not TOML, unknown section or key (the nearest is named), wrong type,
///        value out of its limits, keys that contradict each other; with file, line and key
Recipe load_recipe(const Path& file, std::span<const std::string> overrides = {});

/// The same from text; `name` stands for the file in errors.
Recipe parse_recipe(std::string_view text, const std::string& name,
                    std::span<const std::string> overrides = {});

/// The recipe with every key, as TOML; reading it gives an equal recipe.
std::string to_toml(const Recipe& recipe);

/// One key of the table, for the documentation.
struct RecipeKey {
  std::string name;  ///< "training.batch_size"
  std::string type;  ///< "integer", "number", "text", "true or false", "list of texts", ...
  std::string default_value;  ///< as TOML; "" where the key must be given
  std::string limits;         ///< "from 1 to 65536"; "" if none
  std::string meaning;
  bool fixed = true;  ///< a run that has begun cannot go on with another value
};
std::vector<RecipeKey> recipe_keys();

/// The table of docs/recipes.md.
std::string recipe_keys_as_markdown();

/// A key whose value differs between two recipes, both values as TOML.
struct RecipeDifference {
  std::string key, first, second;
  bool fixed = true;  ///< see RecipeKey
};
std::vector<RecipeDifference> differences(const Recipe& first, const Recipe& second);

}  // namespace argosy::run
