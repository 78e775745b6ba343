#include "run/recipe.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <functional>
#include <sstream>

#include "base/byte_size.h"
#include "base/error.h"
#include "base/nearest.h"
#include "models/language.h"
#include "run/recipe_keys.h"

namespace argosy::run {
namespace {

constexpr size_t kLongestFile = 1 << 20;

std::string at_line(const std::string& name, const toml::source_region& region) {
  return region.begin ? fmt::format("{}, line {}", name, region.begin.line) : name;
}

const Key* find_key(std::string_view name) {
  const auto& table = key_table();
  const auto key = std::find_if(table.begin(), table.end(),
                                [&](const Key& candidate) { return candidate.name == name; });
  return key == table.end() ? nullptr : &*key;
}

/// For "batch_size" or "trainig.batch_size": a key of that last name in another section comes
/// before one that is spelt like the whole.
std::string nearest_key(const std::string& name) {
  const std::string last = "." + name.substr(name.rfind('.') + 1);
  std::vector<std::string> names, same_last;
  for (const Key& key : key_table()) {
    names.push_back(key.name);
    if (key.name.ends_with(last)) same_last.push_back(key.name);
  }
  return nearest_name(name, same_last.empty() ? names : same_last);
}

const Key& known_key(const std::string& name, const std::string& where) {
  if (const Key* key = find_key(name)) return *key;
  throw Error(
      {.what = fmt::format("there is no key {}", name.substr(0, 100)),
       .where = where,
       .fix = fmt::format("did you mean {}? docs/recipes.md lists all keys", nearest_key(name))});
}

std::string toml_type(const toml::node& node) {
  std::ostringstream name;
  name << node.type();
  return name.str();
}

std::string shown(const toml::node& node) {
  std::ostringstream text;
  node.visit([&](const auto& value) {
    if constexpr (toml::is_value<decltype(value)>)
      text << value;
    else
      text << "of type " << node.type();
  });
  return text.str().substr(0, 100);
}

template <typename Element>
std::optional<Value> convert_list(const toml::node& node);

/// The node as a value of the key's type; nothing if it is of another type.
std::optional<Value> convert(const toml::node& node, const Value& like) {
  if (std::holds_alternative<int64_t>(like) && node.is_integer())
    return Value(node.as_integer()->get());
  if (std::holds_alternative<double>(like) && node.is_integer())
    return Value(static_cast<double>(node.as_integer()->get()));
  if (std::holds_alternative<double>(like) && node.is_floating_point())
    return Value(node.as_floating_point()->get());
  if (std::holds_alternative<std::string>(like) && node.is_string())
    return Value(node.as_string()->get());
  if (std::holds_alternative<bool>(like) && node.is_boolean())
    return Value(node.as_boolean()->get());
  if (std::holds_alternative<Texts>(like)) return convert_list<std::string>(node);
  if (std::holds_alternative<Numbers>(like)) return convert_list<double>(node);
  return std::nullopt;
}

template <typename Element>
std::optional<Value> convert_list(const toml::node& node) {
  if (!node.is_array()) return std::nullopt;
  std::vector<Element> list;
  for (const toml::node& element : *node.as_array()) {
    const auto value = convert(element, Value(Element()));
    if (!value) return std::nullopt;
    list.push_back(std::get<Element>(*value));
  }
  return Value(std::move(list));
}

void set(Recipe& recipe, const Key& key, const Value& value, const std::string& where) {
  if (const auto broken = broken_limit(key, value)) {
    const std::string limits = text_of(key.limits);
    throw Error({.what = *broken,
                 .where = where,
                 .fix = limits.empty() ? fmt::format("correct {}", key.name)
                                       : fmt::format("give a value {}", limits)});
  }
  key.set(recipe, value);
}

void set(Recipe& recipe, const Key& key, const toml::node& node, const std::string& where) {
  const Value like = key.get(recipe);
  const auto value = convert(node, like);
  if (!value)
    throw Error({.what = fmt::format("{} is {} ({}) but must be of type {}", key.name, shown(node),
                                     toml_type(node), type_of(like)),
                 .where = where,
                 .fix = fmt::format("write it like {} = {}", key.name, toml_of(like))});
  set(recipe, key, *value, where);
}

toml::table parse(std::string_view text, const std::string& name) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw Error({.what = fmt::format("this is not TOML: {}", error.description()),
                 .where = at_line(name, error.source()),
                 .fix = "correct the line; recipes/ holds examples"});
  }
}

