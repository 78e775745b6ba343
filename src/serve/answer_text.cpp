#include "serve/answer_text.h"

#include <algorithm>
#include <utility>

namespace argosy::serve {
namespace {

/// Length of the longest end of `text` that `mark` begins with and is not all of `mark`.
size_t begun(std::string_view text, std::string_view mark) {
  if (mark.empty()) return 0;
  for (size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length)
    if (text.ends_with(mark.substr(0, length))) return length;
  return 0;
}

}  // namespace

std::string AnswerText::take(const std::string& more, bool last) {
  if (stopped_) return "";
  held_ += more;
  size_t end = std::string::npos, hold = 0;
  for (const std::string& stop : stops_) {
    end = std::min(end, held_.find(stop));
    hold = std::max(hold, begun(held_, stop));
  }
  stopped_ = end != std::string::npos;
  if (!stopped_) end = last ? held_.size() : held_.size() - hold;
  std::string sure = held_.substr(0, end);
  held_.erase(0, end);
  return sure;
}

}  // namespace argosy::serve
