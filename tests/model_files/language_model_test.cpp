#include "model_files/language_model.h"

#include <doctest/doctest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "engine/gguf.h"
#include "engine/safetensors.h"
#include "model_files/export.h"
#include "model_files/hugging_face_config.h"
#include "models/rotary_scaling.h"
#include "shared.h"
#include "texts.h"
#include "tiny_model.h"

using namespace argosy;
using test::contains;
using test::error_text;
using namespace argosy::model_files;
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

void check_same_model(const LanguageModel& a, const LanguageModel& b) {
  const models::LanguageOptions &x = a.options, &y = b.options;
  CHECK(x.architecture == y.architecture);
  for (const models::LanguageFormat* format : models::language_formats())
    for (const models::OptionName& option : format->options)
      CHECK(option_value(option, x) == doctest::Approx(option_value(option, y)).epsilon(1e-7));
  CHECK(x.tied == y.tied);
  CHECK(x.rotary_divisors == y.rotary_divisors);
  CHECK(a.parameters() == b.parameters());
  REQUIRE(a.weights.size() == b.weights.size());
  for (const Weight& weight : a.weights) {
    INFO(weight.name);
    REQUIRE(b.find(weight.name) != nullptr);
    CHECK(b.find(weight.name)->shape == weight.shape);
    CHECK(read_numbers(*b.find(weight.name)) == read_numbers(weight));
  }
  const std::string text = "hello hell, 123  \xC3\xA9\xE4\xB8\xAD \n\t<|im_end|>\xFF";
  CHECK(a.tokenizer->encode(text, false) == b.tokenizer->encode(text, false));
  CHECK(a.tokenizer->encode(text, true) == b.tokenizer->encode(text, true));
  CHECK(a.tokenizer->ends() == b.tokenizer->ends());
  CHECK(a.chat_template == b.chat_template);
}

/// The same file with its metadata or its list of tensors changed.
void rewrite(const Path& path,
             const std::function<void(GgufMetadata&, std::vector<StoredTensor>&)>& edit) {
  const Path copy = path.string() + ".old";
  fs::copy_file(path, copy, fs::copy_options::overwrite_existing);
  const GgufFile file(copy);
  GgufMetadata metadata = file.metadata();
  std::vector<StoredTensor> tensors(file.tensors().begin(), file.tensors().end());
  edit(metadata, tensors);
  write_gguf(path, metadata, tensors, [&](size_t i) { return tensors[i].bytes; });
}

/// What opening says of a file with one key changed.
std::string refusal(const test::TemporaryFolder& folder, const std::string& key,
                    const GgufValue& value) {
  const Path path = folder.path() / "broken.gguf";
  write_gguf_model(test::tiny_model(), path, std::nullopt);
  rewrite(path, [&](GgufMetadata& metadata, auto&) { metadata.set(key, value); });
  return error_text([&] { open_model(path); });
}

Json sound_config() {
  return {{"architectures", Json::array({"LlamaForCausalLM"})},
          {"vocab_size", 264},
          {"max_position_embeddings", 64},
          {"hidden_size", 32},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"intermediate_size", 64},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 5000.0},
          {"hidden_act", "silu"},
          {"tie_word_embeddings", true}};
}

std::string config_refusal(const std::string& key, const Json& value) {
  Json config = sound_config();
  if (value.is_discarded())
    config.erase(key);
  else
    config[key] = value;
  return error_text([&] { read_config(config.dump(), "config.json"); });
}

}  // namespace

TEST_CASE("model: of every architecture and scaling, written and opened again it is the same") {
  const models::LlamaScaling llama3 = {.factor = 32}, other = {.factor = 8, .context = 16};
  const auto of = [](const models::LlamaScaling& s) { return models::rotary_divisors(s, 5000, 8); };
  const std::vector<std::vector<float>> scalings = {
      {}, {4, 4, 4, 4}, of(llama3), of(other), {1, 1.5, 2, 7}};
  for (const models::LanguageFormat* format : models::language_formats())
    for (const std::vector<float>& divisors : scalings) {
      INFO(format->architecture);
      CAPTURE(divisors.size());
      const test::TemporaryFolder folder;
      LanguageModel model = test::tiny_model(false, 32, *format);
      model.options.rotary_divisors = divisors;
      if (format->hugging_face) {
        write_hugging_face_model(model, folder.path() / "folder", std::nullopt);
        check_same_model(model, open_model(folder.path() / "folder"));
      }
      const bool in_gguf =
          format->gguf_rotary_divisors || std::ranges::count(divisors, 4) > 0 || divisors.empty();
      const std::string refused =
          error_text([&] { write_gguf_model(model, folder.path() / "m.gguf", std::nullopt); });
      CHECK(in_gguf == (refused == "no error"));
      if (in_gguf)
        check_same_model(model, open_model(folder.path() / "m.gguf"));
      else
        CHECK(contains(refused,
                       fmt::format("GGUF has no form for the rotary positions of this {} model",
                                   format->architecture)));
    }
}

