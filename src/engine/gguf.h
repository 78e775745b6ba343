#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "engine/gguf_metadata.h"
#include "engine/stored_tensor.h"

namespace argosy {

/// A GGUF file, mapped and fully checked: every length and count against the file, types, names
/// that stand twice, the alignment, shapes against blocks, offsets outside or overlapping.
///
/// throws  Error (file) naming the file and what is wrong
/// source  GGUF, versions 2 and 3, little endian
class GgufFile {
 public:
  explicit GgufFile(const Path& path);
  /// The same from memory, which must outlive this; `file` stands for it in errors.
  GgufFile(std::span<const std::byte> bytes, const std::string& file);

  const GgufMetadata& metadata() const { return metadata_; }
  /// In the file's order. The shape is outermost first, as everywhere here; GGUF counts the other
  /// way.
  std::span<const StoredTensor> tensors() const { return tensors_; }
  const StoredTensor* find(std::string_view name) const;

 private:
  void read(std::span<const std::byte> bytes, const std::string& file);

  std::unique_ptr<MappedFile> file_;
  GgufMetadata metadata_;
  std::vector<StoredTensor> tensors_;
};

/// The number of general.file_type for a file most of whose weights have one format.
uint32_t gguf_file_type(BlockFormat format);

/// Writes a GGUF file of version 3; it appears whole or not at all. The tensors' own `bytes` are
/// not looked at: `bytes_of` gives those of tensor i, one after another, so that they need not be
/// in memory together. throws Error (file), e.g. when the disk is full
void write_gguf(const Path& path, const GgufMetadata& metadata,
                std::span<const StoredTensor> tensors,
                const std::function<std::span<const std::byte>(size_t i)>& bytes_of);

}  // namespace argosy