void read_table(Recipe& recipe, const toml::table& table, const std::string& prefix,
                const std::string& name) {
  for (const auto& [name_of_key, node] : table) {
    const std::string key = prefix + std::string(name_of_key.str());
    const std::string where = at_line(name, name_of_key.source());
    if (node.is_table() && prefix.empty())
      read_table(recipe, *node.as_table(), key + ".", name);
    else
      set(recipe, known_key(key, where), node, where);
  }
  if (table.empty() &&
      !prefix.empty()) {  // an empty section has no key that would find a wrong name
    const auto& keys = key_table();
    if (std::none_of(keys.begin(), keys.end(),
                     [&](const Key& key) { return key.name.starts_with(prefix); }))
      known_key(prefix.substr(0, prefix.size() - 1), at_line(name, table.source()));
  }
}

/// The text as one TOML value; nothing if it is none.
std::optional<toml::table> as_toml(std::string_view value) {
  try {
    toml::table table = toml::parse(fmt::format("value = {}", value));
    if (table.size() == 1) return table;
  } catch (const toml::parse_error&) {
  }
  return std::nullopt;
}

void apply_override(Recipe& recipe, const std::string& text) {
  const size_t equals = text.find('=');
  const std::string where = fmt::format("command line, {}", text.substr(0, 200));
  if (equals == std::string::npos || equals == 0)
    throw Error({.what = "this is not a setting",
                 .where = where,
                 .fix = "write settings as section.key=value, e.g. training.batch_size=32"});
  const Key& key = known_key(text.substr(0, equals), where);
  const std::string bare = text.substr(equals + 1);
  const Value like = key.get(recipe);
  const auto table = as_toml(bare);
  if (table && convert(*table->get("value"), like))
    return set(recipe, key, *table->get("value"), where);

  // not TOML of this type: text without quotes, where the key takes text
  if (!as_toml(toml_of(Value(bare))))
    throw Error({.what = fmt::format("the value of {} is not UTF-8", key.name),
                 .where = "command line",
                 .fix = "give it in UTF-8"});
  if (std::holds_alternative<std::string>(like)) return set(recipe, key, Value(bare), where);
  if (std::holds_alternative<Texts>(like) && !bare.starts_with('[')) {
    Texts parts;
    std::istringstream rest(bare);
    for (std::string part; std::getline(rest, part, ',');) parts.push_back(part);
    return set(recipe, key, Value(parts), where);
  }
  const toml::value<std::string> node(bare);
  set(recipe, key, table ? *table->get("value") : node, where);
}

using Wrong = std::function<void(std::string what, std::string fix)>;

void check_language(const Recipe& recipe, const Wrong& wrong) {
  const Recipe::Language& l = recipe.language;
  const int64_t key_heads = l.key_heads > 0 ? l.key_heads : l.heads;
  if (l.head_width == 0 && l.width % l.heads != 0)
    wrong(
        fmt::format("language.width is {}, not a multiple of language.heads, {}", l.width, l.heads),
        "choose a width that the heads divide");
  if (l.heads % key_heads != 0)
    wrong(fmt::format("language.heads is {}, not a multiple of language.key_heads, {}", l.heads,
                      key_heads),
          "choose key heads that divide the heads");
  const int64_t head = l.head_width > 0 ? l.head_width : l.width / l.heads;
  if (recipe.model.name != "gpt" && head % 2 != 0)
    wrong(fmt::format("a head has {} numbers, which must be even", head),
          "give language.head_width an even number");
  if (recipe.model.name == "gpt" && (l.head_width > 0 || key_heads != l.heads))
    wrong("gpt has as many key heads as heads, and their width is the model's over them",
          "leave out language.key_heads and language.head_width");
  if (!l.rotary_divisors.empty() && std::ssize(l.rotary_divisors) != head / 2)
    wrong(fmt::format("language.rotary_divisors has {} numbers, a head turns {} pairs",
                      l.rotary_divisors.size(), head / 2),
          "give as many numbers, or leave them out");
  if (recipe.model.name == "gpt" &&
      (!l.tied || !l.rotary_divisors.empty() || l.embedding_multiplier > 0 ||
       l.output_multiplier > 0 || l.attention_multiplier > 0 || l.soft_cap > 0))
    wrong("gpt has one table, positions that do not turn, and no multipliers",
          "leave out language.tied, language.rotary_divisors, language.soft_cap and multipliers");
  if (recipe.model.name == "gpt" && l.full_context > l.context)
    wrong("gpt has a table of positions, which knows no more of them than it was trained with",
          "leave out language.full_context");
  if (!recipe.data.weights.empty() && recipe.data.weights.size() != 1 + recipe.data.more.size())
    wrong(fmt::format("data.weights has {} numbers for data.path and {} of data.more",
                      recipe.data.weights.size(), recipe.data.more.size()),
          "give one for each, or none");
  if (l.active > l.experts)
    wrong(fmt::format("language.active is {}, but there are {} experts", l.active, l.experts),
          "choose at most language.experts");
  const double tokens =
                   static_cast<double>(l.context) * static_cast<double>(recipe.training.batch_size),
               choices = tokens * static_cast<double>(l.active);
  if (choices >= 0x1p24)
    wrong(fmt::format("a batch of {} sequences of {} tokens is {:.0f} choices of experts, the most "
                      "is {:.0f}",
                      recipe.training.batch_size, l.context, choices, 0x1p24 - 1),
          "make training.batch_size or language.context smaller; training.accumulate adds batches "
          "up");
}

