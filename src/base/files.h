#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace argosy {

using Path = std::filesystem::path;

/// The whole file. Throws Error (file) if it cannot be read or is larger than `limit_bytes`.
std::string read_file(const Path& path, size_t limit_bytes = size_t{1} << 31);

/// Writes a new file and, unless told otherwise, syncs it to disk. Throws Error (file), e.g. when
/// the disk is full.
void write_file(const Path& path, std::string_view bytes, bool sync = true);

/// Replaces `path` in one step: temporary name beside it, sync, rename, sync of the folder.
void write_file_atomically(const Path& path, std::string_view bytes);

/// A file that grows and appears whole or not at all: until commit() it stands beside `path` under
/// a temporary name, and without commit() it is removed. Throws Error (file).
class PartialFile {
 public:
  explicit PartialFile(const Path& path);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  void write(std::string_view bytes);
  void commit();  ///< syncs and renames

 private:
  void flush();

  Path path_, partial_;
  std::string buffer_;
  int descriptor_ = -1;
};

/// Says before long work, and not after it, that a file cannot be written: makes its folder and
/// throws Error (file) where that cannot be written to, or where a folder stands in its place.
void expect_writable(const Path& file);

/// Throws Error (file) where something other than an empty folder stands already.
void expect_vacant(const Path& folder);

bool is_there(const Path& path);      ///< a file, a folder, whatever; false for what cannot be seen
void sync_path(const Path& path);     ///< a file or a folder, to disk
void sync_tree(const Path& folder);   ///< every file and folder below, then the folder
void make_folders(const Path& path);  ///< like mkdir -p; throws Error (file)

/// A folder that appears whole or not at all: fill path(), then commit(). Until then it stands
/// beside the destination as ".NAME.partial-PID", locked; without commit() it is removed. Leftovers
/// of killed processes, which nobody holds, are removed when the next one begins.
class PartialFolder {
 public:
  explicit PartialFolder(Path destination);
  ~PartialFolder();
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const Path& path() const { return path_; }
  /// Syncs and renames. The destination must not exist (or must be an empty folder).
  void commit();
  /// Syncs and takes the place of the destination in one step; what stood there is removed after.
  /// Where the file system cannot exchange two folders, a kill between two renames leaves the old
  /// one as ".NAME.replaced"; recover() puts it back.
  void replace();
  /// Undoes a replace() that was killed between its renames.
  static void recover(const Path& destination);

 private:
  Path destination_, path_;
  int descriptor_ = -1;  // its lock tells that this process lives, in whichever container
  bool committed_ = false;
};

/// An exclusive lock on `path` (created if absent) that ends with the process, however it ends.
/// Throws Error when another process holds it, saying that `what` (the lock's folder if empty)
/// `does` ("is being written to").
class FileLock {
 public:
  FileLock(const Path& path, std::string_view does, const Path& what = {});
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_ = -1;
};

/// A file that grows. What was appended outlives this process, however it ends; sync() makes it
/// outlive the machine.
class GrowingFile {
 public:
  /// Goes on behind the first `keep_bytes` of what is there; the file is created if absent.
  explicit GrowingFile(const Path& path, size_t keep_bytes = 0);
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  /// All of `bytes` or nothing. Throws Error (file), e.g. when the disk is full.
  void append(std::string_view bytes);
  void sync();

 private:
  Path path_;
  int descriptor_ = -1;
  size_t size_bytes_;
};

/// A file's bytes, mapped read-only.
class MappedFile {
 public:
  explicit MappedFile(const Path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace argosy
