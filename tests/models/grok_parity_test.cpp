#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

#include "compile/differentiate.h"
#include "engine/safetensors.h"
#include "engine/session.h"
#include "grok_goldens.h"
#include "models/grok.h"
#include "nn/layers.h"

// Grok-1 against the values that its release gives (shared/data/grok-parity, or the folder in
// ARGOSY_GROK_GOLDENS): every *.safetensors there, with the sizes and constants that it says.

using namespace argosy;

namespace {

/// The release's name of a parameter, and whether its matrix lies the other way.
struct Genuine {
  std::string name;
  bool transposed = false;
};

Genuine genuine(const std::string& ours) {
  if (ours == "embedding/weight") return {"language_model/in_out_embed/embeddings"};
  if (ours == "norm/weight") return {"language_model/rms_norm/scale"};
  static const std::map<std::string, Genuine> kInBlock = {
      {"norm1/weight", {"rms_norm/scale"}},
      {"norm2/weight", {"rms_norm_1/scale"}},
      {"norm3/weight", {"rms_norm_2/scale"}},
      {"norm4/weight", {"rms_norm_3/scale"}},
      {"attention/query/weight", {"multi_head_attention/query/w", true}},
      {"attention/key/weight", {"multi_head_attention/key/w", true}},
      {"attention/value/weight", {"multi_head_attention/value/w", true}},
      {"attention/output/weight", {"multi_head_attention/linear/w", true}},
      {"experts/router/weight", {"router/w", true}},
      {"experts/gate", {"moe/linear/w"}},
      {"experts/value", {"moe/linear_v/w"}},
      {"experts/output", {"moe/linear_1/w"}}};
  const size_t slash = ours.find('/');
  REQUIRE(ours.starts_with("block"));
  const Genuine& found = kInBlock.at(ours.substr(slash + 1));
  return {fmt::format("transformer/decoder_layer_{}/{}", ours.substr(5, slash - 5), found.name),
          found.transposed};
}

using Numbers = std::vector<float>;

Numbers transposed(const Numbers& x, int64_t rows, int64_t columns) {
  Numbers y(x.size());
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      y[static_cast<size_t>(j * rows + i)] = x[static_cast<size_t>(i * columns + j)];
  return y;
}

/// The file of one model.
class Golden {
 public:
  explicit Golden(const Path& file) : file_(file) {
    const int64_t width = whole("emb");
    options_ = {.architecture = "grok",
                .vocabulary = whole("vocab"),
                .context = whole("seq"),
                .width = width,
                .layers = whole("layers"),
                .heads = whole("hq"),
                .key_heads = whole("hkv"),
                .head_width = whole("key"),
                .hidden = models::grok_hidden(width, number("wf")),
                .experts = whole("experts"),
                .active = whole("topk"),
                .epsilon = number("rms_eps"),
                .rotary_base = number("rope_base"),
                .embedding_multiplier = number("emb_mult"),
                .output_multiplier = number("out_mult"),
                .attention_multiplier = number("attn_mult"),
                .soft_cap = number("soft_cap")};
    CHECK(options_.hidden == whole("ffn"));
  }

  const models::LanguageOptions& options() const { return options_; }
  double number(const std::string& key) const {
    REQUIRE_MESSAGE(file_.metadata().contains(key), key);
    return std::stod(file_.metadata().at(key));
  }
  int64_t whole(const std::string& key) const { return std::llround(number(key)); }

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  const NamedTensor& tensor(const std::string& name) const {
    const NamedTensor* found = file_.find(name);
    REQUIRE_MESSAGE(found, name);
    return *found;
  }
  std::vector<int32_t> integers(const std::string& name) const {
    const NamedTensor& t = tensor(name);
    REQUIRE(t.type.dtype == DType::i32);
    std::vector<int32_t> values(static_cast<size_t>(t.type.elements()));
    std::memcpy(values.data(), t.bytes.data(), t.bytes.size());
    return values;
  }
  Numbers numbers(const std::string& name) const {
    const NamedTensor& t = tensor(name);
    Numbers values(static_cast<size_t>(t.type.elements()));
    if (t.type.dtype == DType::i8)
      std::transform(t.bytes.begin(), t.bytes.end(), values.begin(),
                     [](std::byte b) { return static_cast<float>(static_cast<int8_t>(b)); });
    else
      std::memcpy(values.data(), t.bytes.data(), t.bytes.size());
    return values;
  }
  bool padded() const {
    const auto tokens = integers("tokens");
    return std::ranges::any_of(tokens, [&](int32_t t) { return t <= number("pad_token"); });
  }