void check_policy(const Recipe& recipe, const Wrong& wrong) {
  const Recipe::Model& model = recipe.model;
  if (model.name == "clip_transformer" && model.attention_width % model.attention_heads != 0)
    wrong(fmt::format("model.attention_width is {}, not a multiple of model.attention_heads, {}",
                      model.attention_width, model.attention_heads),
          "choose a width that the heads divide");
  const double bytes = 3.0 * static_cast<double>(model.height) * static_cast<double>(model.width) *
                       static_cast<double>(model.frames) *
                       static_cast<double>(recipe.training.batch_size);
  constexpr double kLargestBatch = 0x1p31;
  if (bytes > kLargestBatch)
    wrong(fmt::format(
              "a batch of {} clips of {} frames of {} x {} has {:.1f} GiB but may have {:.0f} GiB",
              recipe.training.batch_size, model.frames, model.height, model.width, bytes / 0x1p30,
              kLargestBatch / 0x1p30),
          "make training.batch_size, model.frames or the image smaller");
}

/// What no single key can tell.
void check_together(const Recipe& recipe, const std::string& name) {
  const Wrong wrong = [&](std::string what, std::string fix) {
    throw Error({.what = std::move(what), .where = name, .fix = std::move(fix)});
  };
  for (const Key& key : key_table())  // keys that must be given and were not
    if (const auto broken = broken_limit(key, key.get(recipe)))
      wrong(fmt::format("{} is not given", key.name),
            fmt::format("add {}=... to the command, or to the recipe", key.name));
  read_byte_size(recipe.memory.limit, name + ", memory.limit");
  (is_language_recipe(recipe) ? check_language : check_policy)(recipe, wrong);
}

}  // namespace

bool is_language_recipe(const Recipe& recipe) {
  return models::is_language_model(recipe.model.name);
}

Recipe parse_recipe(std::string_view text, const std::string& name,
                    std::span<const std::string> overrides) {
  Recipe recipe;
  read_table(recipe, parse(text, name), "", name);
  for (const std::string& setting : overrides) apply_override(recipe, setting);
  check_together(recipe, name);
  return recipe;
}

Recipe load_recipe(const Path& file, std::span<const std::string> overrides) {
  return parse_recipe(read_file(file, kLongestFile), file.string(), overrides);
}

std::string to_toml(const Recipe& recipe) {
  std::string text, section;
  for (const Key& key : key_table()) {
    const size_t dot = key.name.find('.');
    if (const std::string own = key.name.substr(0, dot); own != section) {
      text += fmt::format("{}[{}]\n", section.empty() ? "" : "\n", own);
      section = own;
    }
    text += fmt::format("{} = {}\n", key.name.substr(dot + 1), toml_of(key.get(recipe)));
  }
  return text;
}

std::vector<RecipeKey> recipe_keys() {
  std::vector<RecipeKey> keys;
  const Recipe defaults;
  for (const Key& key : key_table()) {
    const Value value = key.get(defaults);
    keys.push_back({.name = key.name,
                    .type = type_of(value),
                    .default_value = broken_limit(key, value) ? "" : toml_of(value),
                    .limits = text_of(key.limits),
                    .meaning = key.meaning,
                    .fixed = key.fixed});
  }
  return keys;
}

std::string recipe_keys_as_markdown() {
  std::string text =
      "| key | type | default | limits | while a run lasts | meaning "
      "|\n|---|---|---|---|---|---|\n";
  for (const RecipeKey& key : recipe_keys())
    text += fmt::format(
        "| `{}` | {} | {} | {} | {} | {} |\n", key.name, key.type,
        key.default_value.empty() ? "must be given" : fmt::format("`{}`", key.default_value),
        key.limits, key.fixed ? "fixed" : "may change", key.meaning);
  return text;
}

std::vector<RecipeDifference> differences(const Recipe& first, const Recipe& second) {
  std::vector<RecipeDifference> found;
  for (const Key& key : key_table())
    if (const Value a = key.get(first), b = key.get(second); a != b)
      found.push_back({key.name, toml_of(a), toml_of(b), key.fixed});
  return found;
}

}  // namespace argosy::run
