#include "engine/gguf.h"

#include <doctest/doctest.h>

#include <cstring>

#include "base/error.h"
#include "shared.h"

using namespace argosy;

namespace {

/// Builds files by hand, so that any field can be wrong.
struct Builder {
  std::string bytes;

  template <typename T>
  Builder& number(T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Builder& u32(uint32_t value) { return number(value); }
  Builder& u64(uint64_t value) { return number(value); }
  Builder& text(const std::string& text) {
    u64(text.size());
    bytes += text;
    return *this;
  }
  Builder& raw(const std::string& more) {
    bytes += more;
    return *this;
  }
  Builder& head(uint64_t tensors, uint64_t entries, uint32_t version = 3) {
    return raw("GGUF").u32(version).u64(tensors).u64(entries);
  }
  /// `dimensions` innermost first, as the file has them.
  Builder& tensor(const std::string& name, const std::vector<uint64_t>& dimensions, uint32_t type,
                  uint64_t offset) {
    text(name).u32(static_cast<uint32_t>(dimensions.size()));
    for (const uint64_t dimension : dimensions) u64(dimension);
    return u32(type).u64(offset);
  }
  Builder& data(size_t size, size_t alignment = 32) {
    bytes.append((alignment - bytes.size() % alignment) % alignment, '\0');
    bytes.append(size, 'd');
    return *this;
  }
};

constexpr uint32_t kU32 = 4, kBool = 7, kText = 8, kArray = 9, kU64 = 10;

std::string refusal(const std::string& bytes) {
  try {
    const GgufFile file(std::as_bytes(std::span(bytes)), "m.gguf");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::file);
    const std::string text = error.what();
    CHECK(text.starts_with("m.gguf: "));
    return text.substr(8);
  }
  return "accepted";
}

void says(const Builder& builder, const std::string& what) {
  INFO(what);
  CHECK(refusal(builder.bytes).find(what) == 0);
}

/// Two metadata entries and two tensors, all sound.
Builder sound() {
  return Builder()
      .head(2, 2)
      .text("general.architecture")
      .u32(kText)
      .text("llama")
      .text("llama.block_count")
      .u32(kU32)
      .u32(30)
      .tensor("a", {32, 2}, 8, 0)
      .tensor("b", {3}, 0, 96)
      .data(96 + 12);
}

}  // namespace

