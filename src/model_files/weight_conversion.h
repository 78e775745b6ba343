#pragma once
#include <vector>

#include "model_files/export.h"

namespace argosy::model_files {

/// Writes weights one after another in other formats and orders of rows, and keeps the account of
/// what was lost.
class WeightConversion {
 public:
  /// The rows of `from` as `to` is to have them, on all threads; holds until the next call.
  /// to  its name is that of the new file, its bytes are not looked at
  /// throws Error: a number is not finite in one of the two formats
  std::span<const std::byte> convert(const Weight& from, const Weight& to);

  std::vector<FormatShare> shares() const;  ///< sorted by bytes, the largest first

 private:
  struct Sums {
    FormatShare share;
    double squares = 0, squared_errors = 0;
  };
  std::vector<Sums> sums_;
  std::vector<std::byte> bytes_;
};

}  // namespace argosy::model_files
