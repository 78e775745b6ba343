#include "serve/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "serve/json_formats.h"
#include "serve/json_text.h"

namespace argosy::serve {
namespace {

using Node = JsonGrammar::Node;
using Kind = JsonGrammar::Kind;

// What a schema may unfold to.
constexpr size_t kMaxNodes = 10'000, kMaxTextBytes = 1 << 20;
constexpr int kMaxLevels = 200;

/// What only describes.
const std::set<std::string> kAnnotations = {
    "$schema", "$id",           "$anchor",         "$comment",  "$defs",      "definitions",
    "title",   "description",   "default",         "example",   "examples",   "readOnly",
    "format",  "discriminator", "contentEncoding", "writeOnly", "deprecated", "contentMediaType"};

const std::set<std::string> kLimits = {"minimum", "maximum", "exclusiveMinimum",
                                       "exclusiveMaximum"};

/// The keywords that say more about one type.
const std::map<std::string, std::set<std::string>> kTypes = {
    {"object", {"properties", "required", "additionalProperties"}},
    {"array", {"items", "minItems", "maxItems"}},
    {"string", {"minLength", "maxLength"}},
    {"number", kLimits},
    {"integer", kLimits},
    {"boolean", {}},
    {"null", {}},
};

/// Keywords whose value is a list of schemas to choose from. Whether exactly one of them is met is
/// not looked at; of allOf, which has no choice, there may be one.
constexpr std::array kChoices = {"anyOf", "oneOf", "allOf"};

class Compiler {
 public:
  Compiler(const Json& document, JsonGrammar& grammar, std::string where)
      : document_(document), grammar_(grammar), where_(std::move(where)) {}

  int32_t compile() {
    by_pointer_["#"] = add({.kind = Kind::any_of});
    fill(by_pointer_["#"], compile(document_, ""));
    return by_pointer_["#"];
  }

 private:
  [[noreturn]] void refuse(const std::string& path, const std::string& what,
                           const std::string& fix) const {
    throw Error({.what = what, .where = where_ + path, .fix = fix});
  }

  int32_t add(Node node) {
    if (grammar_.nodes.size() >= kMaxNodes)
      refuse("", fmt::format("the schema has more than {} parts", kMaxNodes), "make it smaller");
    return grammar_.add(std::move(node));
  }
  /// Points a place that was named before it was known to what it is.
  void fill(int32_t place, int32_t node) { grammar_.nodes[place].parts = {node}; }

  /// A text that the grammar holds.
  const std::string& counted(const std::string& text) {
    grammar_.text_bytes += text.size() + sizeof(std::string);
    if (grammar_.text_bytes > kMaxTextBytes)
      refuse("",
             fmt::format("the schema's names and values have more than {} bytes", kMaxTextBytes),
             "make it smaller");
    return text;
  }

  int32_t literals(std::vector<std::string> texts) {
    for (const std::string& text : texts) counted(text);
    std::sort(texts.begin(), texts.end());
    texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
    return add({.kind = Kind::literals, .literals = std::move(texts)});
  }

  /// Any JSON value.
  int32_t any() {
    if (any_ != JsonGrammar::kNone) return any_;
    any_ = add({.kind = Kind::any_of});
    const int32_t object = add({.kind = Kind::object, .inner = any_});
    const int32_t array = add({.kind = Kind::array, .inner = any_});
    const int32_t string = add({.kind = Kind::string}), number = add({.kind = Kind::number});
    const int32_t words = literals({"true", "false", "null"});
    grammar_.nodes[any_].parts = {object, array, string, number, words};
    return any_;
  }

  int32_t compile(const Json& schema, const std::string& path) {
    if (++level_ > kMaxLevels)
      refuse("", fmt::format("the schema is more than {} levels deep", kMaxLevels),
             "let fewer references follow each other");
    const int32_t node = compile_here(schema, path);
    --level_;
    return node;
  }

