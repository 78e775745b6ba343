#include "base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace argosy {
namespace fs = std::filesystem;
namespace {

/// Closes a descriptor at the end of its scope.
class Descriptor {
 public:
  Descriptor(const Path& path, int flags, const char* action, mode_t mode = 0644)
      : number_(open(path.c_str(), flags | O_CLOEXEC, mode)) {
    if (number_ < 0) throw file_error(action, path, errno);
  }
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

/// False with errno where not all could be written.
bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(descriptor, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

void write_all(int descriptor, const Path& path, std::string_view bytes) {
  if (!write_all(descriptor, bytes)) throw file_error("write", path, errno);
}

int open_folder(const Path& folder) {
  return open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/// False with EWOULDBLOCK where another holds the folder, and with other numbers where the file
/// system has no locks of folders (NFS).
bool lock_folder(int descriptor) { return flock(descriptor, LOCK_EX | LOCK_NB) == 0; }

}  // namespace

std::string read_file(const Path& path, size_t limit_bytes) {
  const Descriptor file(path, O_RDONLY, "open");
  struct stat info{};
  if (fstat(file.number(), &info) != 0) throw file_error("read", path, errno);
  if (S_ISDIR(info.st_mode)) throw file_error("read", path, EISDIR);
  if (info.st_size > 0 && static_cast<size_t>(info.st_size) > limit_bytes)
    throw Error(
        {.what = fmt::format("the file has {} bytes, the limit is {}", info.st_size, limit_bytes),
         .where = path,
         .fix = "check that this is the file you meant",
         .kind = ErrorKind::file});
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = read(file.number(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw file_error("read", path, errno);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

void write_file(const Path& path, std::string_view bytes, bool sync) {
  const Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC, "create");
  write_all(file.number(), path, bytes);
  if (sync && fsync(file.number()) != 0) throw file_error("write", path, errno);
}

PartialFile::PartialFile(const Path& path) : path_(path), partial_(path) {
  partial_ += fmt::format(".partial-{}", getpid());
  descriptor_ = open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw file_error("create", partial_, errno);
}

PartialFile::~PartialFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(partial_.c_str());
}

void PartialFile::flush() {
  write_all(descriptor_, partial_, buffer_);
  buffer_.clear();
}

void PartialFile::write(std::string_view bytes) {
  constexpr size_t kBufferBytes = size_t{1} << 16;
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  if (bytes.size() > kBufferBytes)
    write_all(descriptor_, partial_, bytes);
  else
    buffer_ += bytes;
}

void PartialFile::commit() {
  flush();
  if (fsync(descriptor_) != 0) throw file_error("write", partial_, errno);
  if (rename(partial_.c_str(), path_.c_str()) != 0) throw file_error("replace", path_, errno);
  close(descriptor_);
  descriptor_ = -1;
  sync_path(path_.has_parent_path() ? path_.parent_path() : Path("."));
}

void write_file_atomically(const Path& path, std::string_view bytes) {
  PartialFile file(path);
  file.write(bytes);
  file.commit();
}

void expect_writable(const Path& file) {
  if (file.has_parent_path()) make_folders(file.parent_path());
  std::error_code ignored;
  if (fs::is_directory(file, ignored)) throw file_error("write", file, EISDIR);
  const Path folder = file.has_parent_path() ? file.parent_path() : Path(".");
  if (access(folder.c_str(), W_OK) != 0) throw file_error("write", file, errno);
}

void expect_vacant(const Path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder, ignored) ||
      (fs::is_directory(folder, ignored) && fs::is_empty(folder, ignored)))
    return;
  throw Error({.what = "there is something already",
               .where = folder,
               .fix = "choose another folder, or remove this one",
               .kind = ErrorKind::file});
}

bool is_there(const Path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

void sync_path(const Path& path) {
  const Descriptor file(path, O_RDONLY, "open");
  if (fsync(file.number()) != 0) throw file_error("sync", path, errno);
}

void sync_tree(const Path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) sync_path(entry.path());
  sync_path(folder);
}

void make_folders(const Path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw file_error("create the folder", path, error.value());
}

PartialFolder::PartialFolder(Path destination) : destination_(std::move(destination)) {
  destination_ = fs::absolute(destination_).lexically_normal();
  if (!destination_.has_filename()) destination_ = destination_.parent_path();
  const Path parent = destination_.parent_path();
  const std::string prefix = "." + destination_.filename().string() + ".partial-";
  make_folders(parent);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(parent, ignored)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    const int leftover = open_folder(entry.path());
    if (leftover < 0) continue;
    if (lock_folder(leftover)) fs::remove_all(entry.path(), ignored);
    close(leftover);
  }
  // one of another container may have the same number, and take a folder before it is locked
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    path_ = parent / fmt::format("{}{}", prefix, getpid());
    if (attempt > 0) path_ += fmt::format("-{}", attempt);
    if (mkdir(path_.c_str(), 0755) != 0) {
      if (errno != EEXIST || attempt == 1000) throw file_error("create the folder", path_, errno);
      continue;
    }
    descriptor_ = open_folder(path_);
    if (descriptor_ < 0 && errno != ENOENT) throw file_error("open", path_, errno);
    if (descriptor_ < 0) continue;
    const bool taken = !lock_folder(descriptor_) && errno == EWOULDBLOCK;
    if (taken || !is_there(path_)) close(std::exchange(descriptor_, -1));
  }
}

