#pragma once
#include <functional>
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

/// Writes a safetensors file; it appears whole or not at all.
void write_safetensors(const Path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});
/// The same for tensors that need not be in memory together: their own `bytes` are not looked at,
/// `bytes_of` gives those of tensor i, one after another.
void write_safetensors(const Path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<std::span<const std::byte>(size_t i)>& bytes_of);

/// A safetensors file, mapped and fully checked: header length and JSON, dtypes, shapes against
/// sizes, offsets without hole or overlap up to the end of the file.
/// throws Error (file) naming the file and what is wrong
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const Path& path);
  /// The same from memory, which must outlive this; `file` stands for it in errors.
  SafetensorsFile(std::span<const std::byte> bytes, const std::string& file);
  std::span<const NamedTensor> tensors() const { return tensors_; }
  const NamedTensor* find(const std::string& name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  void read(std::span<const std::byte> bytes, const std::string& file);

  std::unique_ptr<MappedFile> file_;
  std::vector<NamedTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace argosy
