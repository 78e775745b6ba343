#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "text/chat_template.h"

namespace argosy::text {

/// One text to learn from: a plain one, or a conversation.
struct Document {
  std::string where;  ///< the file, or the line of it
  std::string_view text;
  std::vector<Message> conversation;
  bool is_conversation() const { return !conversation.empty(); }
};

/// What could not be read.
struct SkippedLines {
  int64_t count = 0;
  std::string first;  ///< what is wrong with the first of them
};

/// The files that `paths` name: a folder stands for its .txt, .md and .jsonl files, in the order of
/// their names. Throws Error (file): no such path, or no such file in a folder.
std::vector<Path> text_files(std::span<const Path> paths);

/// Every document of a file, in order. A .jsonl file has one a line, {"text": ...} or
/// {"messages": [{"role": ..., "content": ...}, ...]}; lines that are neither are left out and
/// counted. Any other file is one document.
///
/// strict  throws Error (file) at the first such line
void for_each_document(const Path& file, const std::function<void(const Document&)>& document,
                       SkippedLines& skipped, bool strict = false);

/// A line of such a file. Throws Error (file), with `where`.
std::vector<Message> read_conversation(std::string_view json, const std::string& where);

}  // namespace argosy::text
