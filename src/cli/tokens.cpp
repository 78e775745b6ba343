#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/byte_size.h"
#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/signals.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "run/language_model.h"
#include "text/bpe_training.h"
#include "text/character_tokenizer.h"
#include "text/chat_template.h"
#include "text/tokenize_files.h"
#include "text/tokenizer_files.h"

namespace argosy::cli {
namespace {

struct Options {
  std::vector<std::string> texts;
  std::string to, tokenizer = "bpe", chat_format, json;
  int64_t vocabulary = 8192;
  bool strict = false;
};

int64_t total_bytes(const std::vector<Path>& files) {
  int64_t bytes = 0;
  std::error_code ignored;
  for (const Path& file : files)
    bytes += static_cast<int64_t>(std::filesystem::file_size(file, ignored));
  return bytes;
}

/// The plain texts of the files, and what is said in conversations.
void for_each_text(const std::vector<Path>& files, bool strict,
                   const std::function<void(std::string_view)>& visit) {
  text::SkippedLines skipped;
  for (const Path& file : files)
    text::for_each_document(
        file,
        [&](const text::Document& document) {
          if (!document.text.empty()) visit(document.text);
          for (const text::Message& message : document.conversation) visit(message.content);
        },
        skipped, strict);
}

std::unique_ptr<text::Tokenizer> train_tokenizer(const std::vector<Path>& files,
                                                 const Options& options) {
  // those that conversations need are there from the beginning
  const std::string special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  text::BpeTraining training;
  for_each_text(files, options.strict, [&](std::string_view text) { training.add(text); });
  return std::make_unique<text::BpeTokenizer>(
      training.finish(options.vocabulary, special, "--vocabulary"), "the trained tokenizer");
}

/// What makes tokens, and the chat format of the model that it belongs to.
struct Reader {
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::function<std::optional<text::ChatTemplate>()> chat;  ///< throws Error: it is not known
};

Reader find_reader(const std::vector<Path>& files, const Options& options) {
  if (options.tokenizer == "bpe")
    return {train_tokenizer(files, options), [] { return text::ChatTemplate::named("chatml"); }};
  if (options.tokenizer == "characters") {
    std::string all;
    for_each_text(files, options.strict, [&](std::string_view text) { all += text; });
    return {text::CharacterTokenizer::of_text(all, files[0]), [] { return std::nullopt; }};
  }
  const auto chat = [](const std::string& jinja, const Path& where) {
    return [=] {
      return jinja.empty() ? std::nullopt
                           : std::optional(text::ChatTemplate::of_text(jinja, where));
    };
  };
  if (text::has_tokenizer(options.tokenizer))
    return {text::open_tokenizer(options.tokenizer),
            chat(text::find_chat_template(options.tokenizer), options.tokenizer)};
  model_files::LanguageModel model = run::open_language_model(options.tokenizer);
  return {std::move(model.tokenizer), chat(model.chat_template, model.path)};
}

/// The format of what may be conversations.
std::optional<text::ChatTemplate> find_chat(const std::vector<Path>& files, const Reader& reader,
                                            const Options& options) {
  if (!options.chat_format.empty()) return text::ChatTemplate::named(options.chat_format);
  const bool may_be = std::any_of(files.begin(), files.end(),
                                  [](const Path& file) { return file.extension() == ".jsonl"; });
  return may_be ? reader.chat() : std::nullopt;
}

nlohmann::ordered_json json_of(const Options& options, const text::TokenizeReport& report,
                               const text::TokenStoreWriter& store, int64_t vocabulary) {
  return {{"folder", options.to},
          {"files", report.files},
          {"bytes", report.bytes},
          {"documents", store.documents()},
          {"conversations", report.conversations},
          {"tokens", store.tokens()},
          {"vocabulary", vocabulary},
          {"skipped_lines", report.skipped.count},
          {"unspelled_bytes", report.unspelled_bytes}};
}

int run(const Options& options) {
  stop_on_signals();
  const std::vector<Path> paths(options.texts.begin(), options.texts.end());
  const std::vector<Path> files = text::text_files(paths);
  text::expect_no_store(options.to);
  const Reader reader = find_reader(files, options);
  const text::Tokenizer& tokenizer = *reader.tokenizer;
  const std::optional<text::ChatTemplate> chat = find_chat(files, reader, options);
  text::TokenStoreWriter store(options.to, tokenizer);
  text::TokenizeReport report;
  {
    Progress bar("tokens", "kB", (total_bytes(files) + 999) / 1000);
    report = text::tokenize_files(
        files, tokenizer, store,
        {.chat = chat ? &*chat : nullptr,
         .strict = options.strict,
         .stop = &stop_asked,
         .progress = [&](int64_t bytes) { bar.update((bytes + 999) / 1000); }});
  }
  if (report.stopped) return kInterruptedExitCode;
  if (report.skipped.count > 0)
    log::warning("{} line{} left out; the first: {}", report.skipped.count,
                 report.skipped.count == 1 ? "" : "s", report.skipped.first);
  if (report.unspelled_bytes > 0)
    log::warning("{} bytes that the vocabulary cannot spell were left out", report.unspelled_bytes);
  if (store.tokens() == 0)
    throw Error({.what = "there is no text in it", .where = files[0], .fix = "give other files"});
  store.commit(report.conversations > 0 ? chat->name() : "");
  if (!on_standard_output(options.json))
    fmt::print("{}: {} tokens of a vocabulary of {}, {} document{} in {} file{}, {}\n", options.to,
               store.tokens(), tokenizer.vocabulary(), store.documents(),
               store.documents() == 1 ? "" : "s", report.files, report.files == 1 ? "" : "s",
               byte_size_text(static_cast<size_t>(report.bytes)));
  if (!options.json.empty())
    write_json(options.json, json_of(options, report, store, tokenizer.vocabulary()).dump(2));
  return 0;
}

}  // namespace

std::function<int()> data_tokens(Arguments& arguments) {
  const auto options = std::make_shared<Options>();
  arguments.positionals("TEXT", options->texts,
                        "text files, JSON lines ({\"text\": ...} or {\"messages\": [...]}), or "
                        "folders of them");
  arguments.option("--to", options->to, "the new token store", true);
  arguments.option(
      "--tokenizer", options->tokenizer,
      "bpe (learned from the texts), characters, a file or folder with a tokenizer, or "
      "a model: GGUF file, folder or name");
  arguments.option("--vocabulary", options->vocabulary, "tokens of a learned tokenizer");
  arguments.option("--chat-format", options->chat_format,
                   fmt::format("format of conversations: {}; by itself the tokenizer's",
                               fmt::join(text::chat_formats(), ", ")));
  arguments.flag("--strict", options->strict, "end at the first line that would be left out");
  arguments.option("--json", options->json, kJsonHelp);
  return [options] { return run(*options); };
}

}  // namespace argosy::cli
