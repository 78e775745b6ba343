#include "engine/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "base/error.h"

namespace argosy {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLargestHeader = 100'000'000;
constexpr std::pair<const char*, DType> kNames[] = {
    {"F32", DType::f32}, {"BF16", DType::bf16}, {"F16", DType::f16}, {"I32", DType::i32},
    {"I64", DType::i64}, {"U8", DType::u8},     {"I8", DType::i8},   {"BOOL", DType::boolean}};

const char* name_in_file(DType type) {
  for (const auto& [name, dtype] : kNames)
    if (dtype == type) return name;
  return "";
}

/// Rejects a key that stands twice in one object, which the JSON library would silently merge.
Json parse_header(std::string_view text, const auto& fail) {
  std::vector<std::set<std::string>> open;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > 8) fail("its header is nested too deeply");
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && !open.back().insert(value.get<std::string>()).second)
      fail(fmt::format("its header has the key {} twice", value.dump()));
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::exception& error) {
    fail(fmt::format("its header is not JSON ({})", error.what()));
  }
  return {};
}

}  // namespace

void write_safetensors(const Path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  write_safetensors(path, tensors, metadata, [&](size_t i) { return tensors[i].bytes; });
}

void write_safetensors(const Path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<std::span<const std::byte>(size_t i)>& bytes_of) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  size_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    check(!header.contains(tensor.name), "two tensors {}", tensor.name);
    const size_t end = offset + tensor.type.bytes();
    header[tensor.name] = {{"dtype", name_in_file(tensor.type.dtype)},
                           {"shape", tensor.type.shape},
                           {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  PartialFile file(path);
  file.write({reinterpret_cast<const char*>(&length), sizeof length});
  file.write(text);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto bytes = bytes_of(i);
    check(bytes.size() == tensors[i].type.bytes(), "{}: {} bytes for {}", tensors[i].name,
          bytes.size(), tensors[i].type);
    file.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  file.commit();
}

SafetensorsFile::SafetensorsFile(const Path& path) : file_(std::make_unique<MappedFile>(path)) {
  read(file_->bytes(), path);
}

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, const std::string& file) {
  read(bytes, file);
}

void SafetensorsFile::read(std::span<const std::byte> bytes, const std::string& file) {
  const auto fail = [&](const std::string& what) {
    throw Error({.what = what,
                 .where = file,
                 .fix = "use another copy of the file",
                 .kind = ErrorKind::file});
  };
  uint64_t length = 0;
  if (bytes.size() < 8)
    fail(fmt::format("the file has {} bytes, a safetensors file has at least 8", bytes.size()));
  std::memcpy(&length, bytes.data(), 8);
  if (length > kLargestHeader || length > bytes.size() - 8)
    fail(fmt::format("its header claims {} bytes, the file has {}", length, bytes.size()));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  if (!text.starts_with('{')) fail("its header does not begin with {");
  const Json header = parse_header(text, fail);
  if (!header.is_object()) fail("its header is not a JSON object");
  const auto data = bytes.subspan(8 + length);

  std::vector<std::pair<size_t, size_t>> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) fail("its metadata is not an object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) fail(fmt::format("metadata {} is not a string", key));
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    const auto bad = [&](const char* what) { fail(fmt::format("tensor {}: {}", name, what)); };
    if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
        !entry.contains("data_offsets"))
      bad("dtype, shape or data_offsets is missing");
    const Json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];
    const auto known = std::find_if(std::begin(kNames), std::end(kNames), [&](const auto& row) {
      return dtype.is_string() && dtype == row.first;
    });
    if (known == std::end(kNames))
      bad("its dtype is not one of F32, BF16, F16, I32, I64, U8, I8, BOOL");
    if (!shape.is_array() || !offsets.is_array() || offsets.size() != 2 ||
        !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned())
      bad("shape or data_offsets is malformed");
    NamedTensor tensor{.name = name, .type = {.dtype = known->second, .shape = {}}};
    uint64_t size = size_of(known->second);
    for (const Json& dimension : shape) {
      if (!dimension.is_number_unsigned()) bad("a dimension is not a whole number");
      const auto n = dimension.get<uint64_t>();
      if (n > uint64_t{1} << 48 || (n > 0 && size > (uint64_t{1} << 62) / n))
        bad("its shape is too large");
      size *= n;
      tensor.type.shape.push_back(static_cast<int64_t>(n));
    }
    const auto begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
    if (begin > end || end > data.size()) bad("its data lie outside the file");
    if (end - begin != size) bad("its shape and its data differ in size");
    tensor.bytes = data.subspan(begin, end - begin);
    ranges.emplace_back(begin, end);
    tensors_.push_back(std::move(tensor));
  }
  std::sort(ranges.begin(), ranges.end());
  size_t covered = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != covered) fail("its tensors overlap or leave a hole");
    covered = end;
  }
  if (covered != data.size())
    fail(fmt::format("{} bytes after the last tensor", data.size() - covered));
}

const NamedTensor* SafetensorsFile::find(const std::string& name) const {
  for (const NamedTensor& tensor : tensors_)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

}  // namespace argosy