  int32_t compile_here(const Json& schema, const std::string& path) {
    if (schema.is_boolean() && schema.get<bool>()) return any();
    if (!schema.is_object())
      refuse(path, fmt::format("a schema is {}", shown(schema)), "make it a JSON object");
    if (schema.contains("$ref")) return reference(schema, path);
    for (const char* keyword : kChoices)
      if (schema.contains(keyword)) return choice(keyword, schema, path);
    if (schema.contains("const") || schema.contains("enum")) return enumeration(schema, path);
    return typed(schema, path);
  }

  void allow_only(const Json& schema, const std::string& path,
                  const std::set<std::string>& keywords) const {
    for (const auto& [keyword, value] : schema.items())
      if (!keywords.contains(keyword) && !kAnnotations.contains(keyword))
        refuse(path, fmt::format("the schema's keyword {} is not supported here", shown(keyword)),
               "leave it out, or say it in the prompt");
  }

  int32_t reference(const Json& schema, const std::string& path) {
    allow_only(schema, path, {"$ref"});
    const Json& target = schema["$ref"];
    if (!target.is_string() || !target.get_ref<const std::string&>().starts_with('#'))
      refuse(path + "/$ref", "it is not a place in this schema", "write it as \"#/$defs/NAME\"");
    const auto& pointer = target.get_ref<const std::string&>();
    if (const auto known = by_pointer_.find(pointer); known != by_pointer_.end())
      return known->second;
    const Json* found = nullptr;
    try {
      found = &document_.at(Json::json_pointer(pointer.substr(1)));
    } catch (const Json::exception&) {
      refuse(path + "/$ref", fmt::format("there is no {} in the schema", shown(pointer)),
             "define it below $defs");
    }
    const int32_t place = by_pointer_[pointer] = add({.kind = Kind::any_of});
    fill(place, compile(*found, pointer.substr(1)));
    return place;
  }

  int32_t choice(const std::string& keyword, const Json& schema, const std::string& path) {
    allow_only(schema, path, {keyword});
    const Json& choices = schema[keyword];
    const std::string here = fmt::format("{}/{}", path, keyword);
    if (!choices.is_array() || choices.empty())
      refuse(here, "it is no list of schemas", "give it at least one schema");
    if (keyword == "allOf" && choices.size() > 1)
      refuse(here, fmt::format("it has {} schemas", choices.size()), "make one schema of them");
    Node node{.kind = Kind::any_of};
    std::vector<std::string> texts;  // of constants, which are one node
    for (size_t i = 0; i < choices.size(); ++i) {
      const int32_t part = compile(choices[i], fmt::format("{}/{}", here, i));
      const Node& compiled = grammar_.nodes[part];
      if (compiled.kind == Kind::literals)
        texts.insert(texts.end(), compiled.literals.begin(), compiled.literals.end());
      else
        node.parts.push_back(part);
    }
    if (!texts.empty()) node.parts.push_back(literals(std::move(texts)));
    return add(std::move(node));
  }

  /// The types that a schema names, those whose keywords it has, or none: any.
  std::vector<std::string> types(const Json& schema, const std::string& path) const {
    std::vector<std::string> names;
    if (schema.contains("type")) {
      const Json& type = schema["type"];
      const Json list = type.is_array() ? type : Json::array({type});
      for (const Json& name : list) {
        if (!name.is_string() || !kTypes.contains(name.get<std::string>()))
          refuse(path + "/type", fmt::format("there is no type {}", shown(name)),
                 "it may be object, array, string, number, integer, boolean or null");
        names.push_back(name.get<std::string>());
      }
      if (names.empty()) refuse(path + "/type", "it is an empty list", "name a type");
      return names;
    }
    for (const auto& [name, keywords] : kTypes)
      if (std::any_of(keywords.begin(), keywords.end(),
                      [&](const std::string& keyword) { return schema.contains(keyword); }))
        names.push_back(name);
    return names;
  }

  static bool is_of(const Json& value, const std::string& type) {
    return type == "object"    ? value.is_object()
           : type == "array"   ? value.is_array()
           : type == "string"  ? value.is_string()
           : type == "number"  ? value.is_number()
           : type == "integer" ? value.is_number_integer()
           : type == "boolean" ? value.is_boolean()
                               : value.is_null();
  }

