#include "serve/completion_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "serve/api_error.h"
#include "serve/fields.h"

namespace argosy::serve {
namespace {

constexpr size_t kMaxStops = 16, kMaxStopBytes = 1000, kMaxBias = 1024, kMaxTools = 128;
constexpr size_t kMaxPrompts = 64, kMaxMessages = 10'000;
constexpr int64_t kMaxChoices = 64, kMaxLogprobs = 20;

std::string item(const std::string& list, size_t i) { return fmt::format("{}[{}]", list, i); }

std::vector<std::string> read_stops(Fields& fields) {
  const Json* given = fields.find("stop");
  if (!given) return {};
  const Json list = given->is_string() ? Json::array({*given}) : *given;
  if (!list.is_array()) fields.refuse_type("stop", "a string or a list of strings");
  if (list.size() > kMaxStops)
    fields.refuse("stop",
                  fmt::format("it has {} entries; give at most {}", list.size(), kMaxStops));
  std::vector<std::string> stops;
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_string()) fields.refuse(item("stop", i), "it is no string", "invalid_type");
    stops.push_back(list[i].get<std::string>());
    if (stops.back().empty() || stops.back().size() > kMaxStopBytes)
      fields.refuse(item("stop", i), fmt::format("it has {} bytes; give 1 to {}",
                                                 stops.back().size(), kMaxStopBytes));
  }
  return stops;
}

std::vector<std::pair<Token, float>> read_bias(Fields& fields, int64_t vocabulary) {
  std::vector<std::pair<Token, float>> bias;
  const Json* given = fields.object("logit_bias");
  if (!given) return bias;
  if (given->size() > kMaxBias)
    fields.refuse("logit_bias",
                  fmt::format("it has {} entries; give at most {}", given->size(), kMaxBias));
  for (const auto& [name, value] : given->items()) {
    Token token = -1;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), token);
    if (read.ec != std::errc() || read.ptr != name.data() + name.size() || token < 0 ||
        token >= vocabulary)
      fields.refuse("logit_bias", fmt::format("{} is no token; give a whole number from 0 to {}",
                                              shown(name), vocabulary - 1));
    if (!value.is_number()) fields.refuse("logit_bias", "a bias is no number", "invalid_type");
    const auto amount = value.get<double>();
    if (!(amount >= -100 && amount <= 100))
      fields.refuse("logit_bias",
                    fmt::format("a bias is {}; give a number from -100 to 100", amount));
    bias.emplace_back(token, static_cast<float>(amount));
  }
  return bias;
}

/// What both kinds of request have.
void read_common(Fields& fields, int64_t vocabulary, CompletionRequest& request) {
  request.model = fields.text("model");
  Sampling& sampling = request.sampling;
  sampling.temperature = fields.number("temperature", 1, 0, 2);
  sampling.top_p = fields.number("top_p", 1, 0, 1);
  sampling.min_p = fields.number("min_p", 0, 0, 1);
  sampling.top_k = std::max<int64_t>(0, fields.whole("top_k", 0, -1, 1'000'000));  // -1: all
  sampling.presence_penalty = fields.number("presence_penalty", 0, -2, 2);
  sampling.frequency_penalty = fields.number("frequency_penalty", 0, -2, 2);
  sampling.repetition_penalty = fields.number("repetition_penalty", 1, 0.01, 10);
  sampling.bias = read_bias(fields, vocabulary);
  request.seed = fields.maybe_whole("seed", INT64_MIN, INT64_MAX);
  request.choices = fields.whole("n", 1, 1, kMaxChoices);
  request.stops = read_stops(fields);
  request.stream = fields.flag("stream", false);
  if (const Json* given = fields.object("stream_options")) {
    if (!request.stream)
      fields.refuse("stream_options", "it goes with stream alone; set stream, or leave it out");
    Fields options(*given, "stream_options");
    request.include_usage = options.flag("include_usage", false);
    options.accept({"include_obfuscation"});
    options.expect_no_more();
  }
  fields.accept({"user", "metadata", "store", "service_tier", "safety_identifier",
                 "prompt_cache_key", "prompt_cache_retention"});
}

void read_format(Fields& fields, CompletionRequest& request) {
  const Json* given = fields.object("response_format");
  if (!given) return;
  Fields format(*given, "response_format");
  const std::string type = format.choice("type", {"text", "json_object", "json_schema"});
  if (type == "json_object") request.schema = "";
  if (type == "json_schema") {
    const Json* described = format.object("json_schema");
    if (!described) format.refuse("json_schema", "it is missing; give {name, schema}");
    Fields schema(*described, "response_format.json_schema");
    schema.accept({"name", "description", "strict"});
    const Json* text = schema.find("schema");
    request.schema = text ? to_text(*text) : "";
    schema.expect_no_more();
  }
  format.accept({"json_schema"});
  format.expect_no_more();
}

