#include "data/recorded_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace argosy::data {
namespace fs = std::filesystem;
namespace {

bool plain_name(const std::string& name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

/// Both canonical.
bool lies_in(const Path& file, const Path& root) {
  return std::mismatch(root.begin(), root.end(), file.begin(), file.end()).first == root.end();
}

}  // namespace

LineReader::LineReader(const Path& file, size_t limit_bytes)
    : file_(file), buffer_bytes_(limit_bytes + 2), buffer_(new char[buffer_bytes_]) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);  // before opening: a pipe would block
  if (error) throw file_error("open", file, error.value());
  if (!fs::is_regular_file(status))
    throw Error({.what = "it is not a regular file",
                 .where = file,
                 .fix = "check that this is the file you meant",
                 .kind = ErrorKind::file});
  stream_.rdbuf()->pubsetbuf(stream_buffer_.data(), stream_buffer_.size());
  errno = 0;
  stream_.open(file, std::ios::binary);
  if (!stream_) throw file_error("open", file, errno ? errno : EIO);
}

bool LineReader::next() {
  constexpr auto kNoLimit = std::numeric_limits<std::streamsize>::max();
  errno = 0;
  stream_.getline(buffer_.get(), static_cast<std::streamsize>(buffer_bytes_));
  const auto taken = static_cast<size_t>(stream_.gcount());
  if (stream_.bad()) throw file_error("read", file_, errno ? errno : EIO);
  if (stream_.eof() && taken == 0) return false;
  ++number_;
  // getline() fails without the end of the file only when the buffer is full
  too_long_ = stream_.fail() && !stream_.eof();
  if (too_long_) {
    stream_.clear();
    stream_.ignore(kNoLimit, '\n');
    text_ = {};
    return true;
  }
  text_ = {buffer_.get(), stream_.eof() ? taken : taken - 1};
  return true;
}

std::optional<std::string> strict_json(std::string_view text, int depth_limit) {
  std::string out;
  out.reserve(text.size());
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\' && i + 1 < text.size()) out += text[i++];
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > depth_limit) return std::nullopt;
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == 'N' || c == 'I' || c == '-') {
      const std::string_view rest = text.substr(i);
      size_t length = 0;
      for (const std::string_view word : {"NaN", "Infinity", "-Infinity"})
        if (rest.starts_with(word)) length = word.size();
      if (length > 0) {
        out += "null";
        i += length - 1;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

std::string problem_with_file(const Path& root, const Path& folder, const std::string& name,
                              uintmax_t limit_bytes) {
  if (!plain_name(name)) return "it is not a plain file name";
  const Path path = folder / name;
  std::error_code error;
  if (fs::is_symlink(fs::symlink_status(path, error))) {
    const Path target = fs::canonical(path, error);
    if (error) return fmt::format("the link leads nowhere ({})", error.message());
    if (!lies_in(target, root)) return "the link leads out of the recording";
  }
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) return "the file is missing";
  if (error) return error.message();
  if (!fs::is_regular_file(status)) return "it is not a regular file";
  const uintmax_t size_bytes = fs::file_size(path, error);
  if (error) return error.message();
  if (size_bytes == 0) return "the file is empty";
  if (size_bytes > limit_bytes)
    return fmt::format("the file has {} bytes, the limit is {}", size_bytes, limit_bytes);
  return {};
}

std::string printable(std::string_view text, size_t limit) {
  using nlohmann::json;
  std::string quoted =
      json(std::string(text.substr(0, limit))).dump(-1, ' ', false, json::error_handler_t::replace);
  quoted =
      quoted.substr(1, quoted.size() - 2);  // its escapes stay: no control codes for a terminal
  return text.size() > limit ? quoted + "..." : quoted;
}

}  // namespace argosy::data
