#include "engine/gguf.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/check.h"
#include "base/error.h"

namespace argosy {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kVersion = 3;
constexpr uint64_t kUsualAlignment = 32, kLargestAlignment = uint64_t{1} << 20;
constexpr uint32_t kMostDimensions = 4;
constexpr std::string_view kAlignmentKey = "general.alignment";

/// The numbers that GGUF has for formats: of a tensor, and of a file that has mostly such.
constexpr struct {
  uint32_t type, file_type;
  BlockFormat format;
} kFormats[] = {
    {0, 0, BlockFormat::f32},    {1, 1, BlockFormat::f16},    {2, 2, BlockFormat::q4_0},
    {3, 3, BlockFormat::q4_1},   {6, 8, BlockFormat::q5_0},   {7, 9, BlockFormat::q5_1},
    {8, 7, BlockFormat::q8_0},   {12, 14, BlockFormat::q4_k}, {13, 16, BlockFormat::q5_k},
    {14, 18, BlockFormat::q6_k}, {30, 32, BlockFormat::bf16}};

const auto& row_of(BlockFormat format) {
  return *std::ranges::find(kFormats, format, [](const auto& row) { return row.format; });
}

uint64_t aligned(uint64_t offset, uint64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error({.what = what,
               .where = file,
               .fix = "use another copy of the file",
               .kind = ErrorKind::file});
}

/// Goes through a file's bytes; whatever would go beyond them is an Error that says where it was.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  uint64_t position() const { return at_; }
  uint64_t left() const { return bytes_.size() - at_; }

  std::string_view take(uint64_t size, const std::string& where) {
    if (size > left())
      fail(file_, fmt::format("{} claims {} bytes, {} are left in the file", where, size, left()));
    const std::string_view taken(reinterpret_cast<const char*>(bytes_.data()) + at_, size);
    at_ += size;
    return taken;
  }

  template <typename T>
  T number(const std::string& where) {
    T value;
    std::memcpy(&value, take(sizeof value, where).data(), sizeof value);
    return value;
  }

  std::string_view text(const std::string& where) {
    const auto size = number<uint64_t>(where);
    return take(size, where);
  }

  /// Names go into messages and JSON, so they are of printable ASCII.
  std::string name(const std::string& where) {
    const std::string_view name = text(where);
    if (name.empty() || name.size() > 1000 ||
        !std::ranges::all_of(name, [](char c) { return c >= ' ' && c <= '~'; }))
      fail(file_, fmt::format("the name of {} is no printable text of 1 to 1000 bytes", where));
    return std::string(name);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& file_;
  uint64_t at_ = 0;
};

GgufType read_type(Cursor& cursor, const std::string& where, const std::string& file) {
  const auto type = cursor.number<uint32_t>(where);
  if (type > static_cast<uint32_t>(GgufType::f64))
    fail(file, fmt::format("{} has the unknown type {}", where, type));
  return static_cast<GgufType>(type);
}

GgufValue read_value(Cursor& cursor, const std::string& where, const std::string& file) {
  GgufValue value;
  value.type = read_type(cursor, where, file);
  uint64_t n = 1;
  if (value.type == GgufType::array) {
    value.is_array = true;
    value.type = read_type(cursor, where, file);
    if (value.type == GgufType::array) fail(file, fmt::format("{} is an array of arrays", where));
    n = cursor.number<uint64_t>(where);
    const uint64_t least = value.type == GgufType::text ? 8 : size_of(value.type);
    if (n > cursor.left() / least)
      fail(file, fmt::format("{} claims {} elements, {} bytes are left in the file", where, n,
                             cursor.left()));
  }
  if (value.type == GgufType::text) {
    value.texts.reserve(n);
    for (uint64_t i = 0; i < n; ++i) value.texts.push_back(cursor.text(where));
  } else {
    value.numbers = cursor.take(n * size_of(value.type), where);
  }
  if (value.type == GgufType::boolean &&
      std::ranges::any_of(value.numbers, [](char c) { return c != 0 && c != 1; }))
    fail(file, fmt::format("{} is neither true nor false", where));
  return value;
}

/// All but the bytes, whose offset in the data is given too.
std::pair<StoredTensor, uint64_t> read_tensor(Cursor& cursor, const std::string& number,
                                              const std::string& file) {
  StoredTensor tensor;
  tensor.name = cursor.name(number);
  const std::string where = "tensor " + tensor.name;
  const auto dimensions = cursor.number<uint32_t>(where);
  if (dimensions == 0 || dimensions > kMostDimensions)
    fail(file,
         fmt::format("{} has {} dimensions, not 1 to {}", where, dimensions, kMostDimensions));
  uint64_t numbers = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto size = cursor.number<uint64_t>(where);
    // a number has at least a third of a byte, so 2^48 of them are in no file
    if (size == 0 || size > (uint64_t{1} << 48) / numbers)
      fail(file, fmt::format("{} has a dimension of {}, which is 0 or too large", where, size));
    numbers *= size;
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(size));
  }
  const auto type = cursor.number<uint32_t>(where);
  const auto known = std::ranges::find(kFormats, type, [](const auto& row) { return row.type; });
  if (known == std::end(kFormats)) {
    std::vector<std::string_view> names;
    for (const auto& row : kFormats) names.push_back(name_of(row.format));
    throw Error({.what = fmt::format("{} has numbers of GGUF's type {}, which is not known here",
                                     where, type),
                 .where = file,
                 .fix = fmt::format("take a file in one of the formats {}", fmt::join(names, ", ")),
                 .kind = ErrorKind::file});
  }
  tensor.format = known->format;
  if (!fits(tensor.format, tensor.columns()))
    fail(file, fmt::format("{} has rows of {} numbers, which are no whole blocks of {} ({})", where,
                           tensor.columns(), layout_of(tensor.format).values, tensor.format));
  return {std::move(tensor), cursor.number<uint64_t>(where)};
}

