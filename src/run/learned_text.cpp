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

void write_learned_texts(const Path& run, const std::vector<LearnedText>& texts) {
  auto json = nlohmann::ordered_json::array();
  for (const LearnedText& text : texts)
    json.push_back({{"path", text.path}, {"size", text.size}, {"crc32c", text.crc32c}});
  write_file_atomically(run / kFile, json.dump(2) + "\n");
}

std::vector<LearnedText> read_learned_texts(const Path& run) {
  const Path file = run / kFile;
  if (!is_there(file)) return {};
  try {
    auto json = nlohmann::json::parse(read_file(file, 1 << 20));
    if (json.is_object()) json = nlohmann::json::array({json});  // a run of an earlier version
    std::vector<LearnedText> texts;
    for (const auto& text : json)
      texts.push_back({.path = text.at("path").get<std::string>(),
                       .size = text.at("size").get<int64_t>(),
                       .crc32c = text.at("crc32c").get<uint32_t>()});
    return texts;
  } catch (const nlohmann::json::exception& error) {
    throw Error({.what = fmt::format("it is damaged ({})", error.what()),
                 .where = file,
                 .fix = "restore it from a copy of the run, or begin another run",
                 .kind = ErrorKind::file});
  }
}

}  // namespace argosy::run
