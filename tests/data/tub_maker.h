#pragma once
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/video.h"

namespace argosy::test {

/// Like put_file(), but without waiting for the disk.
inline void put_file(const Path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// A record of a made tub; values are JSON as written, "" where the record lacks the key.
struct TubRecord {
  int64_t index = 0, time_ms = 0;
  std::string session = "1";
  std::string angle = "0.25", throttle = "0.5", range = "80.5", mode = "\"user\"";
  std::string image;  ///< file name; "" for the usual one
  std::string more;   ///< e.g. R"(, "imu": [1, 2])"

  std::string image_file() const {
    return image.empty() ? fmt::format("{}_cam_image_array_.jpg", index) : image;
  }
  std::string line() const {
    std::string text = fmt::format(R"({{"_index": {}, "_session_id": "{}", "_timestamp_ms": {})",
                                   index, session, time_ms);
    const auto add = [&](const char* key, const std::string& value) {
      if (!value.empty()) text += fmt::format(R"(, "{}": {})", key, value);
    };
    add("cam/image_array", fmt::format("\"{}\"", image_file()));
    add("user/angle", angle);
    add("user/throttle", throttle);
    add("range/cms", range);
    add("user/mode", mode);
    return text + more + "}";
  }
};

/// A Donkey Car v4 tub to be changed and written. Frame i is grey of level 8 * i % 256.
struct TubMaker {
  std::vector<TubRecord> records;
  std::vector<int64_t> deleted;
  std::string inputs =
      R"(["cam/image_array", "user/angle", "user/throttle", "range/cms", "user/mode"])";
  std::string types = R"(["image_array", "float", "float", "float", "str"])";
  std::string created_at = "1600000000.5";
  size_t max_len = 1000;
  int width = 32, height = 24;

  /// `count` records at 20 Hz.
  explicit TubMaker(int64_t count) {
    for (int64_t i = 0; i < count; ++i)
      records.push_back({.index = i, .time_ms = 1'600'000'000'000 + 50 * i});
  }

  std::string jpeg(int64_t i) const {
    data::Image image{height, width, {}};
    image.pixels.assign(static_cast<size_t>(height * width * 3), static_cast<uint8_t>(8 * i));
    return data::encode_jpeg(image, 90);
  }

  void write(const Path& folder) const {
    make_folders(folder / "images");
    std::vector<std::string> catalogs;
    for (size_t begin = 0; begin < records.size(); begin += max_len) {
      std::string lines;
      for (size_t i = begin; i < std::min(begin + max_len, records.size()); ++i)
        lines += records[i].line() + "\n";
      catalogs.push_back(fmt::format("catalog_{}.catalog", catalogs.size()));
      put_file(folder / catalogs.back(), lines);
    }
    for (const TubRecord& record : records)
      if (record.image.empty())
        put_file(folder / "images" / record.image_file(), jpeg(record.index));
    put_file(
        folder / "manifest.json",
        fmt::format("{}\n{}\n{{}}\n{{\"created_at\": {}}}\n"
                    "{{\"paths\": [{}], \"current_index\": {}, \"max_len\": {}, "
                    "\"deleted_indexes\": [{}]}}\n",
                    inputs, types, created_at,
                    catalogs.empty() ? "" : fmt::format("\"{}\"", fmt::join(catalogs, "\", \"")),
                    records.size(), max_len, fmt::join(deleted, ", ")));
  }
};

}  // namespace argosy::test
