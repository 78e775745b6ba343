#include "text/chat_template.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>

#include "base/error.h"
#include "base/nearest.h"
#include "text/json_reader.h"
#include "text/tool_calls.h"

namespace argosy::text {
namespace {

using Tools = std::span<const std::string>;

/// Collects parts; neighbours of plain text become one, so that their tokens may reach over what
/// is put together here.
class Parts {
 public:
  Parts& text(std::string_view text, bool answer = false) {
    if (text.empty()) return *this;
    if (!parts_.empty() && !parts_.back().special && parts_.back().answer == answer)
      parts_.back().text += text;
    else
      parts_.push_back({std::string(text), false, answer});
    return *this;
  }
  Parts& special(std::string_view name, bool answer = false) {
    parts_.push_back({std::string(name), true, answer});
    return *this;
  }
  std::vector<PromptPart> take() { return std::move(parts_); }

 private:
  std::vector<PromptPart> parts_;
};

struct Conversation {
  std::optional<std::string_view> system;
  std::span<const Message> turns;
  Tools tools;
  bool answer_next;
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == text.npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

bool is_system(const Message& message) {
  return message.role == "system" || message.role == "developer";
}
std::string_view role_of(const Message& message) {
  return is_system(message) ? "system" : std::string_view(message.role);
}

void render_chatml(const Conversation& conversation, Parts& parts) {
  const auto open = [&](std::string_view role) {
    parts.special("<|im_start|>").text(role).text("\n");
  };
  const auto close = [&](bool answer = false) { parts.special("<|im_end|>", answer).text("\n"); };
  if (conversation.system || !conversation.tools.empty()) {
    open("system");
    parts.text(conversation.system.value_or(""));
    if (!conversation.tools.empty()) parts.text(tools_as_text(conversation.tools));
    close();
  }
  for (size_t i = 0; i < conversation.turns.size(); ++i) {
    const Message& turn = conversation.turns[i];
    if (turn.role == "tool") {  // the answers of several tools are one turn of the user
      const auto is_tool = [&](size_t at) {
        return at < conversation.turns.size() && conversation.turns[at].role == "tool";
      };
      if (i == 0 || !is_tool(i - 1)) parts.special("<|im_start|>").text("user");
      parts.text("\n<tool_response>\n").text(turn.content).text("\n</tool_response>");
      if (!is_tool(i + 1)) close();
      continue;
    }
    const bool answer = turn.role == "assistant";
    open(role_of(turn));
    parts.text(turn.content, answer).text(tool_calls_as_text(turn), answer);
    close(answer);
  }
  if (conversation.answer_next) open("assistant");
}

/// preamble  what the system message begins with, whether or not there is one
void render_llama3(const Conversation& conversation, Parts& parts, const std::string& preamble) {
  const auto open = [&](std::string_view role) {
    parts.special("<|start_header_id|>").text(role).special("<|end_header_id|>").text("\n\n");
  };
  parts.special("<|begin_of_text|>");
  if (conversation.system || !preamble.empty()) {
    open("system");
    parts.text(preamble).text(trimmed(conversation.system.value_or(""))).special("<|eot_id|>");
  }
  for (const Message& turn : conversation.turns) {
    const bool answer = turn.role == "assistant";
    open(role_of(turn));
    parts.text(trimmed(turn.content), answer).special("<|eot_id|>", answer);
  }
  if (conversation.answer_next) open("assistant");
}

void render_llama3_0(const Conversation& conversation, Parts& parts) {
  render_llama3(conversation, parts, "");
}

std::string dated(const std::string& date) {
  return fmt::format("Cutting Knowledge Date: December 2023\nToday Date: {}\n\n", date);
}

/// Llama 3.1's template has one day for ever, 3.2's the day at hand.
void render_llama3_1(const Conversation& conversation, Parts& parts) {
  render_llama3(conversation, parts, dated("26 Jul 2024"));
}

void render_llama3_2(const Conversation& conversation, Parts& parts) {
  const std::time_t now = std::time(nullptr);
  std::tm day{};
  localtime_r(&now, &day);
  char text[32];
  std::strftime(text, sizeof text, "%d %b %Y", &day);
  render_llama3(conversation, parts, dated(text));
}

void render_llama2(const Conversation& conversation, Parts& parts) {
  std::string system;
  if (conversation.system)
    system = fmt::format("<<SYS>>\n{}\n<</SYS>>\n\n", trimmed(*conversation.system));
  for (const Message& turn : conversation.turns) {
    if (turn.role == "assistant") {
      parts.text(" ", true).text(trimmed(turn.content), true).text(" ", true);
      parts.special("</s>", true);
    } else {
      parts.special("<s>").text("[INST] ").text(system).text(trimmed(turn.content));
      parts.text(" [/INST]");
      system.clear();
    }
  }
}

/// Mistral's second: what the system says stands before the first question.
void render_mistral(const Conversation& conversation, Parts& parts) {
  std::string system;
  if (conversation.system) system = std::string(*conversation.system) + "\n\n";
  parts.special("<s>");
  for (const Message& turn : conversation.turns) {
    if (turn.role == "assistant") {
      parts.text(turn.content, true).special("</s>", true);
    } else {
      parts.text("[INST] ").text(system).text(turn.content).text(" [/INST]");
      system.clear();
    }
  }
}

/// Zephyr's, which TinyLlama has too: the roles are plain text.
void render_zephyr(const Conversation& conversation, Parts& parts) {
  const auto turn = [&](std::string_view role, std::string_view content, bool answer) {
    parts.text("<|").text(role).text("|>\n").text(content, answer).special("</s>", answer);
    parts.text("\n");
  };
  if (conversation.system) turn("system", *conversation.system, false);
  for (const Message& message : conversation.turns)
    turn(role_of(message), message.content, message.role == "assistant");
  if (conversation.answer_next) parts.text("<|assistant|>\n");
}

/// For models that were never taught a format.
void render_plain(const Conversation& conversation, Parts& parts) {
  if (conversation.system) parts.text(*conversation.system).text("\n\n");
  for (const Message& turn : conversation.turns) {
    const bool answer = turn.role == "assistant";
    if (is_system(turn)) {
      parts.text(turn.content).text("\n\n");
      continue;
    }
    parts.text(answer ? "Assistant:" : "User:");
    parts.text(" ", answer).text(turn.content, answer).text("\n", answer);
  }
  if (conversation.answer_next) parts.text("Assistant:");
}

struct Format {
  const char* name;
  void (*render)(const Conversation&, Parts&);
  /// What a template text must have to be of this format, and which other names "<|...|>" it may
  /// have; empty: it is never found in a text.
  std::vector<std::string> must = {}, may = {};
  bool tools = false;
  bool systems = false;  ///< a system message may stand anywhere
  std::vector<std::string> stops = {};
  std::string_view never = {};  ///< what a template text may not have
};

const std::vector<std::string> kOfTools = {"<|begin_of_text|>", "<|python_tag|>", "<|eom_id|>"};

std::vector<std::string> with_date(std::vector<std::string> date) {
  for (const char* part :
       {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
        "\"Cutting Knowledge Date: December 2023", "\"Today Date: \" + date_string"})
    date.emplace_back(part);
  return date;
}

const std::vector<Format>& formats() {
  static const std::vector<Format> table = {
      {.name = "chatml",
       .render = render_chatml,
       .must = {"<|im_start|>", "<|im_end|>"},
       .may = {"<|endoftext|>"},
       .tools = true,
       .systems = true},
      {.name = "llama-3",
       .render = render_llama3_0,
       .must = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
       .may = {"<|begin_of_text|>"},
       .systems = true,
       .never = "Today Date"},
      {.name = "llama-3.2",
       .render = render_llama3_2,
       .must = with_date({"strftime_now(", "%d %b %Y"}),
       .may = kOfTools,
       .systems = true},
      {.name = "llama-3.1",
       .render = render_llama3_1,
       .must = with_date({"\"26 Jul 2024\""}),
       .may = kOfTools,
       .systems = true},
      {.name = "llama-2", .render = render_llama2, .must = {"[INST]", "[/INST]", "<<SYS>>"}},
      {.name = "mistral",
       .render = render_mistral,
       .must = {"'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token}"}},
      {.name = "zephyr",
       .render = render_zephyr,
       .must = {"'<|user|>\\n' + message['content'] + eos_token", "'<|system|>\\n'",
                "add_generation_prompt"},
       .may = {"<|user|>", "<|assistant|>", "<|system|>"},
       .systems = true},
      {.name = "plain", .render = render_plain, .systems = true, .stops = {"\nUser:"}},
  };
  return table;
}

const Format& format_named(const std::string& name) {
  for (const Format& format : formats())
    if (format.name == name) return format;
  const std::vector<std::string> known = chat_formats();
  throw Error({.what = fmt::format("there is no chat format \"{}\" (known are {}), the nearest is "
                                   "\"{}\"",
                                   name, fmt::join(known, ", "), nearest_name(name, known)),
               .where = "chat format",
               .fix = "name a known one"});
}

/// The names "<|...|>" in a text.
std::vector<std::string> names_in(std::string_view text) {
  constexpr size_t kLongest = 64;
  std::vector<std::string> names;
  for (size_t at = text.find("<|"); at != text.npos; at = text.find("<|", at + 2)) {
    const std::string_view rest = text.substr(at, kLongest);
    const std::string_view name = rest.substr(0, rest.find("|>", 2) + 2);
    if (name.ends_with("|>") && name.find_first_of(" \n'\"") == name.npos) names.emplace_back(name);
  }
  return names;
}

/// The system message that a ChatML template puts where there is none: a text between the names,
/// without anything that is put in.
std::string default_system_of(std::string_view jinja) {
  constexpr std::string_view kEnd = "<|im_end|>";
  constexpr size_t kLongest = 10'000;
  for (const std::string_view begin : {"<|im_start|>system\n", "<|im_start|>system\\n"}) {
    for (size_t at = jinja.find(begin); at != jinja.npos; at = jinja.find(begin, at + 1)) {
      const std::string_view rest = jinja.substr(at + begin.size(), kLongest);
      const std::string_view message = rest.substr(0, rest.find(kEnd));
      if (message.size() < rest.size() && message.find_first_of("'\"{}\\+") == message.npos)
        return std::string(message);
    }
  }
  return "";
}

void check_role(const Message& message, size_t index, const Format& format) {
  const auto fail = [&](std::string what, std::string fix) {
    throw Error({.what = std::move(what),
                 .where = fmt::format("message {}", index),
                 .fix = std::move(fix)});
  };
  const bool system = is_system(message);
  if (system && index > 0 && !format.systems)
    fail(fmt::format("the chat format {} has no system message but the first", format.name),
         "put it first");
  const bool tool = message.role == "tool" || !message.tool_calls.empty();
  if (tool && !format.tools)
    fail(fmt::format("the chat format {} has no tools", format.name), "use a model that has");
  if (!system && message.role != "user" && message.role != "assistant" && message.role != "tool")
    fail(fmt::format("there is no role \"{}\"", message.role.substr(0, 40)),
         "use system, user, assistant or tool");
}

}  // namespace

std::vector<std::string> chat_formats() {
  std::vector<std::string> names;
  for (const Format& format : formats()) names.emplace_back(format.name);
  return names;
}

std::string find_chat_template(const Path& folder) {
  constexpr size_t kMostBytes = size_t{1} << 26;
  const Path plain = folder / kChatTemplateFile, config = folder / "tokenizer_config.json";
  if (is_there(plain)) return read_file(plain, kMostBytes);
  if (!is_there(config)) return "";
  return read_chat_template(read_file(config, kMostBytes), config);
}

std::string read_chat_template(std::string_view json, const Path& file) {
  const nlohmann::json parsed = JsonReader::parse(json, file);
  const JsonReader config = JsonReader(parsed, file).object();
  if (!config.has("chat_template")) return "";
  const JsonReader chat = config.at("chat_template");
  if (!chat.json().is_array()) return chat.text();
  for (size_t i = 0; i < chat.size(); ++i)  // several of them have names
    if (chat.at(i).object().text("name", "") == "default") return chat.at(i).at("template").text();
  return "";
}

ChatTemplate ChatTemplate::named(const std::string& name) { return {format_named(name).name, ""}; }

ChatTemplate ChatTemplate::of_text(std::string_view jinja, const std::string& where) {
  const std::vector<std::string> names = names_in(jinja);
  for (const Format& format : formats()) {
    const auto in = [](const std::vector<std::string>& list, const std::string& name) {
      return std::find(list.begin(), list.end(), name) != list.end();
    };
    const bool has_all = !format.must.empty() &&
                         std::all_of(format.must.begin(), format.must.end(),
                                     [&](const auto& m) { return jinja.find(m) != jinja.npos; });
    const bool has_others = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return !in(format.must, name) && !in(format.may, name);
    });
    const bool has_never = !format.never.empty() && jinja.find(format.never) != jinja.npos;
    if (has_all && !has_others && !has_never)
      return {format.name, format.render == render_chatml ? default_system_of(jinja) : ""};
  }
  throw Error({.what = "its chat template is of no known format",
               .where = where,
               .fix = fmt::format("name the format: {}", fmt::join(chat_formats(), ", ")),
               .kind = ErrorKind::file});
}

