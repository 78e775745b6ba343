#include "serve/json_constraint.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "serve/fake_model.h"
#include "serve/json_grammar.h"

using namespace argosy;
using namespace argosy::serve;
using Json = nlohmann::json;

namespace {

const char* const kPerson = R"({"type": "object", "properties": {
  "name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array", "items":
  {"enum": ["a", "ab", 1, 12, null]}}}, "required": ["name", "age"], "additionalProperties": false})";

const char* const kRecursive = R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object",
  "properties": {"value": {"type": ["number", "null"]}, "children": {"type": "array",
  "items": {"$ref": "#/$defs/node"}, "maxItems": 2}}, "required": ["value", "children"],
  "additionalProperties": false}}})";

const std::vector<std::string> kSchemas = {
    "",
    "true",
    R"({"type": "string"})",
    R"({"type": "string", "minLength": 2, "maxLength": 3})",
    R"({"type": "integer"})",
    R"({"type": "number"})",
    R"({"type": "integer", "minimum": -12, "maximum": 120})",
    R"({"type": "integer", "minimum": 0})",
    R"({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 1000000000000})",
    R"({"type": "integer", "maximum": -17})",
    R"({"type": "integer", "minimum": 97, "maximum": 1203})",
    R"({"type": "integer", "minimum": 0.5, "exclusiveMaximum": 2})",
    R"({"type": "number", "minimum": 0, "maximum": 1})",
    R"({"type": "number", "exclusiveMinimum": 0.1, "exclusiveMaximum": 0.3})",
    R"({"type": ["number", "null"], "minimum": -90.25, "maximum": 90})",
    R"({"type": "number", "exclusiveMaximum": 0})",
    R"({"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}, {"type": "integer", "minimum": 3}]})",
    R"({"type": "array", "items": {"type": "string", "format": "date"}, "maxItems": 2})",
    R"({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]})",
    R"({"allOf": [{"type": "string", "format": "date-time", "maxLength": 4}], "default": ""})",
    R"({"type": "boolean"})",
    R"({"type": "null"})",
    R"({"const": {"a": [1, "é\n"]}})",
    R"({"enum": [1, 12, 123, "1", "12"]})",
    R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
    R"({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}, "minItems": 2}]})",
    R"({"anyOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "integer"}},
        "required": ["kind", "x"]}, {"type": "object", "properties": {"kind": {"const": "b"},
        "y": {"type": "boolean"}}, "required": ["kind", "y"]}]})",
    R"({"type": "object", "additionalProperties": {"type": "integer"}})",
    R"({"type": "object", "required": ["free"]})",
    R"({"type": "object", "properties": {}, "additionalProperties": false})",
    R"({"type": "object", "properties": {"a\"b": {"type": "null"}, "c": {"type": "null"}}})",
    kPerson,
    kRecursive,
};