TEST_CASE("model: written as GGUF and opened again it is the same") {
  const test::TemporaryFolder folder;
  for (const bool tied : {true, false}) {
    const LanguageModel model = test::tiny_model(tied);
    const Path path = folder.path() / "tiny.gguf";
    write_gguf_model(model, path, std::nullopt);
    const LanguageModel again = open_model(path);
    check_same_model(model, again);
    CHECK(again.name == "tiny");
    CHECK(again.kind == "GGUF");
    // and once more, out of the file's own order of rows
    write_gguf_model(again, folder.path() / "second.gguf", std::nullopt);
    CHECK(read_file(folder.path() / "second.gguf").size() == read_file(path).size());
    check_same_model(model, open_model(folder.path() / "second.gguf"));
  }
}

TEST_CASE("model: a Grok written as GGUF and opened again is the same") {
  const test::TemporaryFolder folder;
  for (const bool tied : {true, false}) {
    const LanguageModel model = test::tiny_grok(tied);
    const Path path = folder.path() / "tiny.gguf";
    write_gguf_model(model, path, std::nullopt);
    check_same_model(model, open_model(path));
  }
}

TEST_CASE("model: a Grok has the names and shapes in GGUF that llama.cpp looks for") {
  const test::TemporaryFolder folder;
  const Path path = folder.path() / "tiny.gguf";
  write_gguf_model(test::tiny_grok(), path, std::nullopt);
  const GgufFile file(path);
  CHECK(file.metadata().text("general.architecture") == "grok");
  CHECK(file.metadata().integer("grok.expert_count") == 3);
  CHECK(file.metadata().integer("grok.expert_used_count") == 2);
  for (const auto& [key, value] : {std::pair("grok.embedding_scale", 5.5),
                                   {"grok.logit_scale", 0.5},
                                   {"grok.attention.output_scale", 0.25},
                                   {"grok.attn_logit_softcapping", 20.0}})
    CHECK(file.metadata().number(key) == value);
  CHECK(file.tensors().size() == 2 + 2 * 12);
  for (const auto& [name, shape] : {std::pair("blk.1.ffn_gate_inp.weight", Shape{3, 32}),
                                    {"blk.1.ffn_gate_exps.weight", {3, 64, 32}},
                                    {"blk.1.ffn_up_exps.weight", {3, 64, 32}},
                                    {"blk.1.ffn_down_exps.weight", {3, 32, 64}},
                                    {"blk.1.attn_output_norm.weight", {32}},
                                    {"blk.1.layer_output_norm.weight", {32}}}) {
    INFO(name);
    REQUIRE(file.find(name));
    CHECK(file.find(name)->shape == shape);
  }
}

TEST_CASE("model: quantised, a Grok's router stays as it is, its experts do not") {
  const test::TemporaryFolder folder;
  const LanguageModel model = test::tiny_grok();
  const Path path = folder.path() / "small.gguf";
  write_gguf_model(model, path, BlockFormat::q4_0);
  const LanguageModel again = open_model(path);
  for (const Weight& weight : again.weights)
    if (weight.name.ends_with("router/weight")) {
      CHECK(weight.format == BlockFormat::f32);
      CHECK(read_numbers(weight) == read_numbers(*model.find(weight.name)));
    } else if (weight.shape.size() == 3) {
      CHECK(weight.format == BlockFormat::q4_0);
    }
}

