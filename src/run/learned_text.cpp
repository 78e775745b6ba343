#include "run/learned_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/crc32c.h"
#include "base/error.h"
#include "text/token_store.h"

namespace argosy::run {
namespace {

constexpr const char* kFile = "text.json";

LearnedText learned(const Path& path, int64_t size, std::string_view bytes) {
  return {.path = std::filesystem::absolute(path).string(), .size = size, .crc32c = crc32c(bytes)};
}

}  // namespace

LearnedText text_learned(const Path& file, const std::string& text) {
  return learned(file, static_cast<int64_t>(text.size()), text);
}

LearnedText store_learned(const Path& folder) {
  return learned(folder, text::TokenStore(folder).tokens(), read_file(folder / "store.json"));
}

void write_learned_text(const Path& run, const LearnedText& text) {
  const nlohmann::ordered_json json = {
      {"path", text.path}, {"size", text.size}, {"crc32c", text.crc32c}};
  write_file_atomically(run / kFile, json.dump(2) + "\n");
}

std::optional<LearnedText> read_learned_text(const Path& run) {
  const Path file = run / kFile;
  if (!std::filesystem::exists(file)) return std::nullopt;
  try {
    const auto json = nlohmann::json::parse(read_file(file, 1 << 20));
    return LearnedText{.path = json.at("path").get<std::string>(),
                       .size = json.at("size").get<int64_t>(),
                       .crc32c = json.at("crc32c").get<uint32_t>()};
  } catch (const nlohmann::json::exception& error) {
    throw Error({.what = fmt::format("it is damaged ({})", error.what()),
                 .where = file,
                 .fix = "restore it from a copy of the run, or begin another run",
                 .kind = ErrorKind::file});
  }
}

}  // namespace argosy::run
