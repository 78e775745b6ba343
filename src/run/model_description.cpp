#include "run/model_description.h"

#include <algorithm>

#include "base/byte_size.h"
#include "engine/session.h"
#include "models/grok.h"

namespace argosy::run {
namespace {

/// What a parameter is of: "block3/experts/router/weight" is of the router.
std::string part_of(const std::string& name) {
  for (const char* part : {"embedding", "positions", "attention", "router", "experts", "mlp"})
    if (name.find(part + std::string("/")) != std::string::npos) return part;
  return "norms";
}

}  // namespace

std::string grouped(int64_t number) {
  std::string digits = fmt::format("{}", number);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<size_t>(at), 1, ',');
  return digits;
}

ModelDescription describe(const models::LanguageOptions& options, int64_t tokens) {
  ModelDescription found{.options = options, .tokens = tokens};
  Graph graph;
  const Tensor input = graph.input("tokens", {DType::i32, {1, tokens}});
  graph.output("logits",
               models::build_language_model(nn::Scope(graph, false), input, options).logits);
  for (const Variable& variable : graph.variables()) {
    const std::string part = part_of(variable.name);
    auto at = std::ranges::find(found.parts, part, &ModelDescription::Part::name);
    if (at == found.parts.end()) at = found.parts.insert(at, {.name = part});
    at->parameters += graph.type(variable.value).elements();
    found.parameters += graph.type(variable.value).elements();
  }
  found.active = models::active_parameters(graph, options);
  found.program = compile(std::move(graph), {.bf16 = true});
  return found;
}

std::optional<models::LanguageOptions> published_model(std::string_view name) {
  if (name == "grok-1") return models::grok_1();
  return std::nullopt;
}

std::string to_text(const ModelDescription& d) {
  const models::LanguageOptions& o = d.options;
  std::string text = fmt::format(
      "{}: {} layers of width {}, {} query heads on {} key heads of {}, vocabulary {}, context "
      "{}\n",
      o.architecture, o.layers, o.width, o.heads, o.key_heads, o.head_width, o.vocabulary,
      o.context);
  if (o.experts > 0)
    text += fmt::format("{} experts of width {} a layer, {} of them for a token\n", o.experts,
                        o.hidden, o.active);
  const auto line = [&](const std::string& name, int64_t count) {
    text += fmt::format("  {:<24}{:>20}\n", name, grouped(count));
  };
  text += "parameters\n";
  for (const ModelDescription::Part& part : d.parts) line(part.name, part.parameters);
  line("all", d.parameters);
  line("for a token", d.active);
  text +=
      fmt::format("a sequence of {} tokens: {} calls, {:.3g} Tflop, weights {} in f32, arena {}\n",
                  d.tokens, d.program.calls.size(), d.program.flops() / 1e12,
                  byte_size_text(d.program.state_bytes), byte_size_text(d.program.arena_bytes));
  return text;
}

}  // namespace argosy::run
