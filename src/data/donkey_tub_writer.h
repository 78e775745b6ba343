#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/files.h"
#include "data/donkey_tub_manifest.h"
#include "data/image.h"

namespace argosy::data {

/// A value of a record, of the kind that its input's type says: "float", "int", "boolean", "str",
/// "list" (or "vector", "nparray"), "image_array". Nothing, or a number that is not finite, is left
/// out of the record, where a reader finds it missing.
using TubValue = std::variant<std::monostate, double, int64_t, bool, std::string,
                              std::vector<double>, const Image*>;

struct TubWriterOptions {
  std::vector<TubManifest::Input> inputs;
  int64_t created_ms = 0;  ///< Unix time; a tub's name in a data set has it
  int64_t records_per_catalog = 1000;
  int jpeg_quality = 75;  ///< Donkey Car's
};

/// Writes a Donkey Car v4 tub, record by record, or goes on with one as a new session. However the
/// process ends, the tub can be read and has every record that was written.
/// threads  one at a time
class DonkeyTubWriter {
 public:
  /// throws Error: the folder cannot be written, another process writes there, the tub in it has
  /// other inputs or a manifest that cannot be read
  DonkeyTubWriter(const Path& folder, TubWriterOptions options);
  ~DonkeyTubWriter();

  /// `values`, one for each input, recorded at `time_ms` (Unix time). Throws Error, e.g. when the
  /// disk is full; the tub is then as before.
  void write(int64_t time_ms, std::span<const TubValue> values);
  /// Records of the tub, those of earlier sessions included.
  int64_t records() const;
  /// Brings everything to disk and ends. Without it the tub is as after a kill.
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace argosy::data
