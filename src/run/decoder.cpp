#include "run/decoder.h"

#include <algorithm>

#include "base/check.h"
#include "base/threads.h"
#include "ir/panels.h"

namespace argosy::run {
namespace {

using model_files::LanguageModel;
using model_files::Weight;

int64_t pages_for(int64_t tokens, int64_t page_size) {
  return (tokens + page_size - 1) / page_size;
}

/// The smallest of 1, 2, 4, ... that is not below n.
int64_t power_of_two(int64_t n) {
  int64_t power = 1;
  while (power < n) power *= 2;
  return power;
}

}  // namespace

Decoder::Decoder(const models::LanguageOptions& model, nn::WeightFormats formats,
                 const DecoderOptions& options)
    : model_(model), formats_(std::move(formats)), options_(options) {
  check(options.context > 0 && options.sequences > 0 && options.page_size > 0,
        "{} sequences of {} tokens", options.sequences, options.context);
  if (options_.page_count == 0)
    options_.page_count = options.sequences * pages_for(options.context, options.page_size);
  program({1, 1});
}

Session Decoder::compile(const Size& size) const {
  Graph graph;
  const nn::Scope scope(graph, formats_);
  const Type of_rows = {DType::i32, {size.rows}};
  const Tensor tokens = graph.input("tokens", of_rows);
  const nn::Sequences sequences = {
      .positions = graph.input("positions", of_rows),
      .rows = graph.input("sequences", of_rows),
      .pages = scope.memory(
          "pages",
          {DType::i32, {options_.sequences, pages_for(options_.context, options_.page_size)}}),
      .page_size = options_.page_size,
      .page_count = options_.page_count,
      .page_dtype = options_.page_dtype,
      .answers = graph.input("answers", {DType::i32, {size.answers}})};
  graph.output("logits", models::build_language_model(scope, tokens, model_, sequences).logits);
  // values come from files, and memory is first touched by the threads that put them there
  for (Variable& variable : graph.variables()) variable.initialize = {};
  CompileOptions options;
  if (!programs_.empty()) options.state_of = &programs_.begin()->second.session;
  return Session(std::move(graph), options);
}

Decoder::Size Decoder::size_for(int64_t rows, int64_t answers) {
  // few rows all answer; of many, mostly one does, or those of the sequences beside a prompt
  const int64_t size = power_of_two(rows);
  if (size <= 8) return {size, size};
  return {size, answers <= 1 ? 1 : answers <= 8 ? 8 : std::min(size, kMostAnswers)};
}

Decoder::Compiled& Decoder::program(const Size& size) {
  const auto found = programs_.find(size);
  if (found != programs_.end()) return found->second;
  Session session = compile(size);
  const auto input = [&](const char* name) { return session.input(name).as<int32_t>(); };
  const auto tokens = input("tokens"), positions = input("positions"),
             sequences = input("sequences"), answers = input("answers");
  const std::span<const float> logits = session.output("logits").as();
  return programs_
      .emplace(size, Compiled{std::move(session), tokens, positions, sequences, answers, logits})
      .first->second;
}

const Session& Decoder::session(int64_t rows, int64_t answers) {
  return program(size_for(rows, answers)).session;
}

std::span<int32_t> Decoder::pages(int64_t sequence) {
  const TensorView table = programs_.begin()->second.session.state("pages");
  const auto longest = static_cast<size_t>(table.type.shape[1]);
  check(sequence >= 0 && sequence < options_.sequences, "sequence {} of {}", sequence,
        options_.sequences);
  return table.as<int32_t>().subspan(static_cast<size_t>(sequence) * longest, longest);
}

std::span<const float> Decoder::run(std::span<const Row> rows) {
  const auto wanted = std::ranges::count(rows, true, &Row::answers);
  check(!rows.empty() && std::ssize(rows) <= kMostRows && wanted <= kMostAnswers,
        "{} rows, {} of which answer", rows.size(), wanted);
  Compiled& program = this->program(size_for(std::ssize(rows), wanted));
  size_t answer = 0;
  for (size_t i = 0; i < program.tokens.size(); ++i) {
    const Row row = i < rows.size() ? rows[i] : Row{.token = 0, .position = -1, .sequence = 0};
    check(row.position < options_.context && row.token >= 0 && row.token < model_.vocabulary,
          "token {} at position {}", row.token, row.position);
    program.tokens[i] = row.token;
    program.positions[i] = row.position;
    program.sequences[i] = row.sequence;
    if (row.answers) program.answers[answer++] = static_cast<int32_t>(i);
  }
  std::fill(program.answers.begin() + static_cast<std::ptrdiff_t>(answer), program.answers.end(),
            0);
  program.session.run();
  return program.logits.first(static_cast<size_t>(wanted * model_.vocabulary));
}

void load_weights(const LanguageModel& model, const Decoder& decoder) {
  for (const TensorView& view : decoder.weights()) {
    const Weight* weight = model.find(view.name);
    check(weight != nullptr, "the model has no weight {}", view.name);
    if (view.type.dtype == DType::f32) {
      check(view.type.shape == weight->shape, "{} is {}", view.name, view.type);
      read_rows_as(BlockFormat::f32, *weight, 0, view.bytes);
      continue;
    }
    check(view.type == panels_type(weight->format, weight->shape), "{} is {}", view.name,
          view.type);
    const int64_t columns = weight->columns(), row_size = weight->bytes_per_row(),
                  panel_size = view.type.shape.back(), panels = view.type.elements() / panel_size;
    // of each matrix, of which there may be several
    const int64_t height = weight->shape[weight->shape.size() - 2], high = panel_count(height);
    parallel_for(panels, 1 + (1 << 16) / panel_size, [&](int64_t begin, int64_t end) {
      std::vector<std::byte> memory(static_cast<size_t>(kPanelRows * row_size));
      for (int64_t panel = begin; panel < end; ++panel) {
        const int64_t first = panel % high * kPanelRows,
                      rows = std::min(kPanelRows, height - first);
        std::span<std::byte> part(memory.data(), static_cast<size_t>(rows * row_size));
        read_rows(*weight, panel / high * height + first, part);
        pack_panels(weight->format, columns, part,
                    view.bytes.subspan(static_cast<size_t>(panel * panel_size),
                                       static_cast<size_t>(panel_size)));
      }
    });
  }
}

Decoder open_decoder(const LanguageModel& model, const DecoderOptions& options) {
  // by value: what the decoder compiles later must not need the model
  std::map<std::string, BlockFormat> formats;
  for (const Weight& weight : model.weights) formats[weight.name] = weight.format;
  const nn::WeightFormats format_of = [formats](const std::string& name) {
    return std::optional(formats.at(name));
  };
  Decoder decoder(model.options, format_of, options);
  load_weights(model, decoder);
  return decoder;
}

}  // namespace argosy::run
