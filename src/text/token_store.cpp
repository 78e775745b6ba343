#include "text/token_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "text/json_reader.h"
#include "text/tokenizer_files.h"

namespace argosy::text {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr const char *kStoreFile = "store.json", *kTokensFile = "tokens.bin",
                     *kDocumentsFile = "documents.bin", *kAnswersFile = "answers.bin";
constexpr const char* kFormat = "argosy tokens 1";
constexpr int64_t kMostTokens = int64_t{1} << 48;

int bytes_for(int64_t vocabulary) { return vocabulary <= 65536 ? 2 : 4; }

void append_bytes(std::string& buffer, const auto& value) {
  buffer.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

bool is_token_store(const Path& folder) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(folder / kStoreFile, ignored);
}

void expect_no_store(const Path& folder) {
  std::error_code ignored;
  if (std::filesystem::exists(folder, ignored) && !std::filesystem::is_empty(folder, ignored))
    throw file_error("create", folder, EEXIST);
}

std::optional<Token> document_end(const Tokenizer& tokenizer) {
  if (const auto end = tokenizer.find("<|endoftext|>"); end && tokenizer.is_special(*end))
    return end;
  if (!tokenizer.ends().empty()) return tokenizer.ends()[0];
  return std::nullopt;
}

TokenStore::TokenStore(const Path& folder) : folder_(folder) {
  const auto fail = [&](std::string what, const char* fix = "make the store again") {
    throw Error({.what = std::move(what), .where = folder, .fix = fix, .kind = ErrorKind::file});
  };
  if (!is_token_store(folder))
    fail("it is no token store", "make one with argosy data tokens TEXT... --to STORE");
  const Path info_file = folder / kStoreFile;
  const nlohmann::json parsed = JsonReader::parse(read_file(info_file, 1 << 20), info_file);
  const JsonReader info(parsed, info_file);
  if (info.at("format").text() != kFormat)
    fail(fmt::format("its format is \"{}\", this program knows \"{}\"",
                     info.at("format").text().substr(0, 40), kFormat));
  const auto number = [&](const char* key, int64_t least, int64_t most) {
    const int64_t value = info.at(key).whole_number();
    if (value < least || value > most)
      info.at(key).fail(fmt::format("{} is not in [{}, {}]", value, least, most),
                        "make the store again");
    return value;
  };
  vocabulary_ = number("vocabulary", 1, INT32_MAX);
  chat_ = info.text("chat", "");
  tokens_ = number("tokens", 0, kMostTokens);
  const int64_t documents = number("documents", 0, tokens_);
  token_bytes_ = bytes_for(vocabulary_);
  const auto map = [&](const char* name, int64_t size) {
    auto file = std::make_unique<MappedFile>(folder / name);
    if (file->bytes().size() != static_cast<size_t>(size))
      fail(fmt::format("{} has {} bytes, {} are expected", name, file->bytes().size(), size));
    return file;
  };
  token_file_ = map(kTokensFile, tokens_ * token_bytes_);
  document_file_ = map(kDocumentsFile, (documents + 1) * 8);
  document_begins_ = {reinterpret_cast<const uint64_t*>(document_file_->bytes().data()),
                      static_cast<size_t>(documents) + 1};
  if (document_begins_[0] != 0 || document_begins_.back() != static_cast<uint64_t>(tokens_) ||
      !std::is_sorted(document_begins_.begin(), document_begins_.end(), std::less_equal<>()))
    fail(fmt::format("{} is no list of ascending places", kDocumentsFile));
  if (info.flag("answers", false)) {
    answer_file_ = map(kAnswersFile, tokens_);
    answers_ = answer_file_->bytes();
  }
}

int64_t TokenStore::document_of(int64_t token) const {
  return std::upper_bound(document_begins_.begin(), document_begins_.end(),
                          static_cast<uint64_t>(token)) -
         document_begins_.begin() - 1;
}

void TokenStore::read(int64_t begin, std::span<int32_t> tokens) const {
  check(begin >= 0 && begin + static_cast<int64_t>(tokens.size()) <= tokens_,
        "tokens {} to {} of {}", begin, begin + static_cast<int64_t>(tokens.size()), tokens_);
  const std::byte* data = token_file_->bytes().data() + begin * token_bytes_;
  for (size_t i = 0; i < tokens.size(); ++i) {
    uint32_t token = 0;
    std::memcpy(&token, data + i * static_cast<size_t>(token_bytes_),
                static_cast<size_t>(token_bytes_));
    if (token >= vocabulary_)
      throw Error({.what = fmt::format("token {} is {}, the vocabulary has {}",
                                       begin + static_cast<int64_t>(i), token, vocabulary_),
                   .where = folder_ / kTokensFile,
                   .fix = "make the store again",
                   .kind = ErrorKind::file});
    tokens[i] = static_cast<int32_t>(token);
  }
}

std::unique_ptr<Tokenizer> TokenStore::tokenizer() const {
  std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(folder_);
  if (tokenizer->vocabulary() != vocabulary_)
    throw Error({.what = fmt::format("its tokenizer has {} tokens, its vocabulary {}",
                                     tokenizer->vocabulary(), vocabulary_),
                 .where = folder_,
                 .fix = "make the store again",
                 .kind = ErrorKind::file});
  return tokenizer;
}

int64_t TokenStore::cut(double share) const {
  const auto place = static_cast<int64_t>(static_cast<double>(tokens_) * std::clamp(share, 0., 1.));
  if (documents() < 2 && !has_answers()) return place;
  return static_cast<int64_t>(*std::lower_bound(document_begins_.begin(), document_begins_.end(),
                                                static_cast<uint64_t>(place)));
}

TokenStoreWriter::TokenStoreWriter(const Path& folder, const Tokenizer& tokenizer)
    : tokenizer_(tokenizer), folder_(folder), token_bytes_(bytes_for(tokenizer.vocabulary())) {
  expect_no_store(folder);
  token_file_ = std::make_unique<PartialFile>(folder_.path() / kTokensFile);
  document_file_ = std::make_unique<PartialFile>(folder_.path() / kDocumentsFile);
  answer_file_ = std::make_unique<PartialFile>(folder_.path() / kAnswersFile);
}

TokenStoreWriter::~TokenStoreWriter() = default;

void TokenStoreWriter::add(std::span<const Token> document, const std::vector<bool>& answers) {
  check(answers.empty() || answers.size() == document.size(), "{} tokens, {} answers",
        document.size(), answers.size());
  if (document.empty()) return;
  buffer_.clear();
  append_bytes(buffer_, static_cast<uint64_t>(tokens_));
  document_file_->write(buffer_);
  buffer_.clear();
  for (const Token token : document) {
    check(token >= 0 && token < tokenizer_.vocabulary(), "token {}", token);
    if (token_bytes_ == 2)
      append_bytes(buffer_, static_cast<uint16_t>(token));
    else
      append_bytes(buffer_, static_cast<uint32_t>(token));
  }
  token_file_->write(buffer_);
  buffer_.assign(document.size(), '\1');
  for (size_t i = 0; i < answers.size(); ++i)
    if (!answers[i]) buffer_[i] = '\0';
  answer_file_->write(buffer_);
  any_answers_ |= !answers.empty();
  tokens_ += static_cast<int64_t>(document.size());
  ++documents_;
}

void TokenStoreWriter::commit(const std::string& chat) {
  buffer_.clear();
  append_bytes(buffer_, static_cast<uint64_t>(tokens_));
  document_file_->write(buffer_);
  token_file_->commit();
  document_file_->commit();
  if (any_answers_) answer_file_->commit();
  answer_file_.reset();  // without commit() it leaves nothing
  tokenizer_.write(folder_.path());
  const nlohmann::ordered_json info = {
      {"format", kFormat},       {"tokens", tokens_},
      {"documents", documents_}, {"vocabulary", tokenizer_.vocabulary()},
      {"answers", any_answers_}, {"chat", chat}};
  write_file(folder_.path() / kStoreFile, info.dump(2) + "\n");
  folder_.commit();
}

}  // namespace argosy::text