  /// `kind`/NAME of one of our parameters, as we hold it; "param" in 8 bits becomes what it stands
  /// for.
  Numbers of_parameter(const std::string& kind, const std::string& ours) const {
    const Genuine from = genuine(ours);
    const std::string name = kind + "/" + from.name, packed = "q8/" + from.name;
    const bool in_8_bits = kind == "param" && !has(name);
    const Shape shape = tensor(in_8_bits ? packed + ".weight" : name).type.shape;
    Numbers values = in_8_bits ? unpacked(packed) : numbers(name);
    return from.transposed ? transposed(values, shape[0], shape[1]) : values;
  }

  void load(Session& session) const {
    for (const TensorView& view : session.state()) {  // pages of keys and values are not among them
      const Numbers values = of_parameter("param", view.name);
      REQUIRE_MESSAGE(values.size() == view.as().size(), view.name);
      std::ranges::copy(values, view.as().begin());
    }
  }

 private:
  /// weight [..., in, out] times scales [..., groups of the rows, out]
  Numbers unpacked(const std::string& name) const {
    Numbers values = numbers(name + ".weight");
    const Numbers scales = numbers(name + ".scales");
    const Shape shape = tensor(name + ".weight").type.shape,
                of_scales = tensor(name + ".scales").type.shape;
    const auto out = static_cast<size_t>(shape.back()),
               in = static_cast<size_t>(shape[shape.size() - 2]),
               groups = static_cast<size_t>(of_scales[of_scales.size() - 2]);
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t row = i / out % in, matrix = i / out / in;
      values[i] *= scales[(matrix * groups + row / (in / groups)) * out + i % out];
    }
    return values;
  }

  SafetensorsFile file_;
  models::LanguageOptions options_;
};

/// The largest difference of each kind of tensor, as a share of its largest value.
class Differences {
 public:
  void add(const std::string& kind, std::span<const float> found, const Numbers& wanted,
           double limit) {
    CAPTURE(kind);
    REQUIRE(found.size() == wanted.size());
    double largest = 0, difference = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      largest = std::max(largest, std::abs(double{wanted[i]}));
      const double apart = std::abs(double{found[i]} - wanted[i]);
      difference = std::isnan(apart) ? INFINITY : std::max(difference, apart);
    }
    const double share = difference == 0 ? 0 : difference / largest;
    CHECK(share <= limit);
    largest_[kind] = std::max(largest_[kind], share);
  }
  void report(const Path& file) const {
    for (const auto& [kind, share] : largest_)
      MESSAGE(file.filename().string() << ": " << kind << " " << fmt::format("{:.1e}", share));
  }

 private:
  std::map<std::string, double> largest_;
};

constexpr double kForward = 5e-5, kBackward = 2e-4;