TEST_CASE("model: matrices that a file has by columns give the same rows, in any format") {
  LanguageModel model = test::tiny_grok();
  for (Weight& weight : model.weights) {
    if (weight.shape.size() != 3) continue;
    INFO(weight.name);
    const std::vector<float> numbers = read_numbers(weight);
    const int64_t rows = weight.shape[1], columns = weight.shape[2];
    std::vector<float> by_columns;
    for (int64_t expert = 0; expert < weight.shape[0]; ++expert)
      for (int64_t column = 0; column < columns; ++column)
        for (int64_t row = 0; row < rows; ++row)
          by_columns.push_back(numbers[(expert * rows + row) * columns + column]);
    Weight turned = weight;
    turned.bytes = std::as_bytes(std::span(by_columns));
    turned.transposed = true;
    CHECK(read_numbers(turned) == numbers);
    std::vector<std::byte> wanted(3 * row_bytes(BlockFormat::q8_0, columns)), found(wanted.size());
    read_rows_as(BlockFormat::q8_0, weight, rows - 1, wanted);
    read_rows_as(BlockFormat::q8_0, turned, rows - 1, found);
    CHECK(found == wanted);
  }
}

TEST_CASE("model: a Grok whose numbers of experts do not fit, or that is a Grok-2, is refused") {
  const test::TemporaryFolder folder;
  const auto refused = [&](const auto& edit) {
    const Path path = folder.path() / "broken.gguf";
    write_gguf_model(test::tiny_grok(), path, std::nullopt);
    rewrite(path, edit);
    return error_text([&] { open_model(path); });
  };
  const auto with = [&](const char* key, const GgufValue& value) {
    return refused([&](GgufMetadata& metadata, auto&) { metadata.set(key, value); });
  };
  CHECK(contains(with("grok.expert_count", GgufValue::of(uint32_t{0})),
                 "grok.expert_count is 0, which is not from 1 to 4096"));
  CHECK(contains(with("grok.expert_count", GgufValue::of(UINT32_MAX)), "which is not from 1 to"));
  CHECK(contains(with("grok.expert_count", GgufValue::of(3.0f)), "grok.expert_count"));
  CHECK(contains(with("grok.expert_count", GgufValue::of(uint32_t{4})),
                 "blk.0.ffn_gate_inp.weight is [3, 32], the model's options make it [4, 32]"));
  CHECK(contains(with("grok.expert_used_count", GgufValue::of(uint32_t{4})),
                 "a token goes to 4 experts, but there are 3"));
  CHECK(contains(with("grok.expert_used_count", GgufValue::of(uint32_t{0})), "is 0, which is not"));
  CHECK(contains(with("grok.feed_forward_length", GgufValue::of(uint32_t{96})),
                 "blk.0.ffn_gate_exps.weight is [3, 64, 32], the model's options make it [3, 96"));
  CHECK(contains(with("grok.attn_logit_softcapping", GgufValue::of(NAN)),
                 "grok.attn_logit_softcapping is nan, which is not from"));
  CHECK(contains(with("grok.final_logit_softcapping", GgufValue::of(50.0f)),
                 "grok.final_logit_softcapping is 50; only 0 is known here"));
  CHECK(contains(with("grok.rope.scaling.type", GgufValue::text("yarn")), "is \"yarn\"; only"));
  for (const char* missing : {"blk.1.ffn_down_exps.weight", "blk.0.ffn_gate_inp.weight"})
    CHECK(contains(refused([&](GgufMetadata&, std::vector<StoredTensor>& tensors) {
                     std::erase_if(tensors, [&](const auto& t) { return t.name == missing; });
                   }),
                   fmt::format("tensor {} is missing", missing)));
  const auto beside = [&](GgufMetadata&, std::vector<StoredTensor>& tensors) {
    tensors.push_back(tensors.back());
    tensors.back().name = "blk.0.ffn_gate.weight";  // Grok-2's network beside the experts
  };
  CHECK(contains(refused(beside), "tensor blk.0.ffn_gate.weight has no place in the model"));
}

