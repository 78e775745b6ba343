#include "text/pattern.h"

#include <fmt/format.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cctype>

#include "base/error.h"

namespace argosy::text {
namespace {

// PCRE2 counts U+180E too, which has been no white space since Unicode 6.3.
constexpr std::string_view kWhiteSpace =
    R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

// Steps of one match: a line of 10 MB passes, an expression that doubles its ways with each
// character does not.
constexpr uint32_t kMostSteps = 100'000'000;
constexpr size_t kLongestExpression = 100'000;

std::string with_white_space(std::string_view expression) {
  std::string result;
  size_t class_begin = std::string::npos;  // of the class that is open
  for (size_t i = 0; i < expression.size(); ++i) {
    const char c = expression[i];
    const bool in_class = class_begin != std::string::npos;
    if (c == '\\' && i + 1 < expression.size()) {
      const char next = expression[++i];
      if (next == 's')
        result += in_class ? std::string(kWhiteSpace) : fmt::format("[{}]", kWhiteSpace);
      else if (next == 'S' && !in_class)
        result += fmt::format("[^{}]", kWhiteSpace);
      else
        (result += '\\') += next;
      continue;
    }
    if (!in_class && c == '[') {
      class_begin = i + 1;
      if (expression.substr(i + 1).starts_with('^')) ++class_begin;
    } else if (in_class && c == ']' && i > class_begin) {  // at the beginning it is a member
      class_begin = std::string::npos;
    }
    result += c;
  }
  return result;
}

std::string message_of(int error) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

struct Free {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

/// Where a match begins and ends; one a thread serves every pattern.
pcre2_match_data* match_data() {
  thread_local const std::unique_ptr<pcre2_match_data, Free> data(
      pcre2_match_data_create(1, nullptr));
  return data.get();
}

}  // namespace

struct Pattern::Code {
  std::unique_ptr<pcre2_code, Free> code;
  std::unique_ptr<pcre2_match_context, Free> context;
  std::string expression;
};

Pattern::Pattern(const std::string& expression, const std::string& where)
    : code_(std::make_unique<Code>()) {
  const std::unique_ptr<pcre2_compile_context, Free> context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_max_pattern_length(context.get(), kLongestExpression);
  const std::string translated = with_white_space(expression);
  int error = 0;
  PCRE2_SIZE at = 0;
  code_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                                  translated.size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                  &error, &at, context.get()));
  if (!code_->code)
    throw Error({.what = fmt::format("the pattern \"{}\" cannot be read ({})",
                                     expression.substr(0, 200), message_of(error)),
                 .where = where,
                 .fix = "use a pattern that PCRE2 knows",
                 .kind = ErrorKind::file});
  // without it (no memory may be made executable) matching is slower and the same
  pcre2_jit_compile(code_->code.get(), PCRE2_JIT_COMPLETE);
  code_->context.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(code_->context.get(), kMostSteps);
  code_->expression = expression;
}

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;

void Pattern::split(std::string_view text, const Piece& piece) const {
  const auto match = [&](size_t from, uint32_t options) {
    return pcre2_match(code_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                       from, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | options, match_data(),
                       code_->context.get());
  };
  size_t done = 0;
  while (done < text.size()) {
    int found = match(done, 0);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(done, PCRE2_NO_JIT);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0)
      throw Error({.what = fmt::format("the pattern \"{}\" gives up ({})",
                                       code_->expression.substr(0, 200), message_of(found)),
                   .where = fmt::format("a text of {} bytes, at byte {}", text.size(), done),
                   .fix = "use another pattern or shorter texts"});
    const size_t* ends = pcre2_get_ovector_pointer(match_data());
    const size_t begin = ends[0], end = ends[1];
    if (begin < done || end <= begin) break;  // \K can turn them round
    if (begin > done) piece(text.substr(done, begin - done));
    piece(text.substr(begin, end - begin));
    done = end;
  }
  if (done < text.size()) piece(text.substr(done));
}

std::string literal_expression(std::string_view text) {
  std::string expression;
  for (const char c : text) {
    if (std::ispunct(static_cast<unsigned char>(c))) expression += '\\';
    expression += c;
  }
  return expression;
}

}  // namespace argosy::text