/// The model on whole rows: all that the file has a value for.
Session whole_session(const Golden& golden, bool bf16 = false) {
  const Shape shape = golden.tensor("tokens").type.shape;
  models::LanguageOptions options = golden.options();
  if (bf16)  // there a factor takes the number format of what it multiplies
    for (double* factor : {&options.embedding_multiplier, &options.output_multiplier})
      *factor = static_cast<float>(BFloat16(static_cast<float>(*factor)));
  Graph graph;
  const nn::Scope scope(graph, false);
  const Tensor tokens = graph.input("tokens", {DType::i32, shape}),
               labels = graph.input("labels", {DType::i32, {count(shape)}});
  nn::Sequences sequences;
  if (golden.padded())
    sequences.padding = ops::apply(
        ops::less,
        {tokens, ops::constant_like(tokens, static_cast<float>(golden.number("pad_token")) + 1)});
  const models::GrokOutput output = models::grok(scope, tokens, options, sequences);
  graph.output("logits", output.logits);
  for (size_t i = 0; i < output.layers.size(); ++i) {
    const models::GrokLayer& layer = output.layers[i];
    graph.output(fmt::format("attn_out/{}", i), layer.attention);
    graph.output(fmt::format("moe_out/{}", i), layer.experts);
    graph.output(fmt::format("router_probs/{}", i), layer.probabilities);
    graph.output(fmt::format("hidden/{}", i), layer.hidden);
  }
  const Tensor loss = nn::mean_cross_entropy(output.logits, labels);
  graph.output("loss", loss);
  std::vector<Tensor> parameters;
  std::vector<std::string> names;
  for (const Variable& variable : graph.variables()) {
    parameters.push_back(graph.tensor(variable.value));
    names.push_back(variable.name);
  }
  const std::vector<Tensor> grads = gradients(loss, parameters);
  for (size_t i = 0; i < names.size(); ++i) graph.output("grad/" + names[i], grads[i]);
  Session session(std::move(graph), {.passes = {.bf16 = bf16, .verify = true}});
  golden.load(session);
  std::ranges::copy(golden.integers("tokens"), session.input("tokens").as<int32_t>().begin());
  const auto to = session.input("labels").as<int32_t>();
  std::ranges::fill(to, -1);
  if (golden.has("targets")) {
    const auto targets = golden.integers("targets");
    for (size_t i = 0; i < targets.size(); ++i)
      if (targets[i] > 0) to[i] = targets[i];
  }
  session.run();
  return session;
}

void check_f32(const Golden& golden, Differences& differences) {
  const Session session = whole_session(golden);
  const auto compare = [&](const std::string& kind, const std::string& output,
                           const std::string& name, double limit) {
    if (golden.has(name))
      differences.add(kind, session.output(output).as(), golden.numbers(name), limit);
  };
  compare("logits", "logits", "logits", kForward);
  compare("loss", "loss", "loss", kForward);
  for (int64_t layer = 0; layer < golden.options().layers; ++layer)
    for (const char* kind : {"hidden", "attn_out", "moe_out", "router_probs"}) {
      const std::string output = fmt::format("{}/{}", kind, layer);
      compare(kind, output, "act/" + output, kForward);
    }
  for (const TensorView& view : session.state())
    if (golden.has("grad/" + genuine(view.name).name))
      differences.add("gradients", session.output("grad/" + view.name).as(),
                      golden.of_parameter("grad", view.name), kBackward);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// The experts that each token goes to, as bits.
std::vector<uint64_t> chosen_experts(std::span<const float> probabilities, int64_t experts,
                                     int64_t active) {
  std::vector<uint64_t> chosen;
  std::vector<size_t> order(static_cast<size_t>(experts));
  for (size_t row = 0; row < probabilities.size(); row += order.size()) {
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::greater(),
                             [&](size_t e) { return probabilities[row + e]; });
    uint64_t bits = 0;
    for (int64_t i = 0; i < active; ++i) bits |= uint64_t{1} << order[static_cast<size_t>(i)];
    chosen.push_back(bits);
  }
  return chosen;
}

// A near tie of the router sends a token elsewhere and moves its logits far, so those whose experts
// differ are left out, and medians are compared with what bf16 costs the release itself. That one
// computes in f32 what its compiler does not round between two steps.
void check_bf16(const Golden& golden, const Path& file) {
  if (!golden.has("bf16/logits")) return;
  constexpr double kMore = 4, kLeastKept = 0.5;
  const Session session = whole_session(golden, true);
  const models::LanguageOptions& o = golden.options();
  const size_t tokens = golden.integers("tokens").size();
  std::vector<bool> kept(tokens, true);
  for (int64_t layer = 0; layer < o.layers; ++layer) {
    const std::string name = fmt::format("router_probs/{}", layer);
    const auto ours = chosen_experts(session.output(name).as(), o.experts, o.active),
               theirs = chosen_experts(golden.numbers("bf16/" + name), o.experts, o.active);
    for (size_t i = 0; i < tokens; ++i) kept[i] = kept[i] && ours[i] == theirs[i];
  }
  const auto share =
      static_cast<double>(std::ranges::count(kept, true)) / static_cast<double>(tokens);
  MESSAGE(file.filename().string()
          << ": bf16, tokens with the same experts in all layers " << fmt::format("{:.2f}", share));
  CHECK(share >= kLeastKept);
  const auto difference = [&](std::span<const float> a, std::span<const float> b) {
    REQUIRE(a.size() == b.size());
    std::vector<double> apart;
    for (size_t i = 0; i < a.size(); ++i)
      if (kept[i / (a.size() / tokens)]) apart.push_back(std::abs(double{a[i]} - b[i]));
    return median(std::move(apart));
  };
  const auto compare = [&](const std::string& output, const std::string& wide) {
    const Numbers wanted = golden.numbers("bf16/" + output), exact = golden.numbers(wide);
    const double found = difference(session.output(output).as(), wanted),
                 own = difference(exact, wanted),
                 ours = difference(session.output(output).as(), exact);
    MESSAGE(file.filename().string()
            << ": bf16 " << output
            << fmt::format(" {:.1e} in the median ({:.1e} from f32, the release's {:.1e})", found,
                           ours, own));
    CHECK(found <= kMore * own);
  };
  compare("logits", "logits");
  for (int64_t layer = 0; layer < o.layers; ++layer) {
    const std::string name = fmt::format("router_probs/{}", layer);
    compare(name, "act/" + name);
  }
}