TEST_CASE("model: a Grok has no form that transformers loads, and one is told what to do") {
  const test::TemporaryFolder folder;
  const std::string text = error_text(
      [&] { write_hugging_face_model(test::tiny_grok(), folder.path() / "out", std::nullopt); });
  CHECK(
      contains(text, "have no form for a grok model that is known here; write it as a GGUF file"));
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("model: written as a Hugging Face folder and opened again it is the same") {
  const test::TemporaryFolder folder;
  for (const bool tied : {true, false}) {
    const LanguageModel model = test::tiny_model(tied);
    const Path path = folder.path() / (tied ? "tied" : "untied");
    write_hugging_face_model(model, path, std::nullopt);
    const LanguageModel again = open_model(path);
    check_same_model(model, again);
    CHECK(again.kind == "Hugging Face");
    CHECK((again.find("output/weight") == nullptr) == tied);
    // from there to GGUF and back
    write_gguf_model(again, folder.path() / "way.gguf", std::nullopt);
    check_same_model(model, open_model(folder.path() / "way.gguf"));
  }
}

TEST_CASE("model: GGUF has the halves of a head of queries and keys as neighbouring rows") {
  const test::TemporaryFolder folder;
  const LanguageModel model = test::tiny_model();
  write_gguf_model(model, folder.path() / "m.gguf", std::nullopt);
  const GgufFile file(folder.path() / "m.gguf");
  for (const auto& [name, own, heads] :
       {std::tuple("blk.1.attn_q.weight", "block1/attention/query/weight", 4),
        std::tuple("blk.0.attn_k.weight", "block0/attention/key/weight", 2)}) {
    const auto* stored = reinterpret_cast<const float*>(file.find(name)->bytes.data());
    const std::vector<float> wanted = read_numbers(*model.find(own));
    for (int64_t head = 0; head < heads; ++head)
      for (int64_t pair = 0; pair < 4; ++pair)
        for (int64_t half = 0; half < 2; ++half)
          for (int64_t column = 0; column < 32; ++column)
            REQUIRE(stored[(head * 8 + 2 * pair + half) * 32 + column] ==
                    wanted[(head * 8 + half * 4 + pair) * 32 + column]);
  }
  const auto* values =
      reinterpret_cast<const float*>(file.find("blk.0.attn_v.weight")->bytes.data());
  CHECK(std::ranges::equal(std::span(values, 16 * 32),
                           read_numbers(*model.find("block0/attention/value/weight"))));
}

TEST_CASE("model: quantised, each row becomes what the format makes of that row") {
  const test::TemporaryFolder folder;
  const LanguageModel model = test::tiny_model();
  for (const BlockLayout& layout : block_layouts()) {
    INFO(layout.name);
    const Path path = folder.path() / (std::string(layout.name) + ".gguf");
    const std::vector<FormatShare> shares = write_gguf_model(model, path, layout.format);
    const LanguageModel again = open_model(path);
    int64_t weights = 0, bytes = 0;
    for (const FormatShare& share : shares) {
      weights += share.weights;
      bytes += share.bytes;
      CHECK(share.error <= (share.format == BlockFormat::f32 ? 0 : 0.2));
    }
    CHECK(weights == std::ssize(model.weights));
    CHECK(bytes == static_cast<int64_t>(again.bytes()));
    for (const Weight& weight : model.weights) {
      const Weight& stored = *again.find(weight.name);
      const BlockFormat format = quantised_format(weight, model.options.vocabulary, layout.format);
      REQUIRE(stored.format == format);
      std::vector<std::byte> wanted(static_cast<size_t>(stored.rows() * stored.bytes_per_row())),
          rows(wanted.size());
      quantize(format, read_numbers(weight), wanted);
      read_rows(stored, 0, rows);
      CHECK(rows == wanted);
      std::vector<std::byte> one(static_cast<size_t>(stored.bytes_per_row()));
      read_rows(stored, stored.rows() - 1, one);
      CHECK(std::ranges::equal(one, std::span(wanted).last(one.size())));
      read_rows_as(format, weight, stored.rows() - 1, one);
      CHECK(std::ranges::equal(one, std::span(wanted).last(one.size())));
    }
  }
}

TEST_CASE("model: vectors stay f32, tables keep 8 bits, rows that are no blocks get others") {
  using enum BlockFormat;
  const auto format = [](Shape shape, BlockFormat wanted) {
    return quantised_format({.name = "w", .shape = std::move(shape)}, 1000, wanted);
  };
  CHECK(format({256}, q4_0) == f32);
  CHECK(format({1000, 256}, q4_0) == q8_0);
  CHECK(format({1000, 256}, bf16) == bf16);
  CHECK(format({512, 256}, q4_0) == q4_0);
  CHECK(format({512, 256}, q4_k) == q4_k);
  CHECK(format({512, 576}, q4_k) == q5_0);
  CHECK(format({512, 576}, q5_k) == q5_1);
  CHECK(format({512, 576}, q6_k) == q8_0);
  CHECK(format({512, 33}, q4_k) == f16);
  CHECK(format({512, 33}, q8_0) == f16);
}

TEST_CASE("model: a number that the format cannot hold ends the writing, and no file is left") {
  const test::TemporaryFolder folder;
  LanguageModel model = test::tiny_model();
  std::vector<float> numbers = read_numbers(*model.find("block0/mlp/up/weight"));
  const auto with = [&](float number, BlockFormat format) {
    numbers[5] = number;
    for (Weight& weight : model.weights)
      if (weight.name == "block0/mlp/up/weight") weight.bytes = std::as_bytes(std::span(numbers));
    return error_text([&] { write_gguf_model(model, folder.path() / "m.gguf", format); });
  };
  CHECK(contains(with(NAN, BlockFormat::f32),
                 "weight block0/mlp/up/weight has a number that is not finite in f32"));
  CHECK(contains(with(INFINITY, BlockFormat::q8_0), "is not finite in q8_0"));
  CHECK(contains(with(1e6f, BlockFormat::f16), "is not finite in f16"));
  CHECK(contains(with(1e8f, BlockFormat::q4_k), "is not finite in q5_0"));
  CHECK(with(1e6f, BlockFormat::bf16) == "no error");
  fs::remove(folder.path() / "m.gguf");
  with(NAN, BlockFormat::q4_0);
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("model: weights in several files are found by their index") {
  const test::TemporaryFolder folder;
  const Path path = folder.path() / "m";
  const LanguageModel model = test::tiny_model();
  write_hugging_face_model(model, path, std::nullopt);
  std::vector<NamedTensor> parts[2];
  const SafetensorsFile whole(path / "model.safetensors");
  Json index = {{"weight_map", Json::object()}};
  const char* names[] = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};
  for (size_t i = 0; i < whole.tensors().size(); ++i) {
    parts[i % 2].push_back(whole.tensors()[i]);
    index["weight_map"][whole.tensors()[i].name] = names[i % 2];
  }
  for (int i : {0, 1}) write_safetensors(path / names[i], parts[i]);
  write_file(path / "model.safetensors.index.json", index.dump());
  fs::remove(path / "model.safetensors");
  check_same_model(model, open_model(path));

  parts[1].push_back(parts[0][0]);
  write_safetensors(path / names[1], parts[1]);
  CHECK(contains(error_text([&] { open_model(path); }),
                 "tensor " + parts[0][0].name + " is in another file too"));
  fs::remove(path / names[1]);
  CHECK(contains(error_text([&] { open_model(path); }), names[1]));
}

TEST_CASE("model: an index of weights names files in its folder and no other") {
  const auto refused = [](const std::string& text) {
    return error_text([&] { read_weight_index(text, "index.json"); });
  };
  CHECK(contains(refused("[]"), "index.json: it is not a JSON object"));
  CHECK(contains(refused("{}"), "weight_map is not an object"));
  CHECK(contains(refused(R"({"weight_map":{}})"), "weight_map is not an object"));
  CHECK(contains(refused(R"({"weight_map":{"a":1}})"), "1 is no name of a safetensors file"));
  for (const char* name : {"../a.safetensors", "/a.safetensors", "b/a.safetensors", "a.bin", ""})
    CHECK(contains(refused(Json({{"weight_map", {{"a", name}}}}).dump()),
                   "is no name of a safetensors file beside it"));
}

TEST_CASE("model: config.json in the forms that there are gives the same options") {
  const models::LanguageOptions plain = read_config(sound_config().dump(), "c").options;
  CHECK(plain.head_width == 8);
  CHECK(plain.rotary_base == 5000);
  CHECK(plain.tied);
  Json config = sound_config();
  config.erase("rope_theta");
  CHECK(read_config(config.dump(), "c").options.rotary_base == 10000);
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 5000.0}};
  CHECK(read_config(config.dump(), "c").options.rotary_base == 5000);
  config.erase("num_key_value_heads");
  CHECK(read_config(config.dump(), "c").options.key_heads == 4);
  config["head_dim"] = 16;
  config["rope_scaling"] = nullptr;
  config["some_new_key"] = {1, 2};
  CHECK(read_config(config.dump(), "c").options.head_width == 16);
  config.erase("tie_word_embeddings");
  CHECK(!read_config(config.dump(), "c").options.tied);
}