/// Whether a value meets a schema, as slowly as it is plain.
bool meets(const Json& value, const Json& schema, const Json& root) {
  if (schema.is_boolean()) return schema.get<bool>();
  if (schema.contains("$ref"))
    return meets(value, root.at(Json::json_pointer(schema["$ref"].get<std::string>().substr(1))),
                 root);
  if (schema.contains("const") && value != schema["const"]) return false;
  if (schema.contains("enum") &&
      std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end())
    return false;
  for (const char* choices : {"anyOf", "oneOf", "allOf"})
    if (schema.contains(choices) &&
        std::none_of(schema[choices].begin(), schema[choices].end(),
                     [&](const Json& one) { return meets(value, one, root); }))
      return false;
  if (schema.contains("type")) {
    const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    bool any = false;
    for (const Json& type : types)
      any |= (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
             (type == "string" && value.is_string()) || (type == "number" && value.is_number()) ||
             (type == "integer" && value.is_number_integer()) ||
             (type == "boolean" && value.is_boolean()) || (type == "null" && value.is_null());
    if (!any) return false;
  }
  if (value.is_number()) {
    if (schema.contains("minimum") && value < schema["minimum"]) return false;
    if (schema.contains("maximum") && value > schema["maximum"]) return false;
    if (schema.contains("exclusiveMinimum") && value <= schema["exclusiveMinimum"]) return false;
    if (schema.contains("exclusiveMaximum") && value >= schema["exclusiveMaximum"]) return false;
  }
  if (value.is_array()) {
    if (value.size() < schema.value("minItems", size_t{0})) return false;
    if (value.size() > schema.value("maxItems", size_t{1000000})) return false;
    if (schema.contains("items"))
      for (const Json& item : value)
        if (!meets(item, schema["items"], root)) return false;
  }
  if (value.is_string()) {
    const auto text = value.get<std::string>();
    const size_t length =
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
    if (length < schema.value("minLength", size_t{0}) ||
        length > schema.value("maxLength", size_t{1000000}))
      return false;
  }
  if (value.is_object()) {
    for (const Json& name : schema.value("required", Json::array()))
      if (!value.contains(name.get<std::string>())) return false;
    const Json properties = schema.value("properties", Json::object());
    for (const auto& [name, inner] : value.items()) {
      const Json other = schema.value("additionalProperties", Json(true));
      if (!meets(inner, properties.contains(name) ? properties[name] : other, root)) return false;
    }
  }
  return true;
}

bool accepted(const std::string& schema, const std::string& text) {
  JsonAcceptor acceptor(json_grammar(schema, "schema"));
  JsonAcceptor::State state = acceptor.start(), next;
  for (const char byte : text) {
    acceptor.step(state, static_cast<uint8_t>(byte), next);
    std::swap(state, next);
  }
  return acceptor.complete(state);
}

const test::ByteTokenizer kTokenizer;
const auto kVocabulary = std::make_shared<VocabularyTree>(kTokenizer);

/// What choosing among allowed tokens by dice writes. After `patience` tokens those that end
/// something are taken where they can be.
std::string write(const std::string& schema, uint32_t seed, int patience) {
  JsonConstraint constraint(kVocabulary, kTokenizer, kTokenizer.ends(),
                            json_grammar(schema, "schema"));
  std::mt19937 dice(seed);
  std::string text;
  for (int count = 0; count < 20'000; ++count) {
    std::vector<bool> allowed(kTokenizer.vocabulary(), true);
    constraint.allow(allowed);
    std::vector<Token> choices;
    for (size_t i = 0; i < allowed.size(); ++i)
      if (allowed[i]) choices.push_back(static_cast<Token>(i));
    REQUIRE(!choices.empty());
    Token token = choices[dice() % choices.size()];
    if (count > patience) {
      for (const Token end :
           {Token{'0'}, Token{'"'}, Token{']'}, Token{'}'}, test::ByteTokenizer::kEnd})
        if (allowed[end]) token = end;
      if (allowed['q'] && allowed['"']) token = '"';  // within a string
    }
    if (token == test::ByteTokenizer::kEnd) return text;
    constraint.accept(token);
    text += kTokenizer.bytes(token);
  }
  FAIL("it goes on for ever: " << text.substr(0, 300));
  return text;
}

std::string error_of(const std::string& schema) {
  try {
    json_grammar(schema, "schema");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("json constraint: whatever is written ends, is JSON and meets its schema") {
  for (const std::string& schema : kSchemas) {
    const Json parsed = schema.empty() ? Json{{"type", "object"}} : Json::parse(schema);
    for (uint32_t seed = 0; seed < 40; ++seed) {
      const std::string text = write(schema, seed, seed % 2 == 0 ? 5 : 60);
      INFO(schema << "\n" << text);
      const Json value = Json::parse(text, nullptr, false);
      REQUIRE(!value.is_discarded());
      CHECK(meets(value, parsed, parsed));
      CHECK(accepted(schema, text));
    }
  }
}

TEST_CASE("json constraint: texts of the schema are taken, compact and as people write them") {
  for (const char* text : {R"({"name":"Ada","age":36})",
                           R"({"name": "Ada", "age": 36, "tags": ["a", "ab", 1, 12, null]})",
                           "{\n  \"name\": \"\\u00e9\\n\\\"\",\n  \"age\": -1,\n  \"tags\": []\n}",
                           R"({"name":"é😀","age":0})"})
    CHECK_MESSAGE(accepted(kPerson, text), text);
  for (const char* text :
       {R"({"name":"Ada"})", R"({"age":36,"name":"Ada"})", R"({"name":"Ada","age":36,"more":1})",
        R"({"name":"Ada","age":3.5})", R"({"name":"Ada","age":036})", R"({"name":"Ada","age":36)",
        R"({"name":"Ada","age":36}})", R"({"name":"Ada","age":36,})",
        R"({"name":"A)"
        "\n"
        R"(da","age":36})",
        R"({"name":"\ud800","age":36})", R"({"name":"Ada","age":36,"tags":["b"]})",
        R"({"name":"Ada","age":36,"tags":[11]})", "{\"name\":\"\xFF\",\"age\":36}",
        "{\"name\":\"\xED\xA0\x80\",\"age\":36}", "{\"name\":\"\xC0\x80\",\"age\":36}", ""})
    CHECK_MESSAGE(!accepted(kPerson, text), text);
  CHECK(
      accepted(kRecursive, R"({"value": 1.5e-3, "children": [{"value": null, "children": []}]})"));
  CHECK(!accepted(kRecursive, R"({"value": 1, "children": [{"value": null}]})"));
  CHECK(accepted("", R"({"any": [1, {"thing": null}], "": "x"})"));
  CHECK(!accepted("", "[1]"));
}

