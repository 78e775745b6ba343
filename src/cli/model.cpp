#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/byte_size.h"
#include "base/error.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/limits.h"
#include "cli/table.h"
#include "model_files/export.h"
#include "model_files/known_models.h"
#include "run/language_loss.h"
#include "run/language_model.h"
#include "run/model_description.h"

namespace argosy::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using model_files::FormatShare;
using model_files::LanguageModel;
using run::grouped;

std::string text_of(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::function<int()> get(Arguments& arguments) {
  const auto name = std::make_shared<std::string>();
  arguments.positional("NAME", *name, "a name that argosy model list shows");
  return [name] {
    fmt::print("{}\n", model_files::get_model(*name).string());
    return 0;
  };
}

std::function<int()> list(Arguments& arguments) {
  const auto file = std::make_shared<std::string>();
  arguments.option("--json", *file, kJsonHelp);
  return [file] {
    std::map<std::string, std::pair<std::string, bool>> models;  // by name: what it is, is it here
    for (const model_files::KnownModel& known : model_files::known_models())
      models[known.name] = {
          fmt::format("{}, {}, {}", known.title, byte_size_text(static_cast<size_t>(known.bytes)),
                      known.license),
          false};
    for (const std::string& name : model_files::installed_models()) models[name].second = true;
    Json json = {{"folder", model_files::models_folder().string()}, {"models", Json::array()}};
    std::vector<std::vector<std::string>> rows = {{"model", "here", "what it is"}};
    for (const auto& [name, about] : models) {
      rows.push_back({name, about.second ? "yes" : "no", about.first});
      json["models"].push_back(
          {{"name", name}, {"installed", about.second}, {"title", about.first}});
    }
    if (!on_standard_output(*file)) {
      print_table(rows, 3);
      fmt::print("\nmodels stand in {}\n", model_files::models_folder().string());
    }
    if (!file->empty()) write_json(*file, text_of(json));
    return 0;
  };
}

/// Of the weights as stored, by format, the most bytes first.
std::vector<FormatShare> shares_of(const LanguageModel& model) {
  std::map<BlockFormat, FormatShare> shares;
  for (const model_files::Weight& weight : model.weights) {
    FormatShare& share = shares[weight.format];
    share.format = weight.format;
    share.weights += 1;
    share.numbers += count(weight.shape);
    share.bytes += std::ssize(weight.bytes);
  }
  std::vector<FormatShare> sorted;
  for (const auto& [_, share] : shares) sorted.push_back(share);
  std::ranges::sort(sorted, std::greater(), &FormatShare::bytes);
  return sorted;
}

Json describe(const LanguageModel& model) {
  const models::LanguageOptions& o = model.options;
  Json json = {{"name", model.name},
               {"path", model.path.string()},
               {"kind", model.kind},
               {"architecture", o.architecture},
               {"parameters", model.parameters()},
               {"bytes", model.bytes()},
               {"vocabulary", o.vocabulary},
               {"context", o.context},
               {"width", o.width},
               {"layers", o.layers},
               {"heads", o.heads},
               {"key_heads", o.key_heads},
               {"head_width", o.head_width},
               {"hidden", o.hidden},
               {"experts", o.experts},
               {"active_experts", o.active},
               {"epsilon", o.epsilon},
               {"rotary_base", o.rotary_base},
               {"rotary_divisors", o.rotary_divisors},
               {"tied", o.tied},
               {"tokens", model.tokenizer->vocabulary()},
               {"chat_template", !model.chat_template.empty()}};
  json["ends"] = model.tokenizer->ends();
  json["formats"] = Json::array();
  for (const FormatShare& share : shares_of(model))
    json["formats"].push_back({{"format", name_of(share.format)},
                               {"weights", share.weights},
                               {"numbers", share.numbers},
                               {"bytes", share.bytes}});
  return json;
}

void print_info(const LanguageModel& model) {
  const models::LanguageOptions& o = model.options;
  std::vector<std::vector<std::string>> rows = {
      {"model", fmt::format("{} ({}, {})", model.name, o.architecture, model.kind)},
      {"stands in", model.path.string()},
      {"parameters", grouped(model.parameters())},
      {"weights", byte_size_text(model.bytes())},
      {"context", fmt::format("{} tokens", grouped(o.context))},
      {"vocabulary", fmt::format("{} tokens{}", grouped(model.tokenizer->vocabulary()),
                                 o.tied ? ", one table for embedding and output" : "")},
      {"layers", fmt::format("{}, {} wide, hidden {}", o.layers, o.width, o.hidden)},
      {"heads",
       fmt::format("{} of width {}, {} of keys and values", o.heads, o.head_width, o.key_heads)},
      {"chat template", model.chat_template.empty() ? "none" : "yes"}};
  if (o.experts > 0) rows.push_back({"experts", fmt::format("{}, {} active", o.experts, o.active)});
  print_table(rows, 2);
  fmt::print("\n");
  rows = {{"format", "weights", "numbers", "size"}};
  for (const FormatShare& share : shares_of(model))
    rows.push_back({std::string(name_of(share.format)), grouped(share.weights),
                    grouped(share.numbers), byte_size_text(static_cast<size_t>(share.bytes))});
  print_table(rows, 1);
}

/// A model that stands nowhere here, as the engine would run it.
int print_published(const std::string& name, const models::LanguageOptions& options,
                    const std::string& file) {
  const run::ModelDescription found = run::describe(options, options.context);
  if (!on_standard_output(file)) fmt::print("{}", run::to_text(found));
  if (file.empty()) return 0;
  Json json = {{"name", name},
               {"architecture", options.architecture},
               {"parameters", found.parameters},
               {"active_parameters", found.active},
               {"parts", Json::object()},
               {"tokens", found.tokens},
               {"calls", found.program.calls.size()},
               {"flops", found.program.flops()},
               {"state_bytes", found.program.state_bytes},
               {"arena_bytes", found.program.arena_bytes}};
  for (const auto& part : found.parts) json["parts"][part.name] = part.parameters;
  write_json(file, text_of(json));
  return 0;
}

std::function<int()> info(Arguments& arguments) {
  struct Options {
    std::string model, json;
  };
  const auto options = std::make_shared<Options>();
  arguments.positional("MODEL", options->model,
                       "a GGUF file, a Hugging Face folder, the folder of a run, or the name of a "
                       "model; grok-1: what it would be, without its weights");
  arguments.option("--json", options->json, kJsonHelp);
  return [options] {
    if (const auto published = run::published_model(options->model);
        published && !fs::exists(options->model))
      return print_published(options->model, *published, options->json);
    const LanguageModel model = run::open_language_model(options->model);
    if (!on_standard_output(options->json)) print_info(model);
    if (!options->json.empty()) write_json(options->json, text_of(describe(model)));
    return 0;
  };
}

/// What was written, and what it cost.
void print_shares(const std::string& to, const std::vector<FormatShare>& shares) {
  std::vector<std::vector<std::string>> rows = {
      {"format", "weights", "numbers", "size", "error of the weights"}};
  int64_t bytes = 0;
  for (const FormatShare& share : shares) {
    bytes += share.bytes;
    rows.push_back({std::string(name_of(share.format)), grouped(share.weights),
                    grouped(share.numbers), byte_size_text(static_cast<size_t>(share.bytes)),
                    share.error == 0 ? "none" : fmt::format("{:.2f} %", 100 * share.error)});
  }
  print_table(rows, 1);
  fmt::print("\n{}: {} of weights\n", to, byte_size_text(static_cast<size_t>(bytes)));
}

struct ConversionOptions {
  std::string model, to, format, data;
  int64_t tokens = 8192;
};

/// The format that --format asks for; nothing where it is not given.
std::optional<BlockFormat> wanted_format(const ConversionOptions& options, bool plain_only) {
  if (options.format.empty()) return std::nullopt;
  const auto format = block_format_named(options.format);
  if (format && (!plain_only || layout_of(*format).values == 1)) return format;
  std::vector<std::string_view> names;
  for (const BlockLayout& layout : block_layouts())
    if (!plain_only || layout.values == 1) names.push_back(layout.name);
  throw Error({.what = fmt::format("there is no format {}{}", options.format,
                                   format ? " in such a folder" : ""),
               .where = "--format",
               .fix = fmt::format("give one of {}", fmt::join(names, ", "))});
}

/// Says before the work that the target is in the way: a model is not written over.
void expect_free(const Path& to) {
  if (fs::exists(to))
    throw Error({.what = "it is there already",
                 .where = to,
                 .fix = "remove it, or give another --to",
                 .kind = ErrorKind::file});
  expect_writable(to);
}

/// The loss that a model has on the first tokens of a text.
double loss_on(const LanguageModel& model, const ConversionOptions& options) {
  std::vector<text::Token> tokens = model.tokenizer->encode(read_file(options.data));
  if (std::ssize(tokens) > options.tokens) tokens.resize(static_cast<size_t>(options.tokens));
  if (tokens.size() < 2)
    throw Error({.what = fmt::format("a loss needs two tokens, the text has {}", tokens.size()),
                 .where = options.data,
                 .fix = "give a longer text and --tokens from 2 on"});
  run::Decoder decoder =
      run::open_decoder(model, {.context = std::min(run::kLossWindow, model.options.context)});
  return run::language_loss(decoder, tokens).mean();
}

void print_cost(double before, double after, const ConversionOptions& options) {
  fmt::print(
      "loss on {}: {:.4f} before, {:.4f} after ({:+.4f} nats a token, perplexity {:.2f}, "
      "{:.2f})\n",
      options.data, before, after, after - before, std::exp(before), std::exp(after));
}

std::function<int()> conversion(Arguments& arguments, const char* to_help, const char* format_help,
                                bool format_needed) {
  const auto options = std::make_shared<ConversionOptions>();
  arguments.positional("MODEL", options->model,
                       "a GGUF file, a Hugging Face folder, the folder of a run, or the name of a "
                       "model");
  arguments.option("--to", options->to, to_help, true);
  arguments.option("--format", options->format, format_help, format_needed);
  arguments.option("--data", options->data,
                   "a text: the loss on it is printed, of the model as it was and as written");
  arguments.option("--tokens", options->tokens, "of the text at most");
  return [options] {
    require(options->tokens >= 2, "argosy model", "--tokens", static_cast<double>(options->tokens),
            "2 or more");
    const Path to = options->to;
    const bool gguf = to.extension() == ".gguf";
    const auto format = wanted_format(*options, !gguf);
    expect_free(to);
    const LanguageModel model = run::open_language_model(options->model);
    const bool measured = !options->data.empty();
    const double before = measured ? loss_on(model, *options) : 0;
    print_shares(options->to, gguf ? model_files::write_gguf_model(model, to, format)
                                   : model_files::write_hugging_face_model(model, to, format));
    if (measured)
      print_cost(before, loss_on(run::open_language_model(options->to), *options), *options);
    return 0;
  };
}

std::function<int()> quantize(Arguments& arguments) {
  return conversion(
      arguments, "the new file, NAME.gguf",
      "of the weights: q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1, q4_0, bf16, f16, f32", true);
}

std::function<int()> export_model(Arguments& arguments) {
  return conversion(arguments, "NAME.gguf for llama.cpp, or a folder for transformers",
                    "of the weights, if it is to be another; blocks become f32 in a folder", false);
}

}  // namespace

std::function<int()> model(Arguments& arguments) {
  arguments.subcommand("get", "bring a known model to this machine", get);
  arguments.subcommand("list", "the models known by name, and those that are here", list);
  arguments.subcommand("info", "what a model is: sizes, formats, parameters, context", info);
  arguments.subcommand("quantize", "write a model with fewer bits a weight, as a GGUF file",
                       quantize);
  arguments.subcommand("export", "write a model for other programs: GGUF or a Hugging Face folder",
                       export_model);
  return {};
}

}  // namespace argosy::cli