TEST_CASE(
    "model: config.json with a key missing, of another type or out of its limits is refused") {
  CHECK(error_text([] { read_config(sound_config().dump(), "config.json"); }) == "no error");
  const Json gone(Json::value_t::discarded);
  for (const models::OptionName& option : models::kLlamaFormat.options) {
    const std::string key = option.hugging_face;
    INFO(key);
    if (!option.otherwise)
      CHECK(contains(config_refusal(key, gone), "config.json: " + key + " is missing"));
    for (const Json& wrong : {Json("32"), Json(true), Json::array({32}), Json::object()})
      CHECK(contains(config_refusal(key, wrong), "config.json: " + key + " is " + wrong.dump()));
    for (const Json& far : {Json(-1), Json(-1e300), Json(1e300), Json(int64_t{1} << 62),
                            Json(UINT64_MAX), Json(INT64_MIN)}) {
      INFO(far.dump());
      CHECK(contains(config_refusal(key, far), "config.json: " + key + " is "));
    }
    if (is_whole(option)) {
      CHECK(contains(config_refusal(key, 0), key + " is 0, which is not from"));
      CHECK(contains(config_refusal(key, 2.5), key + " is 2.5, not a whole number"));
    }
  }
  CHECK(contains(config_refusal("num_key_value_heads", 3), "4 heads of queries cannot share 3"));
  CHECK(contains(config_refusal("head_dim", 7), "a head is 7 wide, an odd number"));
  CHECK(contains(config_refusal("hidden_act", "gelu"), "hidden_act is \"gelu\"; only \"silu\""));
  CHECK(contains(config_refusal("attention_bias", true), "attention_bias is true; only false"));
  const Json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 8192}};
  CHECK(config_refusal("rope_scaling", llama3) == "no error");
  CHECK(config_refusal("rope_parameters", llama3) == "no error");
  for (const auto& [key, value] : llama3.items()) {
    Json without = llama3;
    without.erase(key);
    if (key == "rope_type")
      CHECK(contains(config_refusal("rope_scaling", without), "rope_scaling is {"));
    else
      CHECK(
          contains(config_refusal("rope_scaling", without), "rope_scaling." + key + " is missing"));
    if (key == "rope_type") continue;
    for (const Json& wrong : {Json("8"), Json(-1), Json(1e300), Json::array({8})}) {
      Json with = llama3;
      with[key] = wrong;
      CHECK(contains(config_refusal("rope_scaling", with),
                     "rope_scaling." + key + " is " + wrong.dump()));
    }
  }
  CHECK(contains(config_refusal("rope_scaling", {{"type", "linear"}, {"factor", 0}}),
                 "rope_scaling.factor is 0, which is not a number from 1"));
  CHECK(config_refusal("rope_scaling", {{"type", "linear"}, {"factor", 2}}) == "no error");
  Json lists = {{"rope_type", "longrope"},
                {"short_factor", {1, 1, 2, 3}},
                {"long_factor", {1, 1, 2, 3}},
                {"attention_factor", 1}};
  CHECK(config_refusal("rope_scaling", lists) == "no error");
  lists["long_factor"] = {1, 1, 2, 4};
  CHECK(contains(config_refusal("rope_scaling", lists), "other factors for short texts"));
  lists["long_factor"] = {1, 1, 2};
  CHECK(contains(config_refusal("rope_scaling", lists), "long_factor is no list of 4 numbers"));
  CHECK(contains(config_refusal("rope_scaling", "linear"), "rope_scaling is \"linear\""));
  CHECK(contains(config_refusal("rope_parameters", {{"rope_type", "yarn"}}), "rope_scaling is {"));
  CHECK(contains(config_refusal("rope_parameters", 1), "rope_parameters is not an object"));
  CHECK(contains(config_refusal("tie_word_embeddings", 1), "tie_word_embeddings is 1, not true"));
  CHECK(
      contains(config_refusal("architectures", gone), "architectures is null, which is not known"));
  CHECK(contains(config_refusal("architectures", Json::array({"GPT2LMHeadModel"})),
                 "architectures is [\"GPT2LMHeadModel\"], which is not known here; use a model of "
                 "LlamaForCausalLM, Qwen2ForCausalLM"));
  const auto refused = [](const std::string& text) {
    return error_text([&] { read_config(text, "config.json"); });
  };
  CHECK(contains(refused("{"), "config.json"));
  CHECK(contains(refused("[]"), "it is not a JSON object"));
  CHECK(contains(refused("{\"\xFF\":1}"), "config.json"));
  CHECK(contains(refused(std::string(100000, '[')), "config.json"));
}

