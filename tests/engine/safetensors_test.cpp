#include "engine/safetensors.h"

#include <doctest/doctest.h>

#include <cstring>

#include "base/error.h"
#include "base/random.h"
#include "shared.h"

using namespace argosy;

namespace {

/// A file of this header and so many bytes of data.
std::string file_of(const std::string& header, size_t data_bytes) {
  std::string bytes(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data_bytes, 'd');
}

std::string refusal(const test::TemporaryFolder& folder, const std::string& bytes) {
  const Path path = folder.path() / "t.safetensors";
  write_file(path, bytes);
  try {
    const SafetensorsFile file(path);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::file);
    const std::string text = error.what();
    CHECK(text.starts_with(path.string() + ": "));
    return text.substr(path.string().size() + 2);
  }
  return "accepted";
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
         offsets + "}";
}

constexpr const char* kFix = "; use another copy of the file";

}  // namespace

TEST_CASE("safetensors: what is written is read again, with empty tensors, scalars and metadata") {
  const test::TemporaryFolder temporary;
  const Path path = temporary.path() / "t.safetensors";
  const float real[] = {1.5f, -2, 3, 4, 5, 6};
  const int64_t whole[] = {-7};
  const std::vector<NamedTensor> tensors = {
      {"b/weight", {DType::f32, {2, 3}}, std::as_bytes(std::span(real))},
      {"a \"quoted\" \\ name", {DType::i64, {}}, std::as_bytes(std::span(whole))},
      {"empty", {DType::bf16, {0, 4}}, {}},
      {"flag", {DType::boolean, {1}}, std::as_bytes(std::span(whole)).first(1)}};
  write_safetensors(path, tensors, {{"format", "argosy"}});
  const SafetensorsFile file(path);
  CHECK(file.tensors().size() == 4);
  CHECK(file.metadata().at("format") == "argosy");
  for (const NamedTensor& wanted : tensors) {
    const NamedTensor* got = file.find(wanted.name);
    REQUIRE(got != nullptr);
    CHECK(got->type == wanted.type);
    CHECK(std::ranges::equal(got->bytes, wanted.bytes));
  }
  CHECK(file.find("none") == nullptr);
  write_safetensors(path, {});
  CHECK(SafetensorsFile(path).tensors().empty());
}

TEST_CASE("safetensors: each rule of the format, broken once, is refused by name") {
  const test::TemporaryFolder t;
  const std::string good = tensor("x", "F32", "[2]", "[0,8]");
  CHECK(refusal(t, file_of("{" + good + "}", 8)) == "accepted");
  const auto says = [&](const std::string& bytes, const std::string& what) {
    INFO(what);
    CHECK(refusal(t, bytes).find(what) == 0);
  };
  const auto header = [&](const std::string& text, size_t data, const std::string& what) {
    says(file_of(text, data), what);
  };
  says("1234567", std::string("the file has 7 bytes, a safetensors file has at least 8") + kFix);
  says(std::string("\0\xE1\xF5\x05\0\0\0\0", 8) + "{}", "its header claims 100000000 bytes");
  says(std::string("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8) + "{}",
       "its header claims 184467440737095");
  says(std::string("\x09\0\0\0\0\0\0\0", 8) + "{}", "its header claims 9 bytes, the file has 10");
  header(" {}", 0, "its header does not begin with {");
  header("", 0, "its header does not begin with {");
  header("{" + good, 8, "its header is not JSON");
  header("{\"\xFF\":1}", 0, "its header is not JSON");
  header("{" + good + "} x", 8, "its header is not JSON");
  header("{" + good + "," + good + "}", 8, "its header has the key \"x\" twice");
  header(R"({"x":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8,
         "its header has the key \"dtype\" twice");
  header(R"({"__metadata__":[]})", 0, "its metadata is not an object");
  header(R"({"__metadata__":{"a":1}})", 0, "metadata a is not a string");
  header(R"({"x":[]})", 0, "tensor x: dtype, shape or data_offsets is missing");
  header(R"({"x":{"dtype":"F32","shape":[2]}})", 8,
         "tensor x: dtype, shape or data_offsets is missing");
  header("{" + tensor("x", "F99", "[2]", "[0,8]") + "}", 8, "tensor x: its dtype is not one of");
  header("{" + tensor("x", "F32", "2", "[0,8]") + "}", 8,
         "tensor x: shape or data_offsets is malformed");
  header("{" + tensor("x", "F32", "[2]", "[0]") + "}", 8,
         "tensor x: shape or data_offsets is malformed");
  header("{" + tensor("x", "F32", "[2]", "[0,8.0]") + "}", 8,
         "tensor x: shape or data_offsets is malformed");
  header("{" + tensor("x", "F32", "[-2]", "[0,8]") + "}", 8,
         "tensor x: a dimension is not a whole");
  header("{" + tensor("x", "F32", "[2.5]", "[0,8]") + "}", 8,
         "tensor x: a dimension is not a whole");
  header("{" + tensor("x", "F32", "[4294967296,4294967296,4294967296]", "[0,8]") + "}", 8,
         "tensor x: its shape is too large");
  header("{" + tensor("x", "F32", "[18446744073709551615,2]", "[0,8]") + "}", 8,
         "tensor x: its shape is too large");
  header("{" + tensor("x", "F32", "[2]", "[8,0]") + "}", 8,
         "tensor x: its data lie outside the file");
  header("{" + tensor("x", "F32", "[3]", "[0,12]") + "}", 8,
         "tensor x: its data lie outside the file");
  header("{" + tensor("x", "F32", "[3]", "[0,8]") + "}", 8,
         "tensor x: its shape and its data differ");
  header("{" + good + "," + tensor("y", "U8", "[2]", "[9,11]") + "}", 11,
         "its tensors overlap or leave a hole");
  header("{" + good + "," + tensor("y", "U8", "[2]", "[7,9]") + "}", 9,
         "its tensors overlap or leave a hole");
  header("{" + good + "}", 9, "1 bytes after the last tensor");
  std::string deep = "1";
  for (int i = 0; i < 100000; ++i) deep = "[" + deep + "]";
  header("{\"x\":" + deep + "}", 0, "its header is nested too deeply");
}

TEST_CASE("safetensors: a cut file is refused at every length") {
  const test::TemporaryFolder t;
  const std::string whole = file_of(
      "{" + tensor("x", "F32", "[2]", "[0,8]") + "," + tensor("y", "U8", "[3]", "[8,11]") + "}",
      11);
  for (size_t length = 0; length < whole.size(); ++length) {
    INFO(length);
    CHECK(refusal(t, whole.substr(0, length)) != "accepted");
  }
}

TEST_CASE("safetensors: a flipped bit is refused or changes only what it says") {
  const test::TemporaryFolder t;
  const Path path = t.path() / "t.safetensors";
  const std::string whole =
      file_of(R"({"__metadata__":{"k":"v"},)" + tensor("x", "F32", "[2]", "[0,8]") + "}", 8);
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    if (refusal(t, bytes) != "accepted") continue;
    const SafetensorsFile file(path);  // a name, a text, the data or the kind of number
    size_t total = 0;
    for (const NamedTensor& entry : file.tensors()) {
      CHECK(entry.bytes.size() == entry.type.bytes());
      total += entry.bytes.size();
    }
    CHECK(total == 8);
  }
}
