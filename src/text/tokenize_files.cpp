#include "text/tokenize_files.h"

#include <algorithm>

#include "base/error.h"

namespace argosy::text {
namespace {

int64_t unspelled(const std::vector<Token>& tokens, size_t bytes, const Tokenizer& tokenizer) {
  int64_t left = static_cast<int64_t>(bytes);
  for (const Token token : tokens) left -= static_cast<int64_t>(tokenizer.bytes(token).size());
  return std::max<int64_t>(left, 0);
}

}  // namespace

Prompt encode_conversation(std::span<const Message> messages, const ChatTemplate& chat,
                           const Tokenizer& tokenizer) {
  return encode_parts(chat.render(messages, false), tokenizer);
}

TokenizeReport tokenize_files(std::span<const Path> files, const Tokenizer& tokenizer,
                              TokenStoreWriter& store, const TokenizeOptions& options) {
  const std::optional<Token> end = document_end(tokenizer);
  TokenizeReport report;
  const auto add_conversation = [&](const Document& document) {
    if (!options.chat)
      throw Error({.what = "it is a conversation, and no chat format is named",
                   .where = document.where,
                   .fix = "name one: --chat-format chatml"});
    Prompt prompt;
    try {
      prompt = encode_conversation(document.conversation, *options.chat, tokenizer);
    } catch (const Error& error) {  // a role that is none, say
      if (options.strict) throw;
      if (report.skipped.count++ == 0) report.skipped.first = document.where + ", " + error.what();
      return;
    }
    store.add(prompt.tokens, prompt.answers);
    for (const Message& message : document.conversation)
      report.bytes += static_cast<int64_t>(message.content.size());
    ++report.conversations;
  };
  int64_t done = 0, begun = 0;  // bytes of whole files, of texts before this one's
  const auto add = [&](const Document& document) {
    if (report.stopped |= options.stop && *options.stop) return;
    report.bytes += static_cast<int64_t>(document.text.size());
    if (document.is_conversation()) return add_conversation(document);
    std::vector<Token> tokens = tokenizer.encode(document.text);
    report.unspelled_bytes += unspelled(tokens, document.text.size(), tokenizer);
    tokens = tokenizer.opened(std::move(tokens));
    if (end) tokens.push_back(*end);
    store.add(tokens);
    if (options.progress) options.progress(done + report.bytes - begun);
  };
  for (const Path& file : files) {
    if (options.stop && *options.stop) {
      report.stopped = true;
      break;
    }
    begun = report.bytes;
    for_each_document(file, add, report.skipped, options.strict);
    ++report.files;
    std::error_code ignored;
    done += static_cast<int64_t>(std::filesystem::file_size(file, ignored));
    if (options.progress) options.progress(done);
  }
  return report;
}

}  // namespace argosy::text
