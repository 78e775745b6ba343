#pragma once
#include <string>

#include "drive/controls.h"

namespace argosy::drive {

/// Writes every control as a line of JSON, at once. Allocates nothing.
class ControlLines : public ControlSink {
 public:
  /// "-": standard output. Throws Error where the file cannot be written.
  explicit ControlLines(const std::string& file);
  ~ControlLines() override;
  /// Throws Error, e.g. when the disk is full or the reader of a pipe has ended.
  void take(const Report& report) override;

 private:
  std::string file_;
  int descriptor_;
};

}  // namespace argosy::drive
