#include "text/tool_calls.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "text/json_reader.h"

namespace argosy::text {
namespace {

std::string as_json(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// {"name": ..., "arguments": {...}}; the arguments keep the order in which they were said.
std::optional<ToolCall> read_call(std::string_view text) {
  using Json = nlohmann::ordered_json;
  try {
    JsonReader::parse(text, "a call");  // limits the depth
    const Json call = Json::parse(text);
    if (!call.is_object() || !call.contains("name") || !call["name"].is_string())
      return std::nullopt;
    const Json arguments = call.value("arguments", Json::object());
    if (!arguments.is_object()) return std::nullopt;
    return ToolCall{call["name"].get<std::string>(),
                    arguments.dump(-1, ' ', false, Json::error_handler_t::replace)};
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

std::string tools_as_text(std::span<const std::string> tools) {
  std::string text =
      "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
      "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
  for (const std::string& tool : tools) (text += "\n") += tool;
  text +=
      "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
      "within <tool_call></tool_call> XML tags:\n<tool_call>\n"
      "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>";
  return text;
}

std::string tool_calls_as_text(const Message& turn) {
  std::string text;
  for (const ToolCall& call : turn.tool_calls) {
    if (!turn.content.empty() || !text.empty()) text += "\n";
    text += fmt::format("{}\n{{\"name\": {}, \"arguments\": {}}}\n{}", kToolCallBegins,
                        as_json(call.name), call.arguments.empty() ? "{}" : call.arguments,
                        kToolCallEnds);
  }
  return text;
}

Answer read_answer(std::string_view text) {
  Answer answer;
  while (!text.empty()) {
    const size_t open = text.find(kToolCallBegins);
    answer.content += text.substr(0, open);
    if (open == text.npos) break;
    const size_t from = open + kToolCallBegins.size();
    const size_t close = std::min(text.find(kToolCallEnds, from), text.size());
    const size_t end = std::min(close + kToolCallEnds.size(), text.size());
    if (auto call = read_call(text.substr(from, close - from)))
      answer.tool_calls.push_back(std::move(*call));
    else
      answer.content += text.substr(open, end - open);
    text.remove_prefix(end);
  }
  if (!answer.tool_calls.empty())  // what stood between the calls
    answer.content.erase(answer.content.find_last_not_of(" \t\r\n") + 1);
  return answer;
}

}  // namespace argosy::text