  int32_t enumeration(const Json& schema, const std::string& path) {
    const bool one = schema.contains("const");
    allow_only(schema, path, {one ? "const" : "enum", "type"});
    const Json values = one ? Json::array({schema["const"]}) : schema["enum"];
    if (!values.is_array()) refuse(path + "/enum", "it is no list", "give it a list of values");
    const std::vector<std::string> allowed = types(schema, path);
    std::vector<std::string> texts;
    for (const Json& value : values)
      if (allowed.empty() ||
          std::any_of(allowed.begin(), allowed.end(),
                      [&](const std::string& type) { return is_of(value, type); }))
        texts.push_back(to_text(value));
    if (texts.empty())
      refuse(path, "no value is left to choose from", "give a value of the schema's type");
    return literals(std::move(texts));
  }

  int32_t typed(const Json& schema, const std::string& path) {
    std::vector<std::string> names = types(schema, path);
    std::set<std::string> keywords = {"type"};
    for (const std::string& name : names)
      keywords.insert(kTypes.at(name).begin(), kTypes.at(name).end());
    allow_only(schema, path, keywords);
    if (names.empty()) return any();
    if (std::ranges::count(names, "number") > 0) std::erase(names, "integer");
    std::vector<int32_t> parts;
    for (const std::string& name : names) parts.push_back(of_type(name, schema, path));
    return parts.size() == 1 ? parts[0] : add({.kind = Kind::any_of, .parts = std::move(parts)});
  }

  int32_t of_type(const std::string& type, const Json& schema, const std::string& path) {
    if (type == "object") return object(schema, path);
    if (type == "array") return array(schema, path);
    if (type == "string") {
      if (const auto form = format(schema)) return *form;
      Node node{.kind = Kind::string};
      limits(schema, path, "minLength", "maxLength", node);
      return add(std::move(node));
    }
    if (type == "number" || type == "integer") return number(type, schema, path);
    return literals(type == "null" ? std::vector<std::string>{"null"}
                                   : std::vector<std::string>{"true", "false"});
  }

  /// A format that has a form of its own. Where a length is given as well, that is what counts.
  std::optional<int32_t> format(const Json& schema) {
    const auto given = schema.find("format");
    if (given == schema.end() || !given->is_string()) return {};
    if (schema.contains("minLength") || schema.contains("maxLength")) return {};
    const auto& name = given->get_ref<const std::string&>();
    const auto [known, is_new] = by_format_.try_emplace(name);
    if (is_new) known->second = add_format(name, grammar_);
    return known->second;
  }

  void limits(const Json& schema, const std::string& path, const char* least, const char* most,
              Node& node) const {
    const auto read = [&](const char* keyword, int64_t& value) {
      if (!schema.contains(keyword)) return;
      const Json& given = schema[keyword];
      if (!given.is_number_unsigned() || given.get<uint64_t>() > 1'000'000)
        refuse(fmt::format("{}/{}", path, keyword), fmt::format("it is {}", shown(given)),
               "give a whole number from 0 to 1000000");
      value = given.get<int64_t>();
    };
    read(least, node.least);
    read(most, node.most);
    if (node.least > node.most)
      refuse(path, fmt::format("{} is {} and {} only {}", least, node.least, most, node.most),
             "leave room between them");
  }

  int32_t number(const std::string& type, const Json& schema, const std::string& path) {
    NumberForm form = type == "integer" ? NumberForm::integer() : NumberForm();
    form.limited = std::ranges::any_of(
        kLimits, [&](const std::string& keyword) { return schema.contains(keyword); });
    if (!form.limited) return add({.kind = Kind::number, .number = form});
    if (type == "number") form = {.whole = 9, .fraction = 9, .exponent = 0, .limited = true};
    constexpr double kFar = std::numeric_limits<double>::infinity();
    const auto limit = [&](const char* keyword, const char* exclusive, double side) {
      double value = side;
      for (const char* each : {keyword, exclusive}) {
        if (!schema.contains(each)) continue;
        if (!schema[each].is_number())
          refuse(fmt::format("{}/{}", path, each), fmt::format("it is {}", shown(schema[each])),
                 "give a number");
        auto given = schema[each].get<double>();
        if (each == exclusive) given = std::nextafter(given, -side);
        value = side < 0 ? std::max(value, given) : std::min(value, given);
      }
      return in_units(value, side > 0, form);
    };
    form.low = limit("minimum", "exclusiveMinimum", -kFar);
    form.high = limit("maximum", "exclusiveMaximum", kFar);
    if (form.low > form.high)
      refuse(path, fmt::format("no {} of up to {} digits is between its limits", type, form.whole),
             "leave room between them");
    return add({.kind = Kind::number, .number = form});
  }

