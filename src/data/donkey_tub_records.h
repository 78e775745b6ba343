#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/donkey_tub_manifest.h"
#include "data/importer.h"

namespace argosy::data {

enum class TubKind { number, truth, list, text, image };

struct TubInput {
  std::string name;
  TubKind kind;
  size_t slot = 0;         ///< first in numbers_of(), or place in texts_of() or images_of()
  size_t width = 1;        ///< numbers per record; of a list: as the first one recorded
  int64_t unreadable = 0;  ///< values that are there but are kept as missing

  bool numeric() const { return kind != TubKind::text && kind != TubKind::image; }
  /// What the driver did. A record without it says nothing, so there it may not be missing.
  bool action() const { return numeric() && (name == "user/angle" || name == "user/throttle"); }
};

struct TubRow {
  int64_t index = 0, time_ms = 0;
  int64_t session = 0;  ///< another number after each change of session
};

/// The records of a tub that can be used, as a table in the order of recording. No two rows have
/// the same index; images are plain names of files that are there.
struct TubRecords {
  std::vector<TubInput> inputs;
  std::vector<TubRow> rows;
  int64_t found = 0, deleted = 0;
  double created_s = 0;
  std::vector<Skipped> skipped;
  std::vector<std::string> notes;

  /// Values of a row; NaN and "" where missing.
  std::span<const double> numbers_of(size_t row) const {
    return {numbers.data() + row * numbers_per_row, numbers_per_row};
  }
  const std::string& text_of(size_t row, const TubInput& input) const {
    return texts[row * texts_per_row + input.slot];
  }
  const std::string& image_of(size_t row, const TubInput& input) const {
    return images[row * images_per_row + input.slot];
  }

  size_t numbers_per_row = 0, texts_per_row = 0, images_per_row = 0;
  std::vector<double> numbers;
  std::vector<std::string> texts, images;
};

inline constexpr size_t kTubImageLimitBytes = size_t{64} << 20;

/// Reads manifest and catalogs. `root` is a canonical path.
/// throws Error: the manifest cannot be used, a catalog cannot be read to its end, too many records
TubRecords read_tub_records(const Path& root);

}  // namespace argosy::data