TEST_CASE(
    "model: a GGUF file with a key missing, of another type or out of its limits is refused") {
  const test::TemporaryFolder folder;
  const auto u32 = [](uint32_t value) { return GgufValue::of(value); };
  for (const models::OptionName& option : models::kLlamaFormat.options) {
    const std::string key = std::string("llama.") + option.gguf;
    INFO(key);
    CHECK(contains(refusal(folder, key, GgufValue::text("x")), key + " is text, not a "));
    CHECK(contains(refusal(folder, key, GgufValue::of(int64_t{-5})), " is -5, which is not from"));
    CHECK(contains(refusal(folder, key, GgufValue::of(uint64_t{1} << 60)), "which is not from"));
    CHECK(contains(refusal(folder, key, GgufValue::of(~uint64_t{0})), key));
  }
  CHECK(contains(refusal(folder, "llama.rope.freq_base", GgufValue::of(NAN)), "which is not from"));
  CHECK(contains(refusal(folder, "llama.rope.dimension_count", u32(4)),
                 "llama.rope.dimension_count is 4, the heads are 8 wide"));
  CHECK(contains(refusal(folder, "llama.rope.scaling.type", GgufValue::text("yarn")),
                 "llama.rope.scaling.type is \"yarn\"; only \"none\" and \"linear\" are known"));
  for (const double wrong : {-1.0, 0.0, 1e30, double{NAN}})
    CHECK(contains(refusal(folder, "llama.rope.scaling.factor", GgufValue::of(wrong)),
                   "llama.rope.scaling.factor is "));
  CHECK(contains(refusal(folder, "llama.expert_count", u32(8)), "llama.expert_count is 8; only 0"));
  CHECK(contains(
      refusal(folder, "general.architecture", GgufValue::text("mamba")),
      "general.architecture is \"mamba\", which is not known here; use a model of llama, qwen2"));
  CHECK(contains(refusal(folder, "llama.feed_forward_length", u32(96)),
                 "tensor blk.0.ffn_gate.weight is [64, 32], the model's options make it [96, 32]"));
  CHECK(contains(refusal(folder, "llama.block_count", u32(3)),
                 "tensor blk.2.attn_norm.weight is missing"));
  CHECK(contains(refusal(folder, "llama.block_count", u32(1)),
                 "tensor blk.1.attn_k.weight has no place in the model (nor have 8 more)"));
  CHECK(contains(refusal(folder, "tokenizer.ggml.model", GgufValue::text("bert")),
                 "tokenizer.ggml.model is \"bert\""));
  CHECK(
      contains(refusal(folder, "tokenizer.ggml.eos_token_id", u32(9999)), "eos_token_id is 9999"));
  CHECK(contains(refusal(folder, "tokenizer.ggml.tokens", GgufValue::all_texts({"a"})), "tokens"));
  CHECK(contains(refusal(folder, "tokenizer.chat_template", u32(1)),
                 "tokenizer.chat_template is u32, not a text"));
  CHECK(contains(refusal(folder, "general.alignment", u32(32)), "no error"));
}

