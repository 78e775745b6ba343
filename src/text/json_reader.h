#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace argosy::text {

/// JSON from outside, read step by step: what is missing or of another type is an Error that names
/// the place. For .cpp files; no header of text/ includes it.
class JsonReader {
 public:
  /// throws Error (file): no JSON, or nested more than 64 deep
  static nlohmann::json parse(std::string_view text, const std::string& where);

  /// `json` must outlive the reader.
  JsonReader(const nlohmann::json& json, std::string where)
      : json_(json), where_(std::move(where)) {}

  const nlohmann::json& json() const { return json_; }
  const std::string& where() const { return where_; }
  bool is_object() const { return json_.is_object(); }
  /// Whether the key is there and not null.
  bool has(const std::string& key) const;
  JsonReader at(const std::string& key) const;  ///< must be there
  JsonReader at(size_t index) const;
  size_t size() const { return json_.size(); }

  JsonReader object() const;  ///< itself, or an Error
  JsonReader list() const;
  std::string text() const;
  int64_t whole_number() const;
  bool flag(const std::string& key, bool otherwise) const;
  std::string text(const std::string& key, const std::string& otherwise) const;

  [[noreturn]] void fail(const std::string& what,
                         const std::string& fix = "use another copy of the file") const;

 private:
  const nlohmann::json& json_;
  std::string where_;
};

}  // namespace argosy::text
