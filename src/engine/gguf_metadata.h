#pragma once
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace argosy {

/// The kinds of metadata, by their numbers in a file.
enum class GgufType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  text,
  array,
  u64,
  i64,
  f64
};

template <typename T>
constexpr GgufType gguf_type_of() {
  using enum GgufType;
  if constexpr (std::same_as<T, bool>) return boolean;
  if constexpr (std::same_as<T, float>) return f32;
  if constexpr (std::same_as<T, double>) return f64;
  constexpr GgufType whole[2][4] = {{u8, u16, u32, u64}, {i8, i16, i32, i64}};
  constexpr size_t size = sizeof(T) == 8 ? 3 : sizeof(T) == 4 ? 2 : sizeof(T) - 1;
  return whole[std::is_signed_v<T>][size];
}

/// One value, or an array of them (of arrays there are none).
struct GgufValue {
  GgufType type = GgufType::u32;  ///< of the value, or of each in the array
  bool is_array = false;
  std::string numbers;                  ///< as they lie in the file
  std::vector<std::string_view> texts;  ///< views of the file, or of what the caller keeps

  template <typename T>
  static GgufValue of(T number) {
    return {gguf_type_of<T>(), false, {reinterpret_cast<const char*>(&number), sizeof number}, {}};
  }
  template <typename T>
  static GgufValue of_all(std::span<const T> numbers) {
    return {gguf_type_of<T>(),
            true,
            {reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes()},
            {}};
  }
  static GgufValue text(std::string_view text) { return {GgufType::text, false, {}, {text}}; }
  static GgufValue all_texts(std::vector<std::string_view> texts) {
    return {GgufType::text, true, {}, std::move(texts)};
  }
};

std::string_view name_of(GgufType type);
size_t size_of(GgufType type);            ///< of one value in the file; a text has no such size
size_t count_of(const GgufValue& value);  ///< of its elements

/// What a GGUF file says of its model, by key, in the file's order.
class GgufMetadata {
 public:
  /// file  for errors
  explicit GgufMetadata(std::string file = "") : file_(std::move(file)) {}

  /// A key that is there takes the new value.
  void set(const std::string& key, GgufValue value);
  /// The key must not be there yet.
  void append(std::string key, GgufValue value) {
    entries_.emplace_back(std::move(key), std::move(value));
  }
  const GgufValue* find(std::string_view key) const;
  const std::vector<std::pair<std::string, GgufValue>>& entries() const { return entries_; }

  /// The value if the key is there. throws Error (file) naming the key: it holds another kind, or a
  /// number beyond 63 bits
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;  ///< real or whole
  std::optional<bool> flag(std::string_view key) const;
  std::optional<std::string_view> text(std::string_view key) const;
  std::optional<std::vector<std::string_view>> texts(std::string_view key) const;
  std::optional<std::vector<int64_t>> integers(std::string_view key) const;
  std::optional<std::vector<float>> numbers(std::string_view key) const;

 private:
  [[noreturn]] void wrong_kind(std::string_view key, const GgufValue& value,
                               std::string_view wanted) const;

  std::string file_;
  std::vector<std::pair<std::string, GgufValue>> entries_;
};

}  // namespace argosy