PartialFolder::~PartialFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(path_, ignored);
  close(descriptor_);
}

void PartialFolder::commit() {
  sync_tree(path_);
  if (rename(path_.c_str(), destination_.c_str()) != 0)
    throw file_error("create", destination_, errno == ENOTEMPTY ? EEXIST : errno);
  committed_ = true;
  sync_path(destination_.parent_path());
}

namespace {

Path replaced_path(const Path& destination) {
  return destination.parent_path() / ("." + destination.filename().string() + ".replaced");
}

}  // namespace

void PartialFolder::replace() {
  sync_tree(path_);
  std::error_code ignored;
  if (renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, destination_.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno != EINVAL && errno != ENOSYS) throw file_error("replace", destination_, errno);
    const Path old = replaced_path(destination_);
    fs::remove_all(old, ignored);
    if (rename(destination_.c_str(), old.c_str()) != 0)
      throw file_error("replace", destination_, errno);
    if (rename(path_.c_str(), destination_.c_str()) != 0) {
      const int why = errno;
      recover(destination_);
      throw file_error("replace", destination_, why);
    }
    sync_path(destination_.parent_path());
    fs::remove_all(old, ignored);
  } else {
    sync_path(destination_.parent_path());
    fs::remove_all(path_, ignored);
  }
  committed_ = true;
}

void PartialFolder::recover(const Path& destination) {
  const Path whole = fs::absolute(destination).lexically_normal();
  const Path to = whole.has_filename() ? whole : whole.parent_path();
  std::error_code ignored;
  const Path old = replaced_path(to);
  if (!fs::exists(old, ignored)) return;
  if (fs::exists(to, ignored))
    fs::remove_all(old, ignored);
  else if (rename(old.c_str(), to.c_str()) != 0)
    throw file_error("restore", to, errno);
}

FileLock::FileLock(const Path& path, std::string_view does, const Path& what) {
  descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw file_error("open", path, errno);
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int why = errno;
    close(descriptor_);
    if (why != EWOULDBLOCK) throw file_error("lock", path, why);
    throw Error({.what = fmt::format("it {} by another process", does),
                 .where = !what.empty()            ? what
                          : path.has_parent_path() ? path.parent_path()
                                                   : path,
                 .fix = "wait for it to end, or choose another place",
                 .kind = ErrorKind::file});
  }
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

GrowingFile::GrowingFile(const Path& path, size_t keep_bytes)
    : path_(path), size_bytes_(keep_bytes) {
  descriptor_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw file_error("create", path, errno);
  if (ftruncate(descriptor_, static_cast<off_t>(size_bytes_)) == 0) return;
  const int why = errno;
  close(descriptor_);
  throw file_error("write", path, why);
}

GrowingFile::~GrowingFile() { close(descriptor_); }

void GrowingFile::append(std::string_view bytes) {
  if (!write_all(descriptor_, bytes)) {
    const int why = errno;
    [[maybe_unused]] const int left = ftruncate(descriptor_, static_cast<off_t>(size_bytes_));
    throw file_error("write", path_, why);
  }
  size_bytes_ += bytes.size();
}

void GrowingFile::sync() {
  if (fsync(descriptor_) != 0) throw file_error("write", path_, errno);
}

MappedFile::MappedFile(const Path& path) {
  const Descriptor file(path, O_RDONLY, "open");
  struct stat info{};
  if (fstat(file.number(), &info) != 0) throw file_error("read", path, errno);
  if (S_ISDIR(info.st_mode)) throw file_error("read", path, EISDIR);
  size_ = static_cast<size_t>(info.st_size);
  if (size_ == 0) return;
  void* data = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.number(), 0);
  if (data == MAP_FAILED) throw file_error("map", path, errno);
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace argosy