size_t at(int64_t row, int64_t size, int64_t i) { return static_cast<size_t>(row * size + i); }

/// What the file says of greedy decoding.
struct Greedy {
  explicit Greedy(const Golden& golden)
      : prompts(golden.integers("tokens")),
        wanted(golden.integers("generate/tokens")),
        logits(golden.numbers("generate/logits")),
        prompt_room(golden.tensor("tokens").type.shape[1]),
        rows(golden.tensor("generate/tokens").type.shape[0]),
        steps(golden.tensor("generate/tokens").type.shape[1]),
        vocabulary(golden.options().vocabulary) {
    for (const int32_t length : golden.integers("generate/prompt_lengths"))
      lengths.push_back(length);
    times = *std::ranges::max_element(lengths) + steps;
  }
  /// The most probable token, held against the file's as are its logits.
  int32_t choose(std::span<const float> found, int64_t row, int64_t step, const std::string& kind,
                 Differences& differences) const {
    const auto from =
        logits.begin() + static_cast<std::ptrdiff_t>(at(row, steps, step)) * vocabulary;
    differences.add(kind, found, Numbers(from, from + vocabulary), kForward);
    const auto token = static_cast<int32_t>(std::ranges::max_element(found) - found.begin());
    CHECK(token == wanted[at(row, steps, step)]);
    return token;
  }

  std::vector<int32_t> prompts, wanted;
  Numbers logits;
  std::vector<int64_t> lengths;
  int64_t prompt_room, rows, steps, vocabulary, times = 0;
};

/// Every row goes on with the most probable token again and again, each time computed whole.
void check_greedy_whole(const Golden& golden, const Greedy& greedy, Differences& differences) {
  Graph graph;
  const Tensor input = graph.input("tokens", {DType::i32, {greedy.rows, greedy.times}});
  graph.output("logits", models::grok(nn::Scope(graph, false), input, golden.options()).logits);
  Session session(std::move(graph));
  golden.load(session);
  const auto tokens = session.input("tokens").as<int32_t>();
  for (int64_t row = 0; row < greedy.rows; ++row)
    for (int64_t i = 0; i < greedy.lengths[static_cast<size_t>(row)]; ++i)
      tokens[at(row, greedy.times, i)] = greedy.prompts[at(row, greedy.prompt_room, i)];
  for (int64_t step = 0; step < greedy.steps; ++step) {
    session.run();
    for (int64_t row = 0; row < greedy.rows; ++row) {
      const size_t last =
          at(row, greedy.times, greedy.lengths[static_cast<size_t>(row)] + step - 1);
      const auto vocabulary = static_cast<size_t>(greedy.vocabulary);
      const auto found = session.output("logits").as().subspan(last * vocabulary, vocabulary);
      tokens[last + 1] = greedy.choose(found, row, step, "greedy, whole rows", differences);
    }
  }
}

