#pragma once
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "ir/shape.h"

namespace argosy {

struct NamedTensor {
  std::string name;
  Type type;
  std::span<const std::byte> bytes;
};

/// Writes a safetensors file and syncs it. Not atomic by itself: write into a PartialFolder.
void write_safetensors(const Path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// A safetensors file, mapped and fully checked: header length and JSON, dtypes, shapes against
/// sizes, offsets without hole or overlap up to the end of the file.
/// throws Error (file) naming the file and what is wrong
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const Path& path);
  std::span<const NamedTensor> tensors() const { return tensors_; }
  const NamedTensor* find(const std::string& name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::unique_ptr<MappedFile> file_;
  std::vector<NamedTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace argosy