TEST_CASE("json constraint: what a schema asks for and is not supported is named") {
  CHECK(
      error_of(R"({"type": "string", "pattern": "a+"})") ==
      "schema: the schema's keyword \"pattern\" is not supported here; leave it out, or say it in "
      "the prompt");
  for (const char* schema : {R"({"type": "number", "multipleOf": 2})", R"({"not": {}})",
                             R"({"type": "object", "patternProperties": {}})",
                             R"({"type": "array", "uniqueItems": true})",
                             R"({"anyOf": [{"type": "null"}], "oneOf": [{"type": "null"}]})",
                             R"({"allOf": [{"type": "null"}], "type": "null"})",
                             R"({"type": "array", "prefixItems": [{"type": "null"}]})"})
    CHECK_MESSAGE(error_of(schema).find("is not supported") != std::string::npos, schema);
  CHECK(error_of(R"({"type": "object", "properties": {"a": {"type": "strin"}}})")
            .starts_with("schema/properties/a/type: there is no type \"strin\""));
  CHECK(error_of(R"({"$ref": "#/$defs/none"})").find("there is no \"#/$defs/none\"") !=
        std::string::npos);
  for (const char* schema :
       {R"({"type": "integer", "minimum": "1"})",
        R"({"type": "integer", "exclusiveMinimum": true})",
        R"({"type": "integer", "minimum": 1e99})",
        R"({"type": "integer", "minimum": 2, "maximum": 1})",
        R"({"type": "integer", "minimum": 0.1, "maximum": 0.9})",
        R"({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2})",
        R"({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1})",
        R"({"allOf": [{"type": "null"}, {"type": "null"}]})",
        R"({"oneOf": {}})",
        "3",
        "false",
        "[]",
        R"({"enum": []})",
        R"({"enum": 3})",
        R"({"anyOf": []})",
        R"({"$ref": "http://elsewhere"})",
        R"({"$ref": 3})",
        R"({"type": []})",
        R"({"type": 3})",
        R"({"type": "array", "minItems": -1})",
        R"({"type": "array", "minItems": 3, "maxItems": 2})",
        R"({"type": "string", "maxLength": 1e99})",
        R"({"type": "object", "required": "a"})",
        R"({"type": "object", "properties": []})",
        R"({"type": "string", "enum": [1]})",
        R"({"type": "object", "required": ["a"], "additionalProperties": false})"})
    CHECK_MESSAGE(error_of(schema) != "", schema);
}

TEST_CASE("json constraint: of numbers with limits, those between them are taken and no others") {
  for (const auto& [low, high] :
       {std::pair(0, 0), {7, 7}, {0, 9}, {5, 120}, {97, 1203}, {-3, 14}, {-120, -7}, {-101, 0}}) {
    const std::string schema =
        fmt::format(R"({{"type": "integer", "minimum": {}, "maximum": {}}})", low, high);
    INFO(schema);
    for (int value = -1300; value <= 1300; ++value)
      REQUIRE(accepted(schema, fmt::format("{}", value)) == (low <= value && value <= high));
    for (const char* text : {"", "-", "01", "-01", "1.0", "1e1"}) CHECK(!accepted(schema, text));
  }
  const std::string part = R"({"type": "number", "minimum": 0.25, "exclusiveMaximum": 10})";
  for (const char* text : {"0.25", "0.250", "0.3", "1", "9", "9.999999999", "1.0"})
    CHECK_MESSAGE(accepted(part, text), text);
  for (const char* text :
       {"0", "0.2", "0.249999999", "10", "10.0", "-1", "100", "1.", "1e0", "00.3"})
    CHECK_MESSAGE(!accepted(part, text), text);
  const std::string probability = R"({"type": "number", "minimum": 0, "maximum": 1})";
  for (const char* text : {"0", "0.0", "1", "1.000", "0.123456789"})
    CHECK_MESSAGE(accepted(probability, text), text);
  for (const char* text : {"1.0001", "2", "-0.1", "10"})
    CHECK_MESSAGE(!accepted(probability, text), text);
  CHECK(accepted(R"({"type": "integer", "minimum": 1})", "123456789012345"));
  CHECK(accepted(R"({"minimum": 1})", "1.5"));
}

TEST_CASE("json constraint: what pydantic writes for common models is taken") {
  const std::string schema = R"({"$defs": {
    "Cat": {"properties": {"kind": {"const": "cat", "title": "Kind", "type": "string"}, "lives":
      {"exclusiveMaximum": 10, "exclusiveMinimum": 0, "title": "Lives", "type": "integer"}},
      "required": ["kind", "lives"], "title": "Cat", "type": "object"},
    "Dog": {"properties": {"kind": {"const": "dog", "type": "string"}, "name": {"type": "string"}},
      "required": ["kind", "name"], "title": "Dog", "type": "object"},
    "Color": {"enum": ["red", "blue"], "title": "Color", "type": "string"}},
    "properties": {
      "age": {"anyOf": [{"minimum": 0, "type": "integer"}, {"type": "null"}], "default": null},
      "mode": {"enum": ["x", 3], "title": "Mode"},
      "color": {"$ref": "#/$defs/Color", "default": "red", "description": "what it looks like"},
      "at": {"format": "date-time", "title": "At", "type": "string"},
      "share": {"maximum": 1, "minimum": 0, "title": "Share", "type": "number"},
      "pets": {"items": {"discriminator": {"mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"},
        "propertyName": "kind"}, "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]},
        "maxItems": 3, "minItems": 1, "title": "Pets", "type": "array"},
      "more": {"additionalProperties": {"type": "integer"}, "title": "More", "type": "object"}},
    "required": ["mode", "at", "pets"], "title": "Model", "type": "object"})";
  REQUIRE(error_of(schema) == "");
  CHECK(accepted(schema, R"({"age": 3, "mode": "x", "color": "blue", "at": "2026-01-01T00:00:00Z",
 "share": 0.5, "pets": [{"kind": "cat", "lives": 9}, {"kind": "dog", "name": "Rex"}],
 "more": {"a": 1}})"));
  CHECK(!accepted(schema, R"({"mode": 3, "at": "", "pets": [{"kind": "cat", "lives": 10}]})"));
  CHECK(!accepted(schema, R"({"mode": 3, "at": "", "pets": []})"));
}