TEST_CASE("gguf: what is written is read again, every kind of metadata and format of tensor") {
  const test::TemporaryFolder folder;
  const Path path = folder.path() / "m.gguf";
  GgufMetadata metadata;
  metadata.set("u8", GgufValue::of(uint8_t{200}));
  metadata.set("i8", GgufValue::of(int8_t{-100}));
  metadata.set("u16", GgufValue::of(uint16_t{60000}));
  metadata.set("i16", GgufValue::of(int16_t{-30000}));
  metadata.set("u32", GgufValue::of(uint32_t{4000000000}));
  metadata.set("i32", GgufValue::of(int32_t{-2000000000}));
  metadata.set("u64", GgufValue::of(uint64_t{1} << 40));
  metadata.set("i64", GgufValue::of(-(int64_t{1} << 40)));
  metadata.set("f32", GgufValue::of(1.5f));
  metadata.set("f64", GgufValue::of(-2.25));
  metadata.set("yes", GgufValue::of(true));
  metadata.set("text", GgufValue::text({"a\0b", 3}));
  metadata.set("texts", GgufValue::all_texts({"", "one", "two"}));
  const std::vector<int32_t> whole = {1, -2, 3};
  metadata.set("whole", GgufValue::of_all<int32_t>(whole));
  const std::vector<float> real = {0.5f, -1};
  metadata.set("real", GgufValue::of_all<float>(real));
  metadata.set("none", GgufValue::of_all<float>({}));
  metadata.set("u8", GgufValue::of(uint8_t{201}));

  std::vector<StoredTensor> tensors;
  std::vector<std::vector<std::byte>> bytes;
  for (const BlockLayout& layout : block_layouts()) {
    tensors.push_back({std::string(layout.name) + ".weight", {3, 256}, layout.format, {}});
    bytes.emplace_back(static_cast<size_t>(3 * row_bytes(layout.format, 256)),
                       static_cast<std::byte>(bytes.size() + 1));
  }
  tensors.push_back({"cube", {2, 3, 5}, BlockFormat::f32, {}});
  bytes.emplace_back(120, std::byte{77});
  write_gguf(path, metadata, tensors,
             [&](size_t i) { return std::span<const std::byte>(bytes[i]); });

  const GgufFile file(path);
  const GgufMetadata& read = file.metadata();
  CHECK(read.entries().size() == 16);
  CHECK(read.integer("u8") == 201);
  CHECK(read.integer("i8") == -100);
  CHECK(read.integer("u16") == 60000);
  CHECK(read.integer("i16") == -30000);
  CHECK(read.integer("u32") == 4000000000);
  CHECK(read.integer("i32") == -2000000000);
  CHECK(read.integer("u64") == int64_t{1} << 40);
  CHECK(read.integer("i64") == -(int64_t{1} << 40));
  CHECK(read.number("f32") == 1.5);
  CHECK(read.number("f64") == -2.25);
  CHECK(read.number("u8") == 201);
  CHECK(read.flag("yes") == true);
  CHECK(read.text("text") == std::string_view("a\0b", 3));
  CHECK(read.texts("texts") == std::vector<std::string_view>{"", "one", "two"});
  CHECK(read.integers("whole") == std::vector<int64_t>{1, -2, 3});
  CHECK(read.numbers("real") == std::vector<float>{0.5f, -1});
  CHECK(read.numbers("none")->empty());
  CHECK(!read.integer("absent"));
  CHECK(!read.texts("absent"));

  REQUIRE(file.tensors().size() == tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor* tensor = file.find(tensors[i].name);
    REQUIRE(tensor != nullptr);
    CHECK(tensor->shape == tensors[i].shape);
    CHECK(tensor->format == tensors[i].format);
    CHECK(std::ranges::equal(tensor->bytes, bytes[i]));
    CHECK((tensor->bytes.data() - file.tensors()[0].bytes.data()) % 32 == 0);
  }
  CHECK(file.find("none") == nullptr);
}

TEST_CASE("gguf: an alignment that the file names holds for its tensors") {
  const test::TemporaryFolder folder;
  const Path path = folder.path() / "m.gguf";
  GgufMetadata metadata;
  metadata.set("general.alignment", GgufValue::of(uint32_t{128}));
  const std::vector<StoredTensor> tensors = {{"a", {3}, BlockFormat::f32, {}},
                                             {"b", {2}, BlockFormat::f32, {}}};
  const std::vector<std::byte> bytes(12, std::byte{5});
  write_gguf(path, metadata, tensors,
             [&](size_t i) { return std::span<const std::byte>(bytes).first(i == 0 ? 12 : 8); });
  const GgufFile file(path);
  CHECK(file.find("b")->bytes.data() - file.find("a")->bytes.data() == 128);
  CHECK(file.find("b")->bytes[7] == std::byte{5});
}

TEST_CASE("gguf: a value of another kind is refused with its key") {
  Builder builder;
  builder.head(0, 4)
      .text("a.text")
      .u32(kText)
      .text("x")
      .text("a.number")
      .u32(kU32)
      .u32(7)
      .text("a.large")
      .u32(kU64)
      .u64(~uint64_t{0})
      .text("a.list")
      .u32(kArray)
      .u32(kU32)
      .u64(1)
      .u32(7);
  const GgufFile file(std::as_bytes(std::span(builder.bytes)), "m.gguf");
  const GgufMetadata& m = file.metadata();
  const auto throws = [](const auto& read, const char* what) {
    CHECK_THROWS_WITH_AS(read(), what, Error);
  };
  throws([&] { m.integer("a.text"); },
         "m.gguf: a.text is text, not a whole number; use another copy of the file");
  throws([&] { m.number("a.text"); },
         "m.gguf: a.text is text, not a number; use another copy of the file");
  throws([&] { m.integer("a.list"); },
         "m.gguf: a.list is a list of u32, not a whole number; use another copy of the file");
  throws([&] { m.text("a.number"); },
         "m.gguf: a.number is u32, not a text; use another copy of the file");
  throws([&] { m.flag("a.number"); },
         "m.gguf: a.number is u32, not true or false; use another copy of the file");
  throws([&] { m.texts("a.text"); },
         "m.gguf: a.text is text, not a list of texts; use another copy of the file");
  throws([&] { m.integers("a.number"); },
         "m.gguf: a.number is u32, not a list of whole numbers; use another copy of the file");
  throws([&] { m.numbers("a.text"); },
         "m.gguf: a.text is text, not a list of numbers; use another copy of the file");
  throws([&] { m.integer("a.large"); },
         "m.gguf: a.large is 18446744073709551615, which is too large; use another copy of the "
         "file");
}

