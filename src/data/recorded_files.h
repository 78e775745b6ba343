#pragma once
#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

/// Reading what a recording holds. It comes from outside: it may be cut, huge, or made to harm.
namespace argosy::data {

/// The lines of a text file, at most `limit_bytes` of each in memory.
class LineReader {
 public:
  /// throws Error: not a file, or it cannot be opened
  LineReader(const Path& file, size_t limit_bytes);

  /// Goes to the next line; false after the last one. Throws Error where the file cannot be read.
  bool next();
  int64_t number() const { return number_; }       ///< of the line, from 1
  std::string_view text() const { return text_; }  ///< without its end; empty if too long
  bool too_long() const { return too_long_; }

 private:
  Path file_;
  std::vector<char> stream_buffer_ = std::vector<char>(size_t{256} << 10);
  std::ifstream stream_;
  size_t buffer_bytes_;
  std::unique_ptr<char[]> buffer_;  // not a vector: most of it is never touched
  std::string_view text_;
  int64_t number_ = 0;
  bool too_long_ = false;
};

/// JSON as Python writes it, made strict: NaN, Infinity and -Infinity become null. Nothing where
/// the nesting is deeper than `depth_limit`.
std::optional<std::string> strict_json(std::string_view text, int depth_limit);

/// What forbids reading the file `name` in `folder` as part of the recording at `root` (a canonical
/// path): not a plain file name ("../x"), absent, no regular file, empty, larger than
/// `limit_bytes`, or a link that leads out of `root`. Empty where nothing does.
std::string problem_with_file(const Path& root, const Path& folder, const std::string& name,
                              uintmax_t limit_bytes);

/// `text` as valid UTF-8 on one line, at most `limit` bytes and an ellipsis: fit for a message.
std::string printable(std::string_view text, size_t limit = 60);

}  // namespace argosy::data