TEST_CASE("json constraint: dates, times and UUIDs are written as their formats say") {
  const auto taken = [](const std::string& format, const std::string& text) {
    return accepted(fmt::format(R"({{"type": "string", "format": "{}"}})", format),
                    '"' + text + '"');
  };
  for (const char* date : {"2026-01-31", "1999-12-30", "2024-02-28", "1000-04-30"})
    CHECK_MESSAGE(taken("date", date), date);
  for (const char* date : {"2026-02-30", "2026-04-31", "2026-13-01", "2026-00-10", "2026-01-00",
                           "2026-1-1", "26-01-01", "2026-01-32", "today", ""})
    CHECK_MESSAGE(!taken("date", date), date);
  for (const char* time : {"00:00:00Z", "23:59:59+05:30", "12:30:00-00:00"})
    CHECK_MESSAGE((taken("time", time) && taken("date-time", std::string("2026-05-31T") + time)),
                  time);
  for (const char* time : {"24:00:00Z", "12:60:00Z", "12:00:00", "noon"})
    CHECK_MESSAGE(!taken("time", time), time);
  CHECK(taken("uuid", "0189f7b2-0000-7000-8000-0123456789ab"));
  CHECK(!taken("uuid", "0189f7b2-0000-7000-8000-0123456789a"));
  CHECK(!taken("uuid", "0189f7b200007000800000123456789ab"));
  CHECK(taken("email", "anything"));
  CHECK(accepted(R"({"type": "object", "properties": {"at": {"type": "string", "format": "date"},
    "to": {"type": "string", "format": "date"}}})",
                 R"({"at": "2026-01-01", "to": "2026-01-02"})"));
}