/// Gives the tensors their bytes, at their offsets in `data`.
void place(std::vector<StoredTensor>& tensors, std::span<const uint64_t> offsets,
           std::span<const std::byte> data, uint64_t alignment, const std::string& file) {
  std::vector<std::pair<uint64_t, size_t>> order;
  for (size_t i = 0; i < tensors.size(); ++i) {
    StoredTensor& tensor = tensors[i];
    const auto size = static_cast<uint64_t>(tensor.rows() * tensor.bytes_per_row());
    if (offsets[i] % alignment != 0)
      fail(file, fmt::format("tensor {} lies at {}, which is no multiple of the alignment {}",
                             tensor.name, offsets[i], alignment));
    if (offsets[i] > data.size() || size > data.size() - offsets[i])
      fail(file, fmt::format("tensor {} lies at {} and has {} bytes, the file has {} for all",
                             tensor.name, offsets[i], size, data.size()));
    tensor.bytes = data.subspan(offsets[i], size);
    order.emplace_back(offsets[i], i);
  }
  std::ranges::sort(order);
  for (size_t i = 1; i < order.size(); ++i) {
    const StoredTensor &before = tensors[order[i - 1].second], &tensor = tensors[order[i].second];
    if (tensor.bytes.data() < before.bytes.data() + before.bytes.size())
      fail(file, fmt::format("tensors {} and {} overlap", before.name, tensor.name));
  }
}

}  // namespace

GgufFile::GgufFile(const Path& path) : file_(std::make_unique<MappedFile>(path)) {
  read(file_->bytes(), path.string());
}

GgufFile::GgufFile(std::span<const std::byte> bytes, const std::string& file) { read(bytes, file); }

