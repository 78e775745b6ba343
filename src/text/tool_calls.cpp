#include "text/tool_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
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

/// Where the text ends that cannot become the beginning of a call.
size_t end_of_text(std::string_view text) {
  const size_t mark = text.rfind(kToolCallBegins[0]);
  const bool begun = mark != text.npos && kToolCallBegins.starts_with(text.substr(mark));
  return begun ? mark : text.size();
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

Answer& Answer::operator+=(Answer more) {
  content += more.content;
  std::ranges::move(more.tool_calls, std::back_inserter(tool_calls));
  return *this;
}

Answer AnswerReader::take(std::string_view more, bool last) {
  held_ += more;
  Answer answer;
  const auto say = [&](size_t count) {
    answer.content += held_.substr(0, count);
    held_.erase(0, count);
  };
  while (true) {
    size_t open = held_.find(kToolCallBegins);
    const bool opened = open != held_.npos;
    if (!opened) open = last ? held_.size() : end_of_text(held_);
    const std::string_view before = std::string_view(held_).substr(0, open);
    const size_t text = before.find_last_not_of(" \t\r\n") + 1;
    say(text);
    if (!opened) break;
    const size_t from = open - text + kToolCallBegins.size();
    size_t close = held_.find(kToolCallEnds, std::max(from, searched_));
    if (close == held_.npos && !last) {
      searched_ = held_.size() - std::min(held_.size(), kToolCallEnds.size() - 1);
      return answer;
    }
    close = std::min(close, held_.size());  // the end may be missing
    const size_t end = std::min(close + kToolCallEnds.size(), held_.size());
    if (auto call = read_call(std::string_view(held_).substr(from, close - from))) {
      answer.tool_calls.push_back(*std::move(call));
      called_ = true;
      held_.erase(0, end);
    } else {
      say(end);
    }
    searched_ = 0;
  }
  if (last && !called_) say(held_.size());
  return answer;
}

Answer read_answer(std::string_view text) {
  AnswerReader reader;
  Answer answer = reader.push(text);
  return answer += reader.finish();
}

}  // namespace argosy::text