/// The same with keys and values in pages, one token of each row at a time.
void check_greedy_cached(const Golden& golden, const Greedy& greedy, Differences& differences) {
  constexpr int64_t kPageSize = 8;
  const int64_t pages = (greedy.times + kPageSize - 1) / kPageSize;
  Graph graph;
  const Type each = {DType::i32, {greedy.rows}};
  const Tensor input = graph.input("tokens", each);
  const nn::Sequences sequences = {
      .positions = graph.input("positions", each),
      .rows = graph.input("rows", each),
      .pages = graph.input("pages", {DType::i32, {greedy.rows, pages}}),
      .page_size = kPageSize,
      .page_count = greedy.rows * pages};
  graph.output("logits",
               models::grok(nn::Scope(graph, false), input, golden.options(), sequences).logits);
  Session session(std::move(graph));
  golden.load(session);
  const auto tokens = session.input("tokens").as<int32_t>(),
             positions = session.input("positions").as<int32_t>();
  std::iota(session.input("rows").as<int32_t>().begin(), session.input("rows").as<int32_t>().end(),
            0);
  std::iota(session.input("pages").as<int32_t>().begin(),
            session.input("pages").as<int32_t>().end(), 0);
  std::vector<int32_t> chosen(static_cast<size_t>(greedy.rows));
  for (int64_t place = 0; place + 1 < greedy.times; ++place) {
    for (int64_t row = 0; row < greedy.rows; ++row) {
      const auto r = static_cast<size_t>(row);
      const bool there = place + 1 < greedy.lengths[r] + greedy.steps;
      positions[r] = there ? static_cast<int32_t>(place) : -1;
      tokens[r] = place < greedy.lengths[r] ? greedy.prompts[at(row, greedy.prompt_room, place)]
                                            : chosen[r];
    }
    session.run();
    for (int64_t row = 0; row < greedy.rows; ++row) {
      const auto r = static_cast<size_t>(row), vocabulary = static_cast<size_t>(greedy.vocabulary);
      const int64_t step = place + 1 - greedy.lengths[r];
      if (step >= 0 && step < greedy.steps)
        chosen[r] = greedy.choose(session.output("logits").as().subspan(r * vocabulary, vocabulary),
                                  row, step, "greedy, cached", differences);
    }
  }

  // keys are [pages, heads, width, page size], values [pages, heads, page size, width]
  const int64_t heads = golden.options().key_heads, width = golden.options().head_width;
  for (const char* kind : {"k", "v"}) {
    const std::string name = fmt::format("generate/cache_{}_layer0", kind);
    if (!golden.has(name)) continue;
    const bool keys = std::string(kind) == "k";
    const auto cache =
        session.state(keys ? "block0/attention/keys" : "block0/attention/values").as();
    const Numbers all = golden.numbers(name);
    const int64_t room = golden.tensor(name).type.shape[1];
    Numbers found, wanted;
    for (int64_t row = 0; row < greedy.rows; ++row)
      for (int64_t i = 0; i + 1 < greedy.lengths[static_cast<size_t>(row)] + greedy.steps; ++i)
        for (int64_t h = 0; h < heads; ++h)
          for (int64_t d = 0; d < width; ++d) {
            const int64_t page = (row * pages + i / kPageSize) * heads + h, slot = i % kPageSize;
            found.push_back(cache[keys ? at(page * width + d, kPageSize, slot)
                                       : at(page * kPageSize + slot, width, d)]);
            wanted.push_back(all[at((row * room + i) * heads + h, width, d)]);
          }
    differences.add(fmt::format("cache {}", kind), found, wanted, kForward);
  }
}

}  // namespace

TEST_CASE("grok: all values are those of the release, in f32 and 8 bits, and near them in bf16") {
  const Path folder = test::grok_goldens();
  if (folder.empty()) {
    MESSAGE("no goldens of Grok-1 here");
    return;
  }
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    CAPTURE(entry.path().string());
    ++files;
    const Golden golden(entry.path());
    Differences differences;
    check_f32(golden, differences);
    if (golden.has("generate/tokens")) {
      const Greedy greedy(golden);
      check_greedy_whole(golden, greedy, differences);
      check_greedy_cached(golden, greedy, differences);
    }
    differences.report(entry.path());
    check_bf16(golden, entry.path());
  }
  CHECK(files > 0);
}

TEST_CASE("grok: an expert's width follows the release's rule") {
  CHECK(models::grok_hidden(6144, 8) == 32768);
  CHECK(models::grok_hidden(32, 4.0) == 88);
  CHECK(models::grok_hidden(48, 2.5) == 80);
}
