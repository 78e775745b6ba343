#include "serve/json_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "serve/json_schema.h"
#include "serve/json_text.h"

namespace argosy::serve {
namespace {

using Node = JsonGrammar::Node;
using Kind = JsonGrammar::Kind;

constexpr size_t kMaxChoices = 2'000'000;  // in all

/// A choice between choices becomes one choice between what is none, so that opening it ends even
/// where references go in a circle.
void flatten_choices(JsonGrammar& grammar, const std::string& where) {
  std::vector<std::vector<int32_t>> flat(grammar.nodes.size());
  std::vector<size_t> seen_by(grammar.nodes.size(), grammar.nodes.size());
  size_t choices = 0;
  for (size_t i = 0; i < grammar.nodes.size(); ++i) {
    std::vector<int32_t> open = {static_cast<int32_t>(i)};
    if (grammar.nodes[i].kind != Kind::any_of) continue;
    while (!open.empty()) {
      const int32_t next = open.back();
      open.pop_back();
      if (++choices > kMaxChoices)
        throw Error({.what = "the schema's choices lead to too many others",
                     .where = where,
                     .fix = "let fewer choices lead to choices"});
      if (std::exchange(seen_by[next], i) == i) continue;
      const Node& node = grammar.nodes[next];
      if (node.kind != Kind::any_of)
        flat[i].push_back(next);
      else
        open.insert(open.end(), node.parts.rbegin(), node.parts.rend());
    }
  }
  for (const auto& parts : flat)
    if (parts.size() > JsonGrammar::kMostParts)
      throw Error({.what = fmt::format("a choice has {} alternatives beside constants, at most {} "
                                       "can be told apart at a time",
                                       parts.size(), JsonGrammar::kMostParts),
                   .where = where,
                   .fix = "give fewer, or let what they share be one of them"});
  for (size_t i = 0; i < flat.size(); ++i)
    if (grammar.nodes[i].kind == Kind::any_of) grammar.nodes[i].parts = std::move(flat[i]);
}

/// The height of a node by those of its parts; kNever where one that it needs has none yet.
int32_t height_of(const JsonGrammar& grammar, const Node& node) {
  const auto inner = [&](int32_t part) { return grammar.nodes[part].height; };
  int32_t height = 0;
  switch (node.kind) {
    case Kind::object:
      for (const auto& property : node.properties)
        if (property.required) height = std::max(height, inner(property.value));
      break;
    case Kind::array:
      if (node.least > 0) height = inner(node.inner);
      break;
    case Kind::any_of:
      height = JsonGrammar::kNever;
      for (const int32_t part : node.parts) height = std::min(height, inner(part));
      return height;
    case Kind::sequence:
      for (const int32_t part : node.parts) height = std::max(height, inner(part));
      return height;
    default:
      return 0;
  }
  return std::min(height + 1, JsonGrammar::kNever);
}

/// Each round settles at least the next height, and those above the limit are as good as never.
void find_heights(JsonGrammar& grammar, const std::string& where) {
  for (int round = 0; round < 2 * JsonGrammar::kMaxDepth + 2; ++round) {
    bool changed = false;
    for (Node& node : grammar.nodes) {
      const int32_t height = height_of(grammar, node);
      changed |= height != node.height;
      node.height = height;
    }
    if (!changed) break;
  }
  if (grammar.nodes[grammar.root].height > JsonGrammar::kMaxDepth)
    throw Error({.what = fmt::format("no JSON text of at most {} levels meets the schema",
                                     JsonGrammar::kMaxDepth),
                 .where = where,
                 .fix = "give what refers to itself a way to end"});
}

SharedGrammar complete(JsonGrammar grammar, const std::string& where) {
  grammar.name = grammar.add({.kind = Kind::string});
  flatten_choices(grammar, where);
  find_heights(grammar, where);
  return std::make_shared<const JsonGrammar>(std::move(grammar));
}

}  // namespace

SharedGrammar json_grammar(std::string_view schema, const std::string& where) {
  JsonGrammar grammar;
  grammar.root = add_schema(schema, grammar, where);
  return complete(std::move(grammar), where);
}

SharedGrammar call_grammar(const std::vector<CallSchema>& calls, const std::string& before,
                           const std::string& after, const std::string& where) {
  JsonGrammar grammar;
  const auto literal = [&](const std::string& text) {
    return grammar.add({.kind = Kind::literals, .literals = {text}});
  };
  std::vector<int32_t> choices;
  for (const CallSchema& call : calls) {
    const int32_t arguments = add_schema(call.arguments, grammar, where + "." + call.name);
    const int32_t head =
        literal(fmt::format("{}{{\"name\": {}, \"arguments\": ", before, to_text(Json(call.name))));
    const int32_t tail = literal("}" + after);
    choices.push_back(grammar.add({.kind = Kind::sequence, .parts = {head, arguments, tail}}));
  }
  grammar.root = grammar.add({.kind = Kind::any_of, .parts = std::move(choices)});
  return complete(std::move(grammar), where);
}

}  // namespace argosy::serve