std::vector<std::string> ChatTemplate::stops() const { return format_named(name_).stops; }

std::vector<PromptPart> ChatTemplate::render(std::span<const Message> messages, bool answer_next,
                                             Tools tools) const {
  const Format& format = format_named(name_);
  if (!tools.empty() && !format.tools)
    throw Error({.what = fmt::format("the chat format {} has no tools", format.name),
                 .where = "tools",
                 .fix = "use a model that has"});
  for (size_t i = 0; i < messages.size(); ++i) check_role(messages[i], i, format);
  Conversation conversation{{}, messages, tools, answer_next};
  if (!default_system_.empty()) conversation.system = default_system_;
  if (!messages.empty() && is_system(messages[0])) {
    conversation.system = messages[0].content;
    conversation.turns = messages.subspan(1);
  }
  Parts parts;
  format.render(conversation, parts);
  return parts.take();
}

Prompt encode_parts(std::span<const PromptPart> parts, const Tokenizer& tokenizer) {
  Prompt prompt;
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto& [text, special, answer] = parts[i];
    std::vector<Token> tokens;
    if (special) {
      const std::optional<Token> token = tokenizer.find(text);
      if (!token)
        throw Error({.what = fmt::format("the vocabulary has no token \"{}\"", text),
                     .where = "chat format",
                     .fix = "name the chat format that the model was taught"});
      tokens = {*token};
    } else {
      tokens = tokenizer.encode(text);
      // a tokenizer that puts a space in front of texts does so in the middle of this one too
      if (i > 0 && !parts[i - 1].special && text.starts_with(' ')) {
        std::string bytes;
        for (const Token token : tokens) bytes += tokenizer.bytes(token);
        if (bytes == " " + text) tokens = tokenizer.encode(std::string_view(text).substr(1));
      }
    }
    prompt.tokens.insert(prompt.tokens.end(), tokens.begin(), tokens.end());
    prompt.answers.insert(prompt.answers.end(), tokens.size(), answer);
  }
  return prompt;
}

}  // namespace argosy::text