TEST_CASE("model: a tokenizer with more tokens than the table has entries is refused") {
  const test::TemporaryFolder folder;
  LanguageModel model = test::tiny_model();
  text::BpeDefinition more = test::tiny_vocabulary();
  for (int i = 0; i < 10; ++i) more.entries.push_back({fmt::format("extra{}", i)});
  model.tokenizer = std::make_unique<text::BpeTokenizer>(more, "more");
  write_hugging_face_model(model, folder.path() / "m", std::nullopt);
  CHECK(contains(error_text([&] { open_model(folder.path() / "m"); }),
                 "the tokenizer has 272 tokens, the model's table 264 entries; use the tokenizer"));
}

TEST_CASE("model: folders that hold no model say what to do") {
  const test::TemporaryFolder folder;
  CHECK(!is_model(folder.path()));
  CHECK(contains(error_text([&] { open_model(folder.path()); }),
                 "the folder holds no model: neither config.json nor one .gguf file"));
  write_file(folder.path() / "config.json", sound_config().dump());
  CHECK(is_model(folder.path()));
  CHECK(contains(error_text([&] { open_model(folder.path()); }),
                 "the folder has no model.safetensors and no model.safetensors.index.json"));
  write_file(folder.path() / "empty.gguf", "");
  CHECK(contains(error_text([&] { open_model(folder.path() / "empty.gguf"); }),
                 "the file does not begin with GGUF"));
}
