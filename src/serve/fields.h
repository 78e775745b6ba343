#pragma once
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "serve/json_text.h"

namespace argosy::serve {

/// Reads the fields of a JSON object one by one. What has another type or is out of its limits is
/// an ApiError that names the field; so is, at expect_no_more(), a field that nobody asked for.
/// For the .cpp files of this folder, as json_text.h is.
class Fields {
 public:
  /// `path` stands before the names in errors, "messages[2]"; empty at the top.
  explicit Fields(const Json& object, std::string path = "");

  /// The value; null where there is none, or JSON's null.
  const Json* find(const std::string& name);
  std::string text(const std::string& name, const std::string& otherwise = "");
  bool flag(const std::string& name, bool otherwise);
  double number(const std::string& name, double otherwise, double low, double high);
  int64_t whole(const std::string& name, int64_t otherwise, int64_t low, int64_t high);
  std::optional<int64_t> maybe_whole(const std::string& name, int64_t low, int64_t high);
  std::string choice(const std::string& name, const std::vector<std::string>& names);
  const Json* list(const std::string& name, size_t most);
  const Json* object(const std::string& name);

  /// Fields that are taken and change nothing here.
  void accept(const std::vector<std::string>& names);
  void expect_no_more() const;

  std::string path_of(const std::string& name) const;
  [[noreturn]] void refuse(const std::string& name, const std::string& what,
                           const std::string& code = "invalid_value") const;
  [[noreturn]] void refuse_type(const std::string& name, const char* expected) const;

 private:
  const Json& object_;
  std::string path_;
  std::set<std::string> known_;
};

}  // namespace argosy::serve