TEST_CASE("json constraint: a schema that nothing meets, or that goes in a circle, is refused") {
  for (const char* schema :
       {R"({"$ref": "#"})", R"({"anyOf": [{"$ref": "#"}]})",
        R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})",
        R"({"type": "array", "items": {"$ref": "#"}, "minItems": 1})"})
    CHECK_MESSAGE(error_of(schema).find("no JSON text of at most 64 levels") != std::string::npos,
                  schema);
  // a way out is enough
  CHECK(error_of(R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})") == "");
  CHECK(accepted(R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})", "null"));
}

TEST_CASE("json constraint: hostile schemas cost little") {
  std::string chain = R"({"$ref": "#/$defs/d0", "$defs": {)";
  for (int i = 0; i < 1500; ++i)
    chain += fmt::format(R"("d{}": {{"$ref": "#/$defs/d{}"}},)", i, i + 1);
  CHECK(error_of(chain + R"("d1500": {"type": "null"}}})") != "");

  std::string numbers = R"({"enum": [)", ranges = R"({"anyOf": [)";
  for (int i = 0; i < 9000; ++i) {
    numbers += fmt::format("{}\"{:0130}\"", i ? "," : "", i);
    ranges += R"({"type": "integer", "minimum": 0, "maximum": 9999},)";
  }
  CHECK(error_of(numbers + "]}").find("make it smaller") != std::string::npos);
  CHECK(error_of(ranges + "true]}").find("alternatives") != std::string::npos);

  std::string wide = R"({"$defs": {)";
  for (int i = 0; i < 1000; ++i)
    wide += fmt::format(R"({}"d{}": {{"anyOf": [{{"$ref": "#/$defs/d{}"}}, {{"const": {}}}]}})",
                        i ? "," : "", i, (i + 1) % 1000, i);
  wide += R"(}, "anyOf": [)";
  for (int i = 0; i < 1000; ++i)
    wide += fmt::format(R"({}{{"$ref": "#/$defs/d{}"}})", i ? "," : "", i);
  CHECK(error_of(wide + "]}") != "");  // one reference follows another too often

  const std::string both =
      R"({"anyOf": [{"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"type": "null"}}},
          {"type": "object", "properties": {"a": {"$ref": "#"}, "c": {"type": "null"}}}, {"type": "null"}]})";
  std::string deep = "null";
  for (int i = 0; i < 40; ++i) deep = R"({"a":)" + deep + "}";
  CHECK(accepted(both, deep));  // each level has two readings
}

TEST_CASE(
    "json constraint: objects and arrays are at most 64 deep, and what is begun can be ended") {
  std::string open;
  JsonAcceptor acceptor(json_grammar("true", "schema"));
  JsonAcceptor::State state = acceptor.start(), next;
  int depth = 0;
  for (;; ++depth) {
    acceptor.step(state, '[', next);
    if (next.empty()) break;
    std::swap(state, next);
  }
  CHECK(depth == 64);
  acceptor.step(state, '{', next);
  CHECK(next.empty());
  for (; depth > 0; --depth) {
    acceptor.step(state, ']', next);
    std::swap(state, next);
  }
  CHECK(acceptor.complete(state));
}

TEST_CASE("json constraint: forgetting what it has seen changes nothing") {
  const std::string text = R"({"value": 1.5, "children": [{"value": null, "children": []}]})";
  JsonAcceptor acceptor(json_grammar(kRecursive, "schema"));
  JsonAcceptor::State state = acceptor.start(), next;
  for (const char byte : text) {
    acceptor.forget_all_but(state);
    acceptor.step(state, static_cast<uint8_t>(byte), next);
    std::swap(state, next);
    REQUIRE(!state.empty());
  }
  CHECK(acceptor.complete(state));
  CHECK(acceptor.stacks() < 10);
}

