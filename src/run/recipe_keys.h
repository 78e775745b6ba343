#pragma once
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "run/recipe.h"

/// The table of keys behind recipe.h; only recipe.cpp uses it.
namespace argosy::run {

using Texts = std::vector<std::string>;
using Numbers = std::vector<double>;
using Value = std::variant<int64_t, double, std::string, bool, Texts, Numbers>;

/// What a value may be. Numbers, alone and in lists: low to high, an open end excluded. Texts: one
/// of the choices where there are any, not empty where required.
struct Limits {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false, high_open = false;
  Texts choices;
  bool required = false;
};

struct Key {
  std::string name;
  Limits limits;
  std::string meaning;
  bool fixed;
  std::function<Value(const Recipe&)> get;
  std::function<void(Recipe&, const Value&)> set;  ///< the value has the type that get() returns
};

const std::vector<Key>& key_table();

/// "from 1 to 65536", "more than 0, at most 10", "one of a, b"; "" if anything goes.
std::string text_of(const Limits& limits);

/// Why `value` breaks the key's limits, or nothing.
std::optional<std::string> broken_limit(const Key& key, const Value& value);

/// "integer", "number", "text", "true or false", "list of texts", "list of numbers".
std::string type_of(const Value& value);
std::string toml_of(const Value& value);

}  // namespace argosy::run