/// A text, or a list of parts that are texts.
std::string read_content(Fields& message) {
  const Json* given = message.find("content");
  if (!given) return "";
  if (given->is_string()) return given->get<std::string>();
  if (!given->is_array()) message.refuse_type("content", "a string or a list of parts");
  std::string content;
  for (size_t i = 0; i < given->size(); ++i) {
    Fields part((*given)[i], message.path_of(item("content", i)));
    const std::string type = part.text("type");
    if (type != "text" && type != "refusal")
      part.refuse("type", fmt::format("it is {}; this model reads text alone", shown(type)));
    const std::string text = part.text(type);
    if (!content.empty() && !text.empty()) content += '\n';
    content += text;
  }
  return content;
}

std::vector<text::ToolCall> read_calls(Fields& message) {
  std::vector<text::ToolCall> calls;
  const Json* given = message.list("tool_calls", kMaxTools);
  for (size_t i = 0; given && i < given->size(); ++i) {
    Fields call((*given)[i], message.path_of(item("tool_calls", i)));
    const Json* function = call.object("function");
    if (!function) call.refuse("function", "it is missing; give {name, arguments}");
    Fields named(*function, call.path_of("function"));
    const std::string arguments = named.text("arguments", "");  // "" of functions without any
    calls.push_back({named.text("name"), arguments.empty() ? "{}" : arguments});
    if (!parse_json(calls.back().arguments, named.path_of("arguments")).is_object())
      named.refuse("arguments", "it is no JSON object; give one as a string");
  }
  return calls;
}

void read_messages(Fields& fields, CompletionRequest& request) {
  const Json* given = fields.list("messages", kMaxMessages);
  if (!given || given->empty()) fields.refuse("messages", "it is empty; give at least one message");
  for (size_t i = 0; i < given->size(); ++i) {
    Fields fields_of((*given)[i], item("messages", i));
    text::Message message;
    message.role = fields_of.text("role");
    if (message.role == "developer") message.role = "system";
    static const std::vector<std::string> kRoles = {"system", "user", "assistant", "tool"};
    if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end())
      fields_of.refuse("role", fmt::format("it is {}; it may be system, developer, user, assistant "
                                           "or tool",
                                           shown(message.role)));
    message.content = read_content(fields_of);
    if (message.role == "assistant")
      message.tool_calls = read_calls(fields_of);
    else if (!fields_of.find("content"))
      fields_of.refuse("content", "it is missing; give a text");
    // what an answer of ours had, and others', when it is sent back
    fields_of.accept({"name", "tool_call_id", "refusal", "tool_calls", "annotations", "audio",
                      "function_call", "reasoning", "reasoning_content"});
    fields_of.expect_no_more();
    request.messages.push_back(std::move(message));
  }
}

void read_tools(Fields& fields, CompletionRequest& request) {
  using ToolChoice = CompletionRequest::ToolChoice;
  const Json* given = fields.list("tools", kMaxTools);
  for (size_t i = 0; given && i < given->size(); ++i) {
    Fields tool((*given)[i], item("tools", i));
    tool.choice("type", {"function"});
    const Json* function = tool.object("function");
    if (!function) tool.refuse("function", "it is missing; give {name, description, parameters}");
    Fields named(*function, tool.path_of("function"));
    const std::string name = named.text("name");
    if (name.empty() || name.size() > 64) named.refuse("name", "give a name of 1 to 64 bytes");
    const Json* parameters = named.object("parameters");
    request.tool_texts.push_back(to_text((*given)[i]));
    request.tools.push_back(
        {name, named.text("description"), parameters ? to_text(*parameters) : ""});
    named.accept({"strict"});
    named.expect_no_more();
    tool.expect_no_more();
  }
  request.parallel_calls = fields.flag("parallel_tool_calls", true);
  if (!request.tools.empty()) request.tool_choice = ToolChoice::automatic;
  const Json* choice = fields.find("tool_choice");
  if (!choice) return;
  if (choice->is_object()) {
    Fields named(*choice, "tool_choice");
    named.choice("type", {"function"});
    const Json* function = named.object("function");
    if (!function) named.refuse("function", "it is missing; give {name}");
    Fields of(*function, "tool_choice.function");
    request.tool = of.text("name");
    const bool known = std::any_of(request.tools.begin(), request.tools.end(),
                                   [&](const Tool& tool) { return tool.name == request.tool; });
    if (!known)
      of.refuse("name", fmt::format("there is no tool {}; name one of tools", shown(request.tool)));
    request.tool_choice = ToolChoice::required;
    return;
  }
  const std::string name = fields.choice("tool_choice", {"auto", "none", "required"});
  if (name == "none") request.tool_choice = ToolChoice::none;
  if (name != "required") return;
  if (request.tools.empty()) fields.refuse("tool_choice", "there are no tools; give tools");
  request.tool_choice = ToolChoice::required;
}