TEST_CASE("json constraint: a required call is one of the tools, with its arguments") {
  const auto grammar = call_grammar(
      {{"add",
        R"({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})"},
       {"stop \"it\"", ""}},
      "<tool_call>\n", "\n</tool_call>", "tools");
  const auto taken = [&](const std::string& text) {
    JsonAcceptor acceptor(grammar);
    JsonAcceptor::State state = acceptor.start(), next;
    for (const char byte : text) {
      acceptor.step(state, static_cast<uint8_t>(byte), next);
      std::swap(state, next);
    }
    return acceptor.complete(state);
  };
  CHECK(taken("<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>"));
  CHECK(taken("<tool_call>\n{\"name\": \"stop \\\"it\\\"\", \"arguments\": {}}\n</tool_call>"));
  CHECK(!taken("<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": \"1\"}}\n</tool_call>"));
  CHECK(!taken("<tool_call>\n{\"name\": \"sub\", \"arguments\": {}}\n</tool_call>"));
  CHECK(!taken("{\"name\": \"add\", \"arguments\": {\"a\": 1}}"));
}

TEST_CASE("json constraint: a token is let through exactly if its bytes can stand there") {
  const std::string limited =
      R"({"anyOf": [{"type": "string", "minLength": 25, "maxLength": 40}, {"type": "array", "items":
         {"type": "string", "minLength": 3, "maxLength": 26}}, {"type": "string", "maxLength": 6}]})";
  const std::string letters = "abcdefghijklmnopqrstuvwxyzab";
  for (const auto& [schema, text] : std::vector<std::pair<std::string, std::string>>{
           {kPerson, R"({"name": "Ada é", "age": 12, "tags": ["ab", 12]})"},
           {limited, '"' + letters + "\\n12é\""},
           {limited, "[\"" + letters.substr(0, 26) + "\"]"}}) {
    JsonConstraint constraint(kVocabulary, kTokenizer, kTokenizer.ends(),
                              json_grammar(schema, "schema"));
    JsonAcceptor acceptor(json_grammar(schema, "schema"));
    JsonAcceptor::State state = acceptor.start(), next;
    for (const char byte : text) {
      std::vector<bool> allowed(kTokenizer.vocabulary() + 6, true);  // a model's padding
      constraint.allow(allowed);
      for (Token token = 0; token < static_cast<Token>(allowed.size()); ++token) {
        bool stands = token < kTokenizer.vocabulary() && !kTokenizer.is_special(token);
        if (stands) {
          JsonAcceptor::State at = state;
          for (const char more : kTokenizer.bytes(token)) {
            acceptor.step(at, static_cast<uint8_t>(more), next);
            std::swap(at, next);
          }
          stands = !at.empty();
        }
        CHECK(allowed[token] == stands);
      }
      constraint.accept(static_cast<uint8_t>(byte));
      acceptor.step(state, static_cast<uint8_t>(byte), next);
      std::swap(state, next);
    }
    std::vector<bool> allowed(kTokenizer.vocabulary(), true);
    constraint.allow(allowed);
    CHECK(std::count(allowed.begin(), allowed.end(), true) == 1);
    CHECK(allowed[test::ByteTokenizer::kEnd]);
  }
}

TEST_CASE("json constraint: of readings that each cost a walk of the vocabulary few are followed") {
  std::string strings = R"({"type": "string", "maxLength": 12})";
  for (int i = 1; i < 64; ++i) strings += R"(,{"type": "string", "maxLength": 12})";
  const auto grammar = json_grammar(R"({"anyOf": [)" + strings + "]}", "schema");
  JsonConstraint constraint(kVocabulary, kTokenizer, kTokenizer.ends(), grammar);
  std::vector<bool> allowed;
  const auto write = [&](char byte) {
    allowed.assign(kTokenizer.vocabulary(), true);
    constraint.allow(allowed);
    REQUIRE(allowed[byte]);
    constraint.accept(static_cast<uint8_t>(byte));
  };
  for (const char byte : std::string_view("\"ab")) write(byte);
  CHECK(constraint.readings() == 64);  // far from their limits they are alike
  for (const char byte : std::string_view("cdefgh")) write(byte);
  CHECK(constraint.readings() <= 8);
  CHECK(constraint.readings() > 0);
  write('"');
  allowed.assign(allowed.size(), true);
  constraint.allow(allowed);
  CHECK(allowed[test::ByteTokenizer::kEnd]);
}