TEST_CASE("gguf: each field, broken once, is refused by name") {
  CHECK(refusal(sound().bytes) == "accepted");
  const uint64_t huge = uint64_t{1} << 63;

  says(Builder().raw("GGU"), "the file does not begin with GGUF");
  says(Builder().raw("GGML").u32(3).u64(0).u64(0), "the file does not begin with GGUF");
  says(Builder().head(0, 0, 1), "the file is GGUF of version 1, not 2 or 3; convert it anew");
  says(Builder().head(0, 0, 0x03000000), "the file is GGUF of version 50331648, not 2 or 3");
  CHECK(refusal(Builder().head(0, 0, 2).bytes) == "accepted");
  says(Builder().raw("GGUF").u32(3).u64(0), "the number of metadata entries claims 8 bytes, 0 are");

  // counts
  says(Builder().head(0, huge),
       "metadata entry 1 of 9223372036854775808 claims 8 bytes, 0 are left");
  says(Builder().head(huge, 0), "tensor 1 of 9223372036854775808 claims 8 bytes, 0 are left");

  // names
  says(Builder().head(0, 1).u64(huge), "metadata entry 1 of 1 claims 9223372036854775808 bytes, 0");
  says(Builder().head(0, 1).u64(~uint64_t{0}).raw("abc"),
       "metadata entry 1 of 1 claims 18446744073709551615 bytes, 3 are left in the file");
  says(Builder().head(0, 1).text(""), "the name of metadata entry 1 of 1 is no printable text");
  says(Builder().head(0, 1).text("a\nb"), "the name of metadata entry 1 of 1 is no printable text");
  says(Builder().head(0, 1).text(std::string(1001, 'k')),
       "the name of metadata entry 1 of 1 is no");
  says(Builder().head(0, 2).text("k").u32(kU32).u32(1).text("k").u32(kU32).u32(1),
       "k stands there twice");

  // values
  says(Builder().head(0, 1).text("k").u32(13), "k has the unknown type 13");
  says(Builder().head(0, 1).text("k").u32(~0u), "k has the unknown type 4294967295");
  says(Builder().head(0, 1).text("k").u32(kU32).raw("abc"), "k claims 4 bytes, 3 are left");
  says(Builder().head(0, 1).text("k").u32(kBool).raw("\x02"), "k is neither true nor false");
  says(Builder().head(0, 1).text("k").u32(kText).u64(huge), "k claims 9223372036854775808 bytes");
  says(Builder().head(0, 1).text("k").u32(kArray).u32(kArray).u64(1), "k is an array of arrays");
  says(Builder().head(0, 1).text("k").u32(kArray).u32(99).u64(1), "k has the unknown type 99");
  says(Builder().head(0, 1).text("k").u32(kArray).u32(kU32).u64(huge),
       "k claims 9223372036854775808 elements, 0 bytes are left in the file");
  says(Builder()
           .head(0, 1)
           .text("k")
           .u32(kArray)
           .u32(kU64)
           .u64((uint64_t{1} << 61) + 1)
           .raw("12345678"),
       "k claims 2305843009213693953 elements, 8 bytes are left");
  says(Builder().head(0, 1).text("k").u32(kArray).u32(kText).u64(huge),
       "k claims 922337203685477580");
  says(Builder().head(0, 1).text("k").u32(kArray).u32(kText).u64(1).u64(huge),
       "k claims 9223372036854775808 bytes, 0 are left");

  // the alignment
  const auto alignment = [](uint32_t value) {
    return Builder().head(0, 1).text("general.alignment").u32(kU32).u32(value);
  };
  says(alignment(0), "general.alignment is 0, not a power of two");
  says(alignment(24), "general.alignment is 24, not a power of two");
  says(alignment(~0u), "general.alignment is 4294967295, not a power of two");
  says(alignment(1u << 31), "general.alignment is 2147483648, not a power of two up to 1048576");
  says(Builder().head(0, 1).text("general.alignment").u32(kText).text("32"),
       "general.alignment is text, not a whole number");

  // tensors
  const auto tensor = [](const std::string& name, const std::vector<uint64_t>& dimensions,
                         uint32_t type, uint64_t offset, size_t data = 1000) {
    return Builder().head(1, 0).tensor(name, dimensions, type, offset).data(data);
  };
  CHECK(refusal(tensor("t", {32}, 8, 0).bytes) == "accepted");
  says(tensor("", {32}, 8, 0), "the name of tensor 1 of 1 is no printable text");
  says(tensor("t", {}, 8, 0), "tensor t has 0 dimensions, not 1 to 4");
  says(tensor("t", {1, 1, 1, 1, 1}, 0, 0), "tensor t has 5 dimensions, not 1 to 4");
  says(tensor("t", {32, 0}, 8, 0), "tensor t has a dimension of 0, which is 0 or too large");
  says(tensor("t", {~uint64_t{0}}, 0, 0), "tensor t has a dimension of 18446744073709551615");
  says(tensor("t", {uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0),
       "tensor t has a dimension of 4294967296, which is 0 or too large");
  says(tensor("t", {uint64_t{1} << 47, 4}, 0, 0), "tensor t has a dimension of 4, which is 0 or");
  says(tensor("t", {32}, 10, 0),
       "tensor t has numbers of GGUF's type 10, which is not known here; take a file in one of the "
       "formats f32, f16, q4_0");
  says(tensor("t", {32}, ~0u, 0), "tensor t has numbers of GGUF's type 4294967295");
  says(tensor("t", {33}, 8, 0), "tensor t has rows of 33 numbers, which are no whole blocks of 32");
  says(tensor("t", {32, 2}, 12, 0),
       "tensor t has rows of 32 numbers, which are no whole blocks of");
  says(tensor("t", {32}, 8, 1), "tensor t lies at 1, which is no multiple of the alignment 32");
  says(tensor("t", {32}, 8, 1024), "tensor t lies at 1024 and has 34 bytes, the file has 1000");
  says(tensor("t", {32}, 8, uint64_t{1} << 63), "tensor t lies at 9223372036854775808 and has 34");
  says(tensor("t", {32}, 8, ~uint64_t{31}), "tensor t lies at 18446744073709551584 and has 34");
  says(tensor("t", {32}, 8, 0, 33), "tensor t lies at 0 and has 34 bytes, the file has 33 for all");
  says(tensor("t", {uint64_t{1} << 48}, 0, 0), "tensor t lies at 0 and has 1125899906842624 bytes");
  says(Builder().head(2, 0).tensor("t", {8}, 0, 0).tensor("t", {8}, 0, 32).data(64),
       "tensor t stands there twice");
  says(Builder().head(2, 0).tensor("t", {8}, 0, 32).tensor("u", {9}, 0, 0).data(100),
       "tensors u and t overlap");
}

TEST_CASE("gguf: a cut file is refused at every length") {
  const std::string whole = sound().bytes;
  for (size_t length = 0; length < whole.size(); ++length) {
    INFO(length);
    CHECK(refusal(whole.substr(0, length)) != "accepted");
  }
}

TEST_CASE("gguf: a flipped bit is refused or changes only what it says") {
  const std::string whole = sound().bytes;
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    if (refusal(bytes) != "accepted") continue;
    const GgufFile file(std::as_bytes(std::span(bytes)), "m.gguf");
    for (const StoredTensor& tensor : file.tensors()) {
      CHECK(std::ssize(tensor.bytes) == tensor.rows() * tensor.bytes_per_row());
      CHECK(tensor.bytes.data() + tensor.bytes.size() <=
            reinterpret_cast<const std::byte*>(bytes.data()) + bytes.size());
    }
  }
}