/// Text, texts, tokens or lists of tokens.
void read_prompts(Fields& fields, int64_t vocabulary, CompletionRequest& request) {
  const Json* given = fields.find("prompt");
  if (!given) fields.refuse("prompt", "it is missing; give a text");
  if (given->is_string()) {
    request.prompts.emplace_back(given->get<std::string>());
    return;
  }
  if (!given->is_array() || given->empty())
    fields.refuse_type("prompt", "a string, a list of strings or of tokens");
  const auto tokens = [&](const Json& list, const std::string& path) {
    std::vector<Token> read;
    for (const Json& token : list) {
      if (!token.is_number_unsigned() || token.get<uint64_t>() >= static_cast<uint64_t>(vocabulary))
        fields.refuse(path, fmt::format("{} is no token; give whole numbers from 0 to {}",
                                        shown(token), vocabulary - 1));
      read.push_back(token.get<Token>());
    }
    return read;
  };
  if ((*given)[0].is_number()) {
    request.prompts.emplace_back(tokens(*given, "prompt"));
    return;
  }
  if (given->size() > kMaxPrompts)
    fields.refuse("prompt",
                  fmt::format("it has {} entries; give at most {}", given->size(), kMaxPrompts));
  for (size_t i = 0; i < given->size(); ++i) {
    const Json& prompt = (*given)[i];
    if (prompt.is_string())
      request.prompts.emplace_back(prompt.get<std::string>());
    else if (prompt.is_array())
      request.prompts.emplace_back(tokens(prompt, item("prompt", i)));
    else
      fields.refuse(item("prompt", i), "it is neither a text nor a list of tokens", "invalid_type");
  }
}

}  // namespace

CompletionRequest read_chat_request(std::string_view body, int64_t vocabulary) {
  const Json json = parse_json(body, "the request's body");
  Fields fields(json);
  CompletionRequest request{.chat = true};
  read_common(fields, vocabulary, request);
  read_messages(fields, request);
  const auto old = fields.maybe_whole("max_tokens", 1, INT32_MAX);
  const auto now = fields.maybe_whole("max_completion_tokens", 1, INT32_MAX);
  request.max_tokens = now ? now : old;
  const bool logprobs = fields.flag("logprobs", false);
  const auto top = fields.maybe_whole("top_logprobs", 0, kMaxLogprobs);
  if (top && !logprobs)
    fields.refuse("top_logprobs", "it goes with logprobs alone; set logprobs, or leave it out");
  if (logprobs) request.sampling.logprobs = top.value_or(0);
  read_format(fields, request);
  read_tools(fields, request);
  if (request.schema && request.tool_choice == CompletionRequest::ToolChoice::required)
    fields.refuse("response_format",
                  "a call that is required has a form of its own; leave it out, "
                  "or set tool_choice to auto");
  if (const Json* kinds = fields.find("modalities"); kinds && *kinds != Json::array({"text"}))
    fields.refuse("modalities", "this model writes text alone; leave it out");
  fields.accept({"reasoning_effort", "verbosity"});
  fields.expect_no_more();
  return request;
}

CompletionRequest read_completion_request(std::string_view body, int64_t vocabulary) {
  const Json json = parse_json(body, "the request's body");
  Fields fields(json);
  CompletionRequest request;
  read_common(fields, vocabulary, request);
  read_prompts(fields, vocabulary, request);
  request.echo = fields.flag("echo", false);
  request.max_tokens =  // 16 as OpenAI has it
      fields.whole("max_tokens", 16, request.echo ? 0 : 1, INT32_MAX);
  request.sampling.logprobs = fields.whole("logprobs", -1, 0, kMaxLogprobs);
  read_format(fields, request);
  if (!fields.text("suffix").empty())
    fields.refuse("suffix", "this model writes no text between two; leave it out");
  if (const auto best = fields.maybe_whole("best_of", 1, kMaxChoices);
      best && *best != request.choices)
    fields.refuse("best_of", "it is not supported beyond n; leave it out");
  if (request.choices * static_cast<int64_t>(request.prompts.size()) > kMaxChoices)
    fields.refuse("n",
                  fmt::format("n times the number of prompts is above {}; ask for fewer at once",
                              kMaxChoices));
  fields.expect_no_more();
  return request;
}

}  // namespace argosy::serve
