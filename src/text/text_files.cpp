#include "text/text_files.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/json_reader.h"

namespace argosy::text {
namespace {

namespace fs = std::filesystem;

constexpr const char* kJsonLines = ".jsonl";

ToolCall read_tool_call(const JsonReader& call) {
  const JsonReader function = call.has("function") ? call.at("function") : call;
  ToolCall result{.name = function.at("name").text(), .arguments = "{}"};
  if (function.has("arguments")) {
    const JsonReader arguments = function.at("arguments");
    result.arguments =
        arguments.json().is_string() ? arguments.text() : arguments.object().json().dump();
  }
  return result;
}

Message read_message(const JsonReader& message) {
  Message result{.role = message.at("role").text(), .content = message.text("content", "")};
  if (message.has("tool_calls")) {
    const JsonReader calls = message.at("tool_calls").list();
    for (size_t i = 0; i < calls.size(); ++i)
      result.tool_calls.push_back(read_tool_call(calls.at(i)));
  }
  return result;
}

std::vector<Message> messages_of(const JsonReader& line) {
  const JsonReader list = (line.is_object() ? line.at("messages") : line).list();
  if (list.size() == 0) list.fail("it has no messages", "leave the line out");
  std::vector<Message> messages;
  for (size_t i = 0; i < list.size(); ++i) messages.push_back(read_message(list.at(i).object()));
  return messages;
}

void read_lines(const Path& file, std::string_view lines,
                const std::function<void(const Document&)>& document, SkippedLines& skipped,
                bool strict) {
  for (int64_t number = 1; !lines.empty(); ++number) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    Document found{.where = fmt::format("{}, line {}", file.string(), number)};
    std::string text;
    try {
      const nlohmann::json parsed = JsonReader::parse(line, found.where);
      const JsonReader reader(parsed, found.where);
      if (reader.has("text"))
        found.text = text = reader.at("text").text();
      else
        found.conversation = messages_of(reader);
    } catch (const Error& error) {
      if (strict) throw;
      if (skipped.count++ == 0) skipped.first = error.what();
      continue;
    }
    document(found);
  }
}

}  // namespace

std::vector<Path> text_files(std::span<const Path> paths) {
  std::vector<Path> files;
  for (const Path& path : paths) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      if (!fs::exists(path, error)) throw file_error("open", path, ENOENT);
      files.push_back(path);
      continue;
    }
    const size_t before = files.size();
    for (const auto& entry : fs::recursive_directory_iterator(path, error)) {
      const Path extension = entry.path().extension();
      if (entry.is_regular_file(error) &&
          (extension == ".txt" || extension == ".md" || extension == kJsonLines))
        files.push_back(entry.path());
    }
    if (files.size() == before)
      throw Error({.what = "the folder has no .txt, .md or .jsonl files",
                   .where = path,
                   .fix = "name files, or a folder that has some",
                   .kind = ErrorKind::file});
    std::sort(files.begin() + static_cast<std::ptrdiff_t>(before), files.end());
  }
  return files;
}

void for_each_document(const Path& file, const std::function<void(const Document&)>& document,
                       SkippedLines& skipped, bool strict) {
  const MappedFile mapped(file);
  const std::string_view bytes(reinterpret_cast<const char*>(mapped.bytes().data()),
                               mapped.bytes().size());
  if (file.extension() == kJsonLines)
    read_lines(file, bytes, document, skipped, strict);
  else if (!bytes.empty())
    document({.where = file, .text = bytes});
}

std::vector<Message> read_conversation(std::string_view json, const std::string& where) {
  const nlohmann::json parsed = JsonReader::parse(json, where);
  return messages_of(JsonReader(parsed, where));
}

}  // namespace argosy::text
