#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "base/byte_size.h"
#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "bench/cases.h"
#include "bench/decode.h"
#include "bench/machine_bounds.h"
#include "bench/measure.h"
#include "bench/profile.h"
#include "cli/commands.h"
#include "run/language_model.h"
#include "run/language_training.h"
#include "run/policy.h"
#include "run/recipe.h"
#include "run/start_model.h"

namespace argosy::cli {
namespace {

/// What is measured: a case, or a recipe's policy on a batch that stays in memory.
struct Subject {
  std::string name, recipe, precision, memory_limit;
  std::vector<std::string> overrides;

  void declare(Arguments& arguments) {
    arguments.option("--case", name, "one of the cases that `argosy bench list` shows");
    arguments.option("--recipe", recipe, "a training recipe instead, on a synthetic batch");
    arguments.option("--precision", precision,
                     "f32, or bf16 where the op table allows (default: f32)");
    arguments.option("--memory-limit", memory_limit,
                     "what the step's program may take, e.g. \"500 MB\": what costs least is "
                     "computed again instead of kept (for a recipe: memory.limit)");
    arguments.positionals("KEY=VALUE", overrides, "changes to the recipe", false);
  }
};

struct Job {
  const bench::Case* which = nullptr;  ///< null: a recipe
  int64_t samples = 0;
  std::string unit = "samples";
  bool bf16 = false;
  Session session;
};

Session language_session(const run::Recipe& recipe) {
  const int64_t vocabulary = recipe.language.vocabulary;
  Session session = run::language_training_session(recipe, vocabulary);
  Random random(1);
  for (const char* name : {"tokens", "labels"})
    for (int32_t& token : session.input(name).as<int32_t>())
      token = static_cast<int32_t>(random.below(static_cast<uint64_t>(vocabulary)));
  return session;
}

Session policy_session(const run::Recipe& recipe) {
  const std::vector<float> zeros(recipe.data.outputs.size(), 0), ones(zeros.size(), 1);
  Session session = run::training_session(recipe, {zeros, ones});
  Random random(1);
  for (uint8_t& pixel : session.input("images").as<uint8_t>())
    pixel = static_cast<uint8_t>(random.bits() >> 24);
  for (float& target : session.input("target").as()) target = random.normal();
  return session;
}

/// A step of it is one batch; with training.accumulate, the one that also moves the weights.
Session recipe_session(const run::Recipe& recipe) {
  Session session =
      run::is_language_recipe(recipe) ? language_session(recipe) : policy_session(recipe);
  session.input("learning_rate").as()[0] = 1e-4f;
  if (recipe.training.accumulate > 1)
    for (const char* name : {"first_batch", "last_batch"}) session.input(name).as<uint8_t>()[0] = 1;
  return session;
}

Job make_job(Subject subject) {
  // a recipe's name alone, before its changes, as `argosy train` takes it
  if (subject.name.empty() && subject.recipe.empty() && !subject.overrides.empty() &&
      subject.overrides[0].find('=') == std::string::npos) {
    subject.recipe = subject.overrides[0];
    subject.overrides.erase(subject.overrides.begin());
  }
  if (subject.name.empty() == subject.recipe.empty())
    throw Error({.what = "one case or one recipe is needed",
                 .where = "argosy bench",
                 .fix = "give --case NAME (argosy bench list shows them) or --recipe FILE"});
  if (!subject.precision.empty() && subject.precision != "f32" && subject.precision != "bf16")
    throw Error({.what = fmt::format("no precision is named {}", subject.precision),
                 .where = "argosy bench, --precision",
                 .fix = "choose f32 or bf16"});
  if (!subject.name.empty() && !subject.overrides.empty())
    throw Error(
        {.what = fmt::format("{} changes a recipe, and a case is none", subject.overrides.front()),
         .where = "argosy bench",
         .fix = "leave it out, or give --recipe FILE"});
  if (!subject.name.empty()) {
    const bench::Case& which = bench::find_case(subject.name);
    return {.which = &which,
            .samples = which.samples,
            .unit = std::string(which.unit),
            .bf16 = subject.precision == "bf16",
            .session = bench::training_session(
                which, {.passes = {.bf16 = subject.precision == "bf16",
                                   .memory = {.bytes = read_byte_size(subject.memory_limit,
                                                                      "--memory-limit")}}})};
  }
  std::vector<std::string> overrides = {"data.path=none"};
  if (!subject.memory_limit.empty()) overrides.push_back("memory.limit=" + subject.memory_limit);
  overrides.insert(overrides.end(), subject.overrides.begin(), subject.overrides.end());
  if (!subject.precision.empty()) overrides.push_back("training.precision=" + subject.precision);
  const run::Recipe recipe = run::without_data(run::load_recipe(subject.recipe, overrides));
  const bool language = run::is_language_recipe(recipe);
  return {.samples = recipe.training.batch_size * (language ? recipe.language.context : 1),
          .unit = language ? "tokens" : "samples",
          .bf16 = recipe.training.precision == "bf16",
          .session = recipe_session(recipe)};
}

struct TrainOptions {
  Subject subject;
  double seconds = 5, started = 0;
  bool serve = false;
};

void print(const nlohmann::ordered_json& line) {
  fmt::print("{}\n", line.dump());
  std::fflush(stdout);
}

nlohmann::ordered_json block(Job& job, double seconds) {
  const bench::Block found = bench::measure(job.session, seconds);
  return {{"event", "block"},
          {"steps", found.steps},
          {"step_s", found.step_s},
          {"cpu_s", found.cpu_s},
          {"samples_per_s", static_cast<double>(job.samples) / found.step_s},
          {"gflops", job.session.program().flops() / found.step_s / 1e9},
          {"peak_rss_mb", bench::peak_resident_mb()}};
}

/// The first step, and for a case the nine after it against PyTorch's losses.
nlohmann::ordered_json begin(Job& job, double started) {
  std::vector<float> losses = bench::losses(job.session, 1);
  nlohmann::ordered_json line = {
      {"event", "ready"},
      {"program", "argosy"},
      {"threads", thread_count()},
      {"samples", job.samples},
      {"unit", job.unit},
      {"precision", job.bf16 ? "bf16" : "f32"},
      {"start_to_first_step_s", bench::seconds_since_start(started)},
      {"gflop", job.session.program().flops() / 1e9},
      {"calls", job.session.program().calls.size()},
      {"arena_mb", static_cast<double>(job.session.program().arena_bytes) / 0x1p20},
      {"peak_rss_mb", bench::peak_resident_mb()}};
  if (!job.which) return line;
  const auto golden = static_cast<int64_t>(bench::golden_losses(*job.which).size());
  for (const float loss : bench::losses(job.session, golden - 1)) losses.push_back(loss);
  const double difference = bench::loss_difference(*job.which, losses);
  const double tolerance = bench::loss_tolerance(job.bf16);
  if (!(difference <= tolerance))
    throw Error(
        {.what = fmt::format("the losses differ from PyTorch's by {:.2g} of them, the limit is {}",
                             difference, tolerance),
         .where = fmt::format("case {}, first {} steps", job.which->name, golden),
         .fix = "report it: what is measured is not the same computation",
         .kind = ErrorKind::device});
  line["losses"] = losses;
  line["loss_difference"] = difference;
  return line;
}

int train(const TrainOptions& options) {
  Job job = make_job(options.subject);
  print(begin(job, options.started));
  if (options.seconds <= 0 && !options.serve) return 0;
  bench::measure(job.session, 0);  // warm
  if (!options.serve) {
    print(block(job, options.seconds));
    return 0;
  }
  for (std::string text; std::getline(std::cin, text);) {
    std::istringstream words(text);
    std::string word;
    double seconds = 0;
    if (!(words >> word >> seconds) || word != "run") break;
    print(block(job, seconds));
  }
  return 0;
}

struct DecodeOptions {
  std::string model, synthetic, architecture = "llama";
  int64_t tokens = 128, prompt = 512, rounds = 3;
  double started = 0;
  bool serve = false;
};

bench::DecodeBench open_decode(const DecodeOptions& options) {
  if (options.model.empty() == options.synthetic.empty())
    throw Error({.what = "one model or one format of a random one is needed",
                 .where = "argosy bench decode",
                 .fix = "give --model MODEL or --synthetic FORMAT"});
  run::DecoderOptions room = {.context = 2048, .sequences = bench::DecodeBench::kSequences};
  if (options.model.empty()) {
    const auto format = block_format_named(options.synthetic);
    if (!format)
      throw Error(
          {.what = fmt::format("no format is named {}", options.synthetic),
           .where = "argosy bench decode, --synthetic",
           .fix = "choose q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k, bf16, f16 or f32"});
    const auto sizes = bench::synthetic_model(options.architecture);
    if (!sizes)
      throw Error(
          {.what = fmt::format("there are no sizes of {} to be timed", options.architecture),
           .where = "argosy bench decode, --architecture",
           .fix = "choose llama or grok"});
    return bench::random_decoder(*sizes, *format, room);
  }
  const model_files::LanguageModel model = run::open_language_model(options.model);
  room.context = std::min(room.context, model.options.context);
  return run::open_decoder(model, room);
}

nlohmann::ordered_json decode_line(const char* event, const bench::DecodeTimes& times) {
  return {{"event", event},
          {"tokens", times.tokens},
          {"seconds", times.seconds},
          {"cpu_s", times.cpu_s},
          {"tokens_per_s", static_cast<double>(times.tokens) / times.seconds}};
}

/// "decode TOKENS [SEQUENCES]" or "prefill TOKENS".
bool measure_decode(bench::DecodeBench& subject, const std::string& text) {
  std::istringstream words(text);
  std::string word;
  int64_t tokens = 0, sequences = 1;
  const int64_t context = subject.decoder().options().context;
  if (!(words >> word >> tokens) || tokens < 1 || tokens > context) return false;
  words >> sequences;
  if (word == "prefill") {
    print(decode_line("prefill", subject.prefill(tokens)));
    return true;
  }
  if (word != "decode" || sequences < 1 || sequences > bench::DecodeBench::kSequences) return false;
  print(decode_line("decode", subject.decode(tokens, sequences)));
  return true;
}

int decode(const DecodeOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  bench::DecodeBench subject = open_decode(options);
  subject.prefill(2);
  print({{"event", "ready"},
         {"program", "argosy"},
         {"threads", thread_count()},
         {"start_to_first_token_s", bench::seconds_since_start(options.started)},
         {"load_to_first_token_s",
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()},
         {"megabytes_per_token", subject.bytes_per_token() / 1e6},
         {"peak_rss_mb", bench::peak_resident_mb()}});
  if (options.serve) {
    for (std::string text; std::getline(std::cin, text);)
      if (!measure_decode(subject, text)) break;
    return 0;
  }
  const double read = bench::measure_read_bytes();
  const int64_t most = subject.decoder().options().context;
  const int64_t tokens = std::clamp<int64_t>(options.tokens, 1, most),
                prompt = std::clamp<int64_t>(options.prompt, 1, most);
  for (int64_t round = 0; round < options.rounds; ++round) {
    const bench::DecodeTimes one = subject.decode(tokens);
    nlohmann::ordered_json line = decode_line("decode", one);
    line["memory_gb_per_s"] =
        subject.bytes_per_token() * static_cast<double>(tokens) / one.seconds / 1e9;
    line["share_of_reading"] =
        subject.bytes_per_token() * static_cast<double>(tokens) / one.seconds / read;
    print(line);
    print(decode_line("prefill", subject.prefill(prompt)));
    nlohmann::ordered_json many =
        decode_line("decode", subject.decode(tokens, bench::DecodeBench::kSequences));
    many["sequences"] = bench::DecodeBench::kSequences;
    print(many);
  }
  return 0;
}

int list() {
  for (const bench::Case& which : bench::cases())
    fmt::print("{:<10} {}\n", which.name, which.summary);
  return 0;
}

}  // namespace

std::function<int()> bench(Arguments& arguments) {
  arguments.subcommand("list", "the cases", [](Arguments&) { return list; });
  arguments.subcommand(
      "train", "time a training step; one JSON object a line", [](Arguments& inner) {
        auto options = std::make_shared<TrainOptions>();
        options->subject.declare(inner);
        inner.option("--seconds", options->seconds,
                     "how long to measure; 0: the first steps alone (default: 5)");
        inner.option("--started", options->started,
                     "Unix time at which the caller started this process, for the time to the "
                     "first step");
        inner.flag("--serve", options->serve,
                   "measure a block of S seconds for each line \"run S\" on standard input");
        return [options] { return train(*options); };
      });
  arguments.subcommand(
      "decode", "time a language model; one JSON object a line", [](Arguments& inner) {
        auto options = std::make_shared<DecodeOptions>();
        inner.option("--model", options->model, "a model as `argosy chat` takes it");
        inner.option("--synthetic", options->synthetic,
                     "random weights of this format (q4_0, q8_0, ...) instead, in a model of some "
                     "hundred million parameters");
        inner.option("--architecture", options->architecture,
                     "of the random model: llama, or grok, a mixture of experts");
        inner.option("--tokens", options->tokens, "to decode, from an empty context");
        inner.option("--prompt", options->prompt, "tokens of the prompt");
        inner.option("--rounds", options->rounds, "how often");
        inner.option("--started", options->started,
                     "Unix time at which the caller started this process, for the time to the "
                     "first token");
        inner.flag("--serve", options->serve,
                   "measure for each line \"decode TOKENS [SEQUENCES]\" or \"prefill TOKENS\" on "
                   "standard input");
        return [options] { return decode(*options); };
      });
  return {};
}

std::function<int()> profile(Arguments& arguments) {
  struct Options {
    Subject subject;
    double seconds = 3;
    std::string trace;
  };
  auto options = std::make_shared<Options>();
  options->subject.declare(arguments);
  arguments.option("--seconds", options->seconds, "how long to measure (default: 3)");
  arguments.option("--trace", options->trace,
                   "write a trace for ui.perfetto.dev or chrome://tracing to this file");
  return [options] {
    Job job = make_job(options->subject);
    const bench::MachineBounds bounds = bench::measure_bounds(job.session.program());
    bench::measure(job.session, 0);  // warm
    fmt::print("{}", bench::profile(job.session, bounds, options->seconds));
    if (!options->trace.empty()) bench::write_trace(job.session, bounds, options->trace);
    return 0;
  };
}

}  // namespace argosy::cli
