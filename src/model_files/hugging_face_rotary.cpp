#include "model_files/hugging_face_rotary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "model_files/format_tables.h"
#include "models/rotary_scaling.h"

namespace argosy::model_files {
namespace {

using Json = nlohmann::json;

/// What a kind of scaling says, number by number.
class Scaling {
 public:
  Scaling(const Json& json, const Path& file) : json_(json), file_(file) {}

  double number(const char* key, double least, double most) const {
    return within(json_.value(key, Json()), std::string("rope_scaling.") + key, least, most);
  }
  std::vector<float> numbers(const char* key, int64_t count) const {
    const Json list = json_.value(key, Json());
    if (!list.is_array() || std::ssize(list) != count)
      fail_model(file_, fmt::format("rope_scaling.{} is no list of {} numbers", key, count));
    std::vector<float> numbers;
    for (const Json& each : list)
      numbers.push_back(static_cast<float>(
          within(each, fmt::format("a number of rope_scaling.{}", key), 1e-3, kMostRotaryDivisor)));
    return numbers;
  }

 private:
  double within(const Json& json, const std::string& name, double least, double most) const {
    if (json.is_null()) fail_model(file_, name + " is missing");
    const double value = json.is_number() ? json.get<double>() : NAN;
    if (!(value >= least && value <= most))
      fail_model(file_, fmt::format("{} is {}, which is not a number from {} to {}", name,
                                    json.dump().substr(0, 40), least, most));
    return value;
  }

  const Json& json_;
  const Path& file_;
};

std::vector<float> read_linear(const Scaling& scaling, const models::LanguageOptions& options,
                               const Path&) {
  return std::vector<float>(static_cast<size_t>(options.head_width / 2),
                            static_cast<float>(scaling.number("factor", 1, kMostRotaryDivisor)));
}

std::vector<float> read_llama(const Scaling& scaling, const models::LanguageOptions& options,
                              const Path& file) {
  const models::LlamaScaling llama = {
      .factor = scaling.number("factor", 1, kMostRotaryDivisor),
      .fewest = scaling.number("low_freq_factor", 0, 1e6),
      .most = scaling.number("high_freq_factor", 0, 1e6),
      .context = scaling.number("original_max_position_embeddings", 1, 1 << 24)};
  if (llama.most <= llama.fewest)
    fail_model(file, fmt::format("rope_scaling.high_freq_factor is {}, low_freq_factor {}",
                                 llama.most, llama.fewest));
  return models::rotary_divisors(llama, options.rotary_base, options.head_width);
}

/// One list for all lengths of texts; where short ones have another, tokens that are there would
/// have to turn again.
std::vector<float> read_lists(const Scaling& scaling, const models::LanguageOptions& options,
                              const Path& file) {
  const std::vector<float> all = scaling.numbers("long_factor", options.head_width / 2);
  if (scaling.numbers("short_factor", options.head_width / 2) != all)
    fail_model(file, "rope_scaling has other factors for short texts than for long ones",
               "use a model without it");
  scaling.number("attention_factor", 1, 1);
  return all;
}

constexpr struct {
  const char* name;
  std::vector<float> (*read)(const Scaling&, const models::LanguageOptions&, const Path&);
} kKinds[] = {{"linear", read_linear}, {"llama3", read_llama}, {"longrope", read_lists}};

}  // namespace

std::vector<float> read_rotary_scaling(std::string_view text,
                                       const models::LanguageOptions& options, const Path& file) {
  const Json json = Json::parse(text);
  if (json.is_null()) return {};
  const auto type = [&](const char* key) {  // older files say "type"
    return json.is_object() ? json.value(key, Json()) : Json();
  };
  const Json kind = type("rope_type").is_null() ? type("type") : type("rope_type");
  if (kind == "default") return {};
  for (const auto& [name, read] : kKinds) {
    if (kind != name) continue;
    std::vector<float> divisors = read(Scaling(json, file), options, file);
    if (std::ranges::count(divisors, 1.0f) == std::ssize(divisors)) divisors.clear();
    return divisors;
  }
  fail_model(file,
             fmt::format("rope_scaling is {}; its kinds that are known here are default, linear, "
                         "llama3 and longrope",
                         json.dump(-1, ' ', true).substr(0, 100)),
             "use a model without it");
}

std::string rotary_scaling(const models::LanguageOptions& options) {
  const std::vector<float>& divisors = options.rotary_divisors;
  if (divisors.empty()) return "null";
  const auto [least, most] = std::ranges::minmax(divisors);
  if (least == most) return Json({{"rope_type", "linear"}, {"factor", least}}).dump();
  // files that have the divisors alone (GGUF) are of Llama 3.1's kind with its constants mostly
  const models::LlamaScaling llama = {.factor = most};
  const auto alike = [](float a, float b) { return std::abs(a - b) <= 1e-5f * b; };
  if (std::ranges::equal(
          divisors, models::rotary_divisors(llama, options.rotary_base, options.head_width), alike))
    return Json({{"rope_type", "llama3"},
                 {"factor", llama.factor},
                 {"low_freq_factor", llama.fewest},
                 {"high_freq_factor", llama.most},
                 {"original_max_position_embeddings", static_cast<int64_t>(llama.context)}})
        .dump();
  return Json({{"rope_type", "longrope"},
               {"short_factor", divisors},
               {"long_factor", divisors},
               {"factor", 1.0},
               {"attention_factor", 1.0},
               {"original_max_position_embeddings", options.context}})
      .dump();
}

}  // namespace argosy::model_files