  /// The nearest number of this form that is not above a limit (below, if it is not `upper`), as a
  /// reader sees it, who has doubles.
  static int64_t in_units(double limit, bool upper, const NumberForm& form) {
    int64_t most = 1;  // one more than the largest number
    for (int32_t i = 0; i < form.whole + form.fraction; ++i) most *= 10;
    const double far = std::pow(10.0, form.whole);
    const auto text = [&](double value) { return fmt::format("{:.{}f}", value, form.fraction); };
    std::string digits = text(std::clamp(limit, -far, far));
    const double read = std::stod(digits);
    std::erase(digits, '.');
    int64_t units = std::stoll(digits);
    if (upper && read > limit) --units;
    if (!upper && read < limit) ++units;
    return upper ? std::min(units, most - 1) : std::max(units, 1 - most);
  }

  int32_t array(const Json& schema, const std::string& path) {
    Node node{.kind = Kind::array};
    limits(schema, path, "minItems", "maxItems", node);
    node.inner = schema.contains("items") ? compile(schema["items"], path + "/items") : any();
    return add(std::move(node));
  }

  int32_t object(const Json& schema, const std::string& path) {
    Node node{.kind = Kind::object};
    std::map<std::string, size_t> places;
    const bool open =
        !schema.contains("additionalProperties") || schema["additionalProperties"] != Json(false);
    if (schema.contains("properties")) {
      if (!schema["properties"].is_object())
        refuse(path + "/properties", "it is no object", "give each property a schema");
      for (const auto& [name, value] : schema["properties"].items()) {
        places[name] = node.properties.size();
        const int32_t inner = compile(value, fmt::format("{}/properties/{}", path, name));
        node.properties.push_back({.spelling = counted(to_text(Json(name))), .value = inner});
      }
    }
    if (schema.contains("required")) {
      const Json& required = schema["required"];
      const bool names =
          required.is_array() && std::all_of(required.begin(), required.end(),
                                             [](const Json& name) { return name.is_string(); });
      if (!names) refuse(path + "/required", "it is no list of names", "list names of properties");
      for (const Json& given : required) {
        const auto& name = given.get_ref<const std::string&>();
        if (!places.contains(name)) {
          if (!open)
            refuse(path + "/required", fmt::format("{} is required and no property", shown(name)),
                   "describe it below properties");
          places[name] = node.properties.size();
          node.properties.push_back(
              {.spelling = counted(to_text(Json(name))), .value = other(schema, path)});
        }
        node.properties[places[name]].required = true;
      }
    }
    if (node.properties.empty() && open) node.inner = other(schema, path);
    return add(std::move(node));
  }

  /// The value of a property that has no name in the schema.
  int32_t other(const Json& schema, const std::string& path) {
    return schema.contains("additionalProperties")
               ? compile(schema["additionalProperties"], path + "/additionalProperties")
               : any();
  }

  const Json& document_;
  JsonGrammar& grammar_;
  std::string where_;
  std::map<std::string, int32_t> by_pointer_;
  std::map<std::string, std::optional<int32_t>> by_format_;
  int32_t any_ = JsonGrammar::kNone;
  int level_ = 0;
};

}  // namespace

int32_t add_schema(std::string_view schema, JsonGrammar& grammar, const std::string& where) {
  const Json document = schema.empty() ? Json{{"type", "object"}} : parse_json(schema, where);
  return Compiler(document, grammar, where).compile();
}

}  // namespace argosy::serve
