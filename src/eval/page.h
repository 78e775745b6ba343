#pragma once
#include <fmt/format.h>

#include <iterator>
#include <string>

#include "eval/plot.h"
#include "eval/report_style.h"

namespace argosy::eval {

/// An HTML page that needs nothing else, appended to as it goes.
class Page {
 public:
  /// `style`: more of it, behind that of all pages.
  explicit Page(const std::string& title, const char* style = "") {
    add("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
        "<title>{}</title><style>{}{}</style></head><body><main>\n",
        escape(title), kReportStyle, style);
  }
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }
  void begin_section(const char* title) { add("<section><h2>{}</h2>\n", title); }
  void end_section() { add("</section>\n"); }
  /// `script`: runs when all of the page is there.
  std::string finish(const char* script = "") {
    add("</main>{}{}{}</body></html>\n", *script ? "<script>" : "", script,
        *script ? "</script>" : "");
    return std::move(text_);
  }

 private:
  std::string text_;
};

}  // namespace argosy::eval