void GgufFile::read(std::span<const std::byte> bytes, const std::string& file) {
  metadata_ = GgufMetadata(file);
  Cursor cursor(bytes, file);
  if (bytes.size() < kMagic.size() || cursor.take(4, "") != kMagic)
    fail(file, "the file does not begin with GGUF");
  const auto version = cursor.number<uint32_t>("the version");
  if (version != 2 && version != kVersion)
    throw Error({.what = fmt::format("the file is GGUF of version {}, not 2 or 3", version),
                 .where = file,
                 .fix = version == 1 ? "convert it anew with a present llama.cpp"
                                     : "use a little-endian file of version 3",
                 .kind = ErrorKind::file});
  const auto tensor_count = cursor.number<uint64_t>("the number of tensors");
  const auto entry_count = cursor.number<uint64_t>("the number of metadata entries");
  std::unordered_set<std::string> names;
  for (uint64_t i = 0; i < entry_count; ++i) {
    std::string key = cursor.name(fmt::format("metadata entry {} of {}", i + 1, entry_count));
    GgufValue value = read_value(cursor, key, file);
    if (!names.insert(key).second) fail(file, fmt::format("{} stands there twice", key));
    metadata_.append(std::move(key), std::move(value));
  }
  const int64_t alignment = metadata_.integer(kAlignmentKey).value_or(kUsualAlignment);
  if (alignment <= 0 || static_cast<uint64_t>(alignment) > kLargestAlignment ||
      (alignment & (alignment - 1)) != 0)
    fail(file, fmt::format("{} is {}, not a power of two up to {}", kAlignmentKey, alignment,
                           kLargestAlignment));
  names.clear();
  std::vector<uint64_t> offsets;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    auto [tensor, offset] =
        read_tensor(cursor, fmt::format("tensor {} of {}", i + 1, tensor_count), file);
    if (!names.insert(tensor.name).second)
      fail(file, fmt::format("tensor {} stands there twice", tensor.name));
    tensors_.push_back(std::move(tensor));
    offsets.push_back(offset);
  }
  const uint64_t begin = aligned(cursor.position(), static_cast<uint64_t>(alignment));
  const auto data = begin < bytes.size() ? bytes.subspan(begin) : bytes.subspan(bytes.size());
  place(tensors_, offsets, data, static_cast<uint64_t>(alignment), file);
}

const StoredTensor* GgufFile::find(std::string_view name) const {
  for (const StoredTensor& tensor : tensors_)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

uint32_t gguf_file_type(BlockFormat format) { return row_of(format).file_type; }

namespace {

class Writer {
 public:
  explicit Writer(const Path& path) : file_(path) {}

  void bytes(std::string_view bytes) {
    file_.write(bytes);
    position_ += bytes.size();
  }
  template <typename T>
  void number(T value) {
    bytes({reinterpret_cast<const char*>(&value), sizeof value});
  }
  void text(std::string_view text) {
    number<uint64_t>(text.size());
    bytes(text);
  }
  void value(const GgufValue& value) {
    if (value.is_array) number(GgufType::array);
    number(value.type);
    if (value.is_array) number<uint64_t>(count_of(value));
    for (const std::string_view one : value.texts) text(one);
    bytes(value.numbers);
  }
  void pad(uint64_t alignment) {
    bytes(std::string(aligned(position_, alignment) - position_, '\0'));
  }
  void commit() { file_.commit(); }

 private:
  PartialFile file_;
  uint64_t position_ = 0;
};

}  // namespace

void write_gguf(const Path& path, const GgufMetadata& metadata,
                std::span<const StoredTensor> tensors,
                const std::function<std::span<const std::byte>(size_t i)>& bytes_of) {
  const auto alignment =
      static_cast<uint64_t>(metadata.integer(kAlignmentKey).value_or(kUsualAlignment));
  const auto size_of_all = [](const StoredTensor& tensor) {
    return static_cast<uint64_t>(tensor.rows() * tensor.bytes_per_row());
  };
  Writer writer(path);
  writer.bytes(kMagic);
  writer.number(kVersion);
  writer.number<uint64_t>(tensors.size());
  writer.number<uint64_t>(metadata.entries().size());
  for (const auto& [key, value] : metadata.entries()) {
    writer.text(key);
    writer.value(value);
  }
  uint64_t offset = 0;
  for (const StoredTensor& tensor : tensors) {
    writer.text(tensor.name);
    writer.number(static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;)
      writer.number(static_cast<uint64_t>(tensor.shape[i]));
    writer.number(row_of(tensor.format).type);
    writer.number(offset);
    offset = aligned(offset + size_of_all(tensor), alignment);
  }
  writer.pad(alignment);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& tensor = tensors[i];
    const auto bytes = bytes_of(i);
    check(bytes.size() == size_of_all(tensor), "{}: {} bytes for {} of {}", tensor.name,
          bytes.size(), tensor.shape, tensor.format);
    writer.bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    writer.pad(alignment);
  }
  writer.commit();
}

}  // namespace argosy
