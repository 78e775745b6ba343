#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "model_files/export.h"
#include "models/rotary_scaling.h"
#include "program.h"
#include "run/language_data.h"
#include "run/language_model.h"
#include "run/language_training.h"
#include "run/run_folder.h"
#include "run/start_model.h"
#include "run/text_scores.h"
#include "shared.h"
#include "text/token_store.h"
#include "text/tokenize_files.h"
#include "tiny_model.h"
#include "train/trainer.h"

using namespace argosy;

namespace {

/// A text that can be learned, and a place for runs.
struct Place {
  test::TemporaryFolder temporary;
  Path text = temporary.path() / "text.txt";

  Place() {
    log::set_level(log::Level::warning);
    set_thread_count(1);  // tiny work: a second thread only waits
    setenv("ARGOSY_THREADS", "1", 1);
    std::string words;
    for (int i = 0; i < 400; ++i) words += i % 3 == 0 ? "über sea " : "the sea, ";
    write_file(text, words);
  }
  Path folder(const std::string& name) const { return temporary.path() / name; }

  std::vector<std::string> settings(const std::string& model,
                                    const std::vector<std::string>& more = {}) const {
    std::vector<std::string> list = {"model.name=" + model,
                                     "data.path=" + text.string(),
                                     "data.holdout_share=0.1",
                                     "language.context=16",
                                     "language.width=16",
                                     "language.layers=2",
                                     "language.heads=2",
                                     "language.sample_tokens=5",
                                     "training.batch_size=4",
                                     "training.steps=12",
                                     "training.evaluate_every_steps=6",
                                     "training.checkpoint_every_steps=4",
                                     "schedule.warmup_steps=3",
                                     "optimizer.learning_rate=1e-2"};
    if (model == "grok")
      for (const char* setting : {"language.key_heads=1", "language.experts=4", "language.hidden=8",
                                  "language.z_loss=1e-4"})
        list.emplace_back(setting);
    list.insert(list.end(), more.begin(), more.end());
    return list;
  }
  run::Recipe recipe(const std::string& model, const std::vector<std::string>& more = {}) const {
    return run::parse_recipe("", "tiny", settings(model, more));
  }
};

std::string weights(const Path& run) {
  return read_file(run::find_checkpoint(run, "last").folder / run::kStateFile);
}

run::Position position(const Path& run) {
  run::Position found = run::read_position(run::find_checkpoint(run, "last"));
  found.seconds = 0;  // the only part that may differ
  return found;
}

}  // namespace

TEST_CASE("train: language models learn a text") {
  const Place place;
  for (const char* model : {"gpt", "grok", "llama"}) {
    CAPTURE(model);
    const Path run = place.folder(model);
    const train::TrainResult result =
        train::train(place.recipe(model, {"training.steps=100"}), run);
    CHECK(result.unit == "tokens");
    CHECK(result.held_out_loss < 0.7);  // ln 12 = 2.5 is what guessing has
    const run::TextScores scores = run::score_text(run, place.text, "last");
    CHECK(scores.held_out);
    CHECK(scores.loss == doctest::Approx(result.held_out_loss));
    CHECK(scores.perplexity == doctest::Approx(std::exp(scores.loss)));
    CHECK(scores.bytes > scores.tokens);  // there are characters of two bytes
    CHECK(scores.bits_per_byte ==
          doctest::Approx(scores.loss * static_cast<double>(scores.tokens) / std::numbers::ln2 /
                          static_cast<double>(scores.bytes)));
  }
}

TEST_CASE("train: a language model interrupted and resumed ends as one that never was") {
  const Place place;
  for (const char* model : {"gpt", "grok"})
    for (const char* accumulate : {"1", "3"}) {
      CAPTURE(model);
      CAPTURE(accumulate);
      const auto recipe = [&](int64_t steps) {
        return place.recipe(
            model, {fmt::format("training.steps={}", steps),
                    std::string("training.accumulate=") + accumulate, "schedule.name=constant"});
      };
      const std::string name = fmt::format("{}-{}", model, accumulate);
      const Path whole = place.folder(name), parts = place.folder(name + "-parts");
      train::train(recipe(10), whole);
      for (const int64_t steps : {3, 7, 10}) train::train(recipe(steps), parts);
      CHECK(weights(parts) == weights(whole));
      run::Position expected = position(whole), found = position(parts);
      expected.best = found.best = 0;  // more evaluations, so perhaps another best
      CHECK(found == expected);
      CHECK(found.samples_seen == 10 * 4 * std::stoll(accumulate));
    }
}

TEST_CASE("train: a Grok's run written as GGUF foretells as the run does, quantised nearly so") {
  const Place place;
  const Path run = place.folder("run"), file = place.folder("grok.gguf"),
             small = place.folder("small.gguf");
  train::train(place.recipe("grok", {"language.width=32", "language.hidden=32"}), run);
  const model_files::LanguageModel model = run::open_language_model(run.string());
  model_files::write_gguf_model(model, file, std::nullopt);
  model_files::write_gguf_model(model, small, BlockFormat::q8_0);
  const run::TextScores wanted = run::score_model(run.string(), place.text),
                        found = run::score_model(file.string(), place.text),
                        rounded = run::score_model(small.string(), place.text);
  CHECK(found.loss == wanted.loss);
  CHECK(found.bytes == wanted.bytes);
  CHECK(found.bytes > found.tokens);
  CHECK(rounded.loss == doctest::Approx(wanted.loss).epsilon(0.01));
  CHECK(rounded.loss != wanted.loss);
  // by the graph that trains, in f32 as well
  CHECK(run::score_text(run, place.text, "last").loss == doctest::Approx(wanted.loss).epsilon(0.2));
}

TEST_CASE("train: a language model in bf16 learns as well") {
  const Place place;
  const train::TrainResult result = train::train(
      place.recipe("grok", {"training.steps=100", "training.precision=bf16"}), place.folder("run"));
  CHECK(result.held_out_loss < 0.8);
}

TEST_CASE("train: a language model begins with the weights and the tokens of another") {
  const Place place;
  const Path first = place.folder("first"), second = place.folder("second");
  train::train(place.recipe("gpt", {"training.steps=100"}), first);
  const Place other;
  write_file(other.text, std::string(40, 's') + " the sea, the sea, the sea, the sea, the sea");
  const auto recipe = other.recipe(
      "gpt", {"training.steps=1", "data.holdout_share=0.4", "training.start_from=" + first.string(),
              "optimizer.learning_rate=1e-9"});
  CHECK(train::train(recipe, second).held_out_loss < 0.7);
  CHECK(read_file(first / "characters.json") == read_file(second / "characters.json"));
}

TEST_CASE("train: adapters alone are trained, and the run is a model with them in its matrices") {
  const Place place;
  for (const char* model : {"gpt", "grok", "llama"}) {
    CAPTURE(model);
    const Path first = place.folder(fmt::format("{}-first", model)),
               second = place.folder(fmt::format("{}-second", model));
    train::train(place.recipe(model, {"training.steps=40"}), first);
    const auto before = run::open_language_model(first.string());
    const train::TrainResult result =
        train::train(place.recipe(model, {"training.steps=40", "language.adapter_rank=2",
                                          "training.start_from=" + first.string()}),
                     second);
    CHECK(result.held_out_loss < run::score_text(first, place.text, "last").loss);
    const auto after = run::open_language_model(second.string());
    REQUIRE(after.weights.size() == before.weights.size());
    int adapted = 0;
    for (const model_files::Weight& weight : after.weights) {
      CAPTURE(weight.name);
      const bool same = read_numbers(weight) == read_numbers(*before.find(weight.name));
      const bool matrix = weight.shape.size() == 2 && weight.name != "embedding/weight" &&
                          weight.name != "positions/weight";
      CHECK(same != matrix);
      adapted += matrix;
    }
    CHECK(adapted > 8);
    // what is told of the text does not change when adapters are put into the matrices
    Session whole = [&] {
      Graph graph;
      const Tensor tokens = graph.input("tokens", {DType::i32, {1, 16}});
      graph.output(
          "logits",
          models::build_language_model(nn::Scope(graph, false), tokens, after.options).logits);
      return Session(std::move(graph));
    }();
    run::begin_with_model(whole, after);
    run::LanguageMeasure measure(run::read_run_recipe(second), *after.tokenizer, false, 1);
    measure.load(run::find_checkpoint(second, "last").folder / run::kStateFile);
    const auto tokens = after.tokenizer->encode("the sea, the sea, the");
    std::ranges::copy(std::span(tokens).first(16), whole.input("tokens").as<int32_t>().begin());
    whole.run();
    double nats = 0;
    for (size_t i = 0; i < 16; ++i) {
      const auto row =
          whole.output("logits").as().subspan(i * static_cast<size_t>(after.options.vocabulary),
                                              static_cast<size_t>(after.options.vocabulary));
      double total = 0;
      for (const float logit : row) total += std::exp(double{logit});
      nats += std::log(total) - row[static_cast<size_t>(tokens[i + 1])];
    }
    const auto sum = measure.measure(1, [&](int64_t, const run::Sample& to) {
      run::put_piece(std::span(tokens).first(17), 0, to);
    });
    CHECK(sum->nats == doctest::Approx(nats).epsilon(1e-4));
  }
}

TEST_CASE("train: a run begins with a model of a file, and has its sizes and its tokens") {
  const Place place;
  const Path file = place.folder("tiny.gguf"), run = place.folder("run");
  const model_files::LanguageModel tiny = test::tiny_model();
  model_files::write_gguf_model(tiny, file, std::nullopt);
  const auto recipe = [&](const std::string& steps) {
    return place.recipe("gpt", {"training.start_from=" + file.string(), "language.sample_tokens=5",
                                "training.steps=" + steps, "optimizer.learning_rate=1e-9",
                                "optimizer.weight_decay=0"});
  };
  train::train(recipe("3"), run);
  CHECK(run::read_run_recipe(run).model.name == "llama");
  const model_files::LanguageModel after = run::open_language_model(run.string());
  CHECK(after.options.vocabulary == tiny.options.vocabulary);
  CHECK(after.options.width == tiny.options.width);
  CHECK(after.options.rotary_base == tiny.options.rotary_base);
  CHECK(after.tokenizer->encode("hello the") == tiny.tokenizer->encode("hello the"));
  for (const model_files::Weight& weight : after.weights) {
    const auto now = read_numbers(weight), then = read_numbers(*tiny.find(weight.name));
    for (size_t i = 0; i < now.size(); ++i) CHECK(now[i] == doctest::Approx(then[i]).epsilon(1e-6));
  }
  std::filesystem::remove(file);
  model_files::write_gguf_model(tiny, file, std::nullopt);
  CHECK(train::train(recipe("5"), run).steps == 5);  // goes on
  CHECK_THROWS_WITH_AS(train::train(place.recipe("gpt", {"training.start_from=" + file.string(),
                                                         "language.context=100"}),
                                    place.folder("long")),
                       doctest::Contains("the model's context is 64"), Error);
}

TEST_CASE("train: any model that is known begins a run, with its constants") {
  const Place place;
  std::vector<model_files::LanguageModel> begun;
  begun.push_back(test::tiny_model(false));  // its output has a table of its own
  begun.push_back(test::tiny_model());
  begun.back().options.rotary_divisors = models::rotary_divisors({.factor = 32}, 5000, 8);
  begun.push_back(test::tiny_grok(false));
  for (size_t i = 0; i < begun.size(); ++i) {
    CAPTURE(i);
    const model_files::LanguageModel& model = begun[i];
    const Path file = place.folder(fmt::format("m{}.gguf", i));
    model_files::write_gguf_model(model, file, std::nullopt);
    const Path first = place.folder(fmt::format("first{}", i)),
               second = place.folder(fmt::format("second{}", i));
    const auto begin = [&](const Path& start, const Path& run) {
      train::train(
          place.recipe("gpt", {"training.start_from=" + start.string(), "language.sample_tokens=0",
                               "training.steps=2", "optimizer.learning_rate=1e-9",
                               "optimizer.weight_decay=0"}),
          run);
      const model_files::LanguageModel after = run::open_language_model(run.string());
      const models::LanguageOptions &a = after.options, &b = model.options;
      CHECK(a.architecture == b.architecture);
      CHECK(a.context == b.context);
      CHECK(a.tied == b.tied);
      CHECK(a.experts == b.experts);
      CHECK(a.rotary_divisors == b.rotary_divisors);
      CHECK(a.soft_cap == b.soft_cap);
      CHECK(a.embedding_multiplier == doctest::Approx(b.embedding_multiplier).epsilon(1e-6));
      CHECK(a.output_multiplier == doctest::Approx(b.output_multiplier).epsilon(1e-6));
      REQUIRE(after.weights.size() == model.weights.size());
      for (const model_files::Weight& weight : after.weights)
        CHECK(read_numbers(weight)[17] ==
              doctest::Approx(read_numbers(*model.find(weight.name))[17]).epsilon(1e-5));
    };
    begin(file, first);
    begin(first, second);
  }
}

namespace {

/// A tiny model in a file, and conversations in its tokens.
struct Conversations : Place {
  const Path model = folder("tiny.gguf");
  model_files::LanguageModel tiny;

  Conversations() {
    model_files::write_gguf_model(test::tiny_model(), model, std::nullopt);
    tiny = run::open_language_model(model);
  }

  using Turns = std::vector<std::string>;  // the user's and the assistant's
  Path store(const std::string& name, const std::vector<Turns>& conversations) const {
    text::TokenStoreWriter writer(folder(name), *tiny.tokenizer);
    const text::ChatTemplate chat = text::ChatTemplate::named("chatml");
    for (const Turns& turns : conversations) {
      std::vector<text::Message> messages;
      for (size_t i = 0; i < turns.size(); ++i)
        messages.push_back({.role = i % 2 == 0 ? "user" : "assistant", .content = turns[i]});
      const text::Prompt prompt = text::encode_conversation(messages, chat, *tiny.tokenizer);
      writer.add(prompt.tokens, prompt.answers);
    }
    writer.commit(chat.name());
    return folder(name);
  }
  /// Questions of 1 to `count` letters, whose answer is "yes".
  Path questions(const std::string& name, size_t count) const {
    std::vector<Turns> all;
    for (size_t i = 1; i <= count; ++i) all.push_back({std::string(i, 'q'), "yes"});
    return store(name, all);
  }
  run::Recipe tuning(const Path& store, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> list = {"data.path=" + store.string(),
                                     "training.start_from=" + model.string(), "language.context=40",
                                     "language.sample_tokens=3", "data.holdout_share=0.3"};
    list.insert(list.end(), more.begin(), more.end());
    return recipe("llama", list);
  }
};

}  // namespace

TEST_CASE("train: conversations are learned whole, each answer once in an epoch") {
  const Conversations place;
  const Path store = place.questions("store", 12);
  const auto recipe = place.tuning(store, {"language.context=60", "data.holdout_share=0.3"});
  const auto data = run::open_language_data(recipe);
  std::vector<text::Token> tokens(60), targets(60);
  std::vector<int32_t> segments(60);
  int64_t documents = 0, learned = 0;
  const auto look_at = [&](const auto& sample, int64_t samples) {
    for (int64_t i = 0; i < samples; ++i) {
      sample(i, run::Sample{tokens, targets, segments});
      for (size_t t = 0; t < tokens.size(); ++t) {
        if (t > 0 && segments[t] == segments[t - 1]) continue;
        const bool filler = tokens[t] == 0;  // which no conversation begins with
        CHECK((filler || data->tokenizer().find("<|im_start|>") == tokens[t]));
        documents += !filler;
      }
      learned += std::ranges::count_if(targets, [](text::Token token) { return token >= 0; });
    }
  };
  look_at([&](auto... sample) { data->training_sample(sample...); }, data->samples_per_epoch());
  CHECK(documents > 4);
  CHECK(documents < 12);
  look_at([&](auto... sample) { data->held_out_sample(sample...); }, data->held_out_samples());
  CHECK(documents == 12);
  CHECK(learned == 12 * 4);  // y, e, s, and what ends the turn
  const auto start = data->beginning();
  CHECK(data->tokenizer().decode({start.begin(), start.end()}).ends_with("q\nassistant\n"));
}

TEST_CASE("train: a model tuned on conversations answers, and keeps its template and context") {
  const Conversations place;
  const Path store = place.questions("store", 8);
  for (const char* rank : {"0", "4"}) {
    CAPTURE(rank);
    const Path run = place.folder(std::string("run") + rank);
    const auto recipe = [&](const char* steps, const std::string& start) {
      return place.tuning(store, {std::string("language.adapter_rank=") + rank,
                                  std::string("training.steps=") + steps,
                                  "training.start_from=" + start, "schedule.name=constant"});
    };
    const double loss = train::train(recipe("30", place.model), run).held_out_loss;
    CHECK(loss < 1);  // ln 264 = 5.6 is what guessing has
    CHECK(run::score_text(run, store, "last").loss == doctest::Approx(loss));
    const model_files::LanguageModel tuned = run::open_language_model(run);
    CHECK(tuned.chat_template == place.tiny.chat_template);
    CHECK(tuned.options.context == place.tiny.options.context);
    const Path exported = place.folder(std::string("exported") + rank);
    model_files::write_hugging_face_model(tuned, exported, std::nullopt);
    CHECK(run::open_language_model(exported).chat_template == place.tiny.chat_template);
    // what it began with is needed no more, and another run may begin with it
    const Path gone = place.folder("gone.gguf");
    std::filesystem::rename(place.model, gone);
    CHECK(train::train(recipe("33", place.model), run).steps == 33);
    for (const char* other : {"0", "2", "4"}) {  // what adapters learned is kept
      CAPTURE(other);
      const Path next = place.folder(fmt::format("next{}-{}", rank, other));
      const run::Recipe begins = place.tuning(
          store, {std::string("language.adapter_rank=") + other, "training.steps=3",
                  "training.start_from=" + run.string(), "optimizer.learning_rate=1e-5"});
      CHECK(train::train(begins, next).held_out_loss < 1);
      CHECK(run::open_language_model(next).options.context == place.tiny.options.context);
      CHECK(run::open_language_model(next).chat_template == place.tiny.chat_template);
    }
    std::filesystem::rename(gone, place.model);
  }
}

TEST_CASE("train: several stores are mixed by weight, and the end of each is held out") {
  const Conversations place;
  const Path first = place.questions("first", 8),
             second =
                 place.store("second", {{"x", "no"}, {"xx", "no"}, {"xxx", "no"}, {"y", "no"}});
  const auto recipe = [&](const std::string& weights, const std::string& steps = "40") {
    return place.tuning(first, {"data.more=" + second.string(), "data.weights=" + weights,
                                "training.steps=" + steps, "schedule.name=constant"});
  };
  const auto of_second = [&](const std::string& weights) {
    const auto data = run::open_language_data(recipe(weights), "");
    std::vector<int32_t> tokens(40), targets(40), segments(40);
    int count = 0;
    for (int64_t number = 0; number < 200; ++number) {
      data->training_sample(number, {tokens, targets, segments});
      count += std::ranges::count(tokens, place.tiny.tokenizer->encode("x")[0]) > 0;
    }
    return count;
  };
  CHECK(of_second("[1000000, 1]") < 5);
  CHECK(of_second("[1, 1000000]") > 195);
  CHECK(std::abs(of_second("[1, 1]") - 100) < 30);
  const auto data = run::open_language_data(recipe("[]"), "");
  const auto alone = [&](const Path& store) {
    return run::open_language_data(place.tuning(store), "")->held_out_samples();
  };
  CHECK(data->held_out_samples() == alone(first) + alone(second));
  const Path run = place.folder("mixed"), parts = place.folder("parts");
  CHECK(train::train(recipe("[1, 1]"), run).held_out_loss < 2);  // guessing: 5.6
  for (const char* steps : {"7", "40"}) train::train(recipe("[1, 1]", steps), parts);
  CHECK(weights(parts) == weights(run));
  for (const Path& store : {first, second}) CHECK(run::score_text(run, store, "last").held_out);
  CHECK_THROWS_WITH_AS(recipe("[1]"), doctest::Contains("data.weights has 1 numbers"), Error);
  CHECK_THROWS_WITH_AS(
      train::train(place.recipe("gpt", {"data.more=" + second.string()}), place.folder("text")),
      doctest::Contains("data.more goes with token stores"), Error);
}

TEST_CASE("train: tuning on conversations interrupted and resumed ends as one that never was") {
  const Conversations place;
  const Path store = place.questions("store", 9);
  for (const char* rank : {"0", "4"}) {
    CAPTURE(rank);
    const auto recipe = [&](int64_t steps) {
      return place.tuning(store,
                          {std::string("language.adapter_rank=") + rank,
                           fmt::format("training.steps={}", steps), "schedule.name=constant"});
    };
    const Path whole = place.folder(std::string("whole") + rank),
               parts = place.folder(std::string("parts") + rank);
    train::train(recipe(10), whole);
    for (const int64_t steps : {3, 7, 10}) train::train(recipe(steps), parts);
    CHECK(weights(parts) == weights(whole));
    CHECK_THROWS_WITH_AS(train::train(place.tuning(store, {"language.adapter_rank=7"}), parts),
                         doctest::Contains("language.adapter_rank"), Error);
  }
}

TEST_CASE("train: one conversation, and conversations longer than the context, are learned") {
  const Conversations place;
  const auto learn = [&](const Path& store) {
    const Path run = place.folder(store.filename().string() + "-run");
    return train::train(place.tuning(store, {"training.steps=30"}), run);
  };
  const train::TrainResult one = learn(place.store("one", {{"what?", "yes"}}));
  CHECK(one.loss < 0.5);
  CHECK(std::isnan(one.held_out_loss));
  const std::string answer(100, 'a');
  CHECK(learn(place.store("long", {{"q", answer}, {"qq", answer}})).loss < 0.5);
}

TEST_CASE("train: conversations that teach nothing, or that are in other tokens, are an error") {
  const Conversations place;
  const auto fails = [&](const Path& store, const char* part) {
    CHECK_THROWS_WITH_AS(train::train(place.tuning(store), place.folder("run")),
                         doctest::Contains(part), Error);
    CHECK(!std::filesystem::exists(place.folder("run")));
  };
  fails(place.store("questions", {{"what?"}, {"who?"}}), "nothing is said by the assistant");
  text::BpeDefinition other = test::tiny_vocabulary();
  std::swap(other.entries[100], other.entries[101]);
  const text::BpeTokenizer tokenizer(other, "other");
  text::TokenStoreWriter writer(place.folder("other"), tokenizer);
  writer.add(std::vector<text::Token>(30, 5), std::vector<bool>(30, true));
  writer.commit();
  fails(place.folder("other"), "the store was made with other tokens than the model has");
}

TEST_CASE("train: z-loss and balance loss are added to the cross-entropy") {
  const Place place;
  const auto added = [&](const std::vector<std::string>& more) {
    Session session = run::language_training_session(place.recipe("grok", more), 50);
    const auto labels = session.input("labels").as<int32_t>();
    labels[0] = -1;  // counts for nothing
    session.run();
    return session.output("loss").as()[0] - session.output("cross_entropy").as()[0];
  };
  // weights are small at first: all tokens alike, all experts alike
  CHECK(std::abs(added({"language.z_loss=0", "language.balance_loss=0"})) < 1e-6);
  CHECK(added({"language.z_loss=0.1", "language.balance_loss=0"}) ==
        doctest::Approx(0.1 * std::pow(std::log(50), 2)).epsilon(0.02));
  CHECK(added({"language.z_loss=0", "language.balance_loss=0.5"}) ==
        doctest::Approx(0.5).epsilon(0.05));
}

TEST_CASE("train: a sample of the text is a function of seed and number, and never held out") {
  const Place place;
  const std::string text = read_file(place.text);
  const auto recipe = place.recipe("gpt");
  const auto data = run::open_language_data(recipe), again = run::open_language_data(recipe);
  const auto tokens = data->tokenizer().encode(text);
  const auto trained = static_cast<size_t>(0.9 * static_cast<double>(tokens.size()));
  std::vector<text::Token> a(16), targets(16), b(16);
  std::vector<int32_t> segments(16);
  std::set<std::vector<text::Token>> different;
  for (int64_t i = 0; i < 200; ++i) {
    data->training_sample(i, {a, targets, segments});
    again->training_sample(199 - i, {b, targets, segments});
    again->training_sample(i, {b, targets, segments});
    CHECK(a == b);
    std::vector<text::Token> whole = a;
    whole.push_back(targets.back());
    const auto found =
        std::search(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(trained),
                    whole.begin(), whole.end());
    CHECK(found != tokens.begin() + static_cast<std::ptrdiff_t>(trained));
    CHECK(std::equal(a.begin() + 1, a.end(), targets.begin()));
    different.insert(a);
  }
  CHECK(different.size() > 20);
  int64_t foretold = 0;
  for (int64_t i = 0; i < data->held_out_samples(); ++i) {
    data->held_out_sample(i, {a, targets, segments});
    foretold += std::ranges::count_if(targets, [](text::Token t) { return t >= 0; });
  }
  CHECK(foretold == static_cast<int64_t>(tokens.size() - trained) - 1);
}

TEST_CASE("train: mistakes with a text end in one sentence") {
  const Place place;
  const auto fails = [&](const std::string& part, const std::vector<std::string>& more,
                         const std::string& model = "gpt") {
    CAPTURE(part);
    CHECK_THROWS_WITH_AS(train::train(place.recipe(model, more), place.folder("run")),
                         doctest::Contains(part.c_str()), Error);
    CHECK(!std::filesystem::exists(place.folder("run")));
  };
  fails("/nowhere.txt", {"data.path=/nowhere.txt"});
  fails("choose a width that the heads divide", {"language.heads=3"});
  fails("language.active is 9, but there are 8 experts",
        {"language.active=9", "language.experts=8"}, "grok");
  fails("key heads that divide",
        {"language.key_heads=2", "language.heads=3", "language.head_width=8"}, "grok");
  fails("must be even", {"language.head_width=5"}, "grok");
  fails("choices of experts", {"training.batch_size=65536", "language.context=1024"}, "grok");
  fails("a longer text", {"language.context=100000"});
  write_file(place.folder("empty.txt"), "");
  fails("no text to take characters from", {"data.path=" + place.folder("empty.txt").string()});
  write_file(place.folder("binary.txt"), "abc\xff\xfe");
  fails("no UTF-8", {"data.path=" + place.folder("binary.txt").string()});

  const Path run = place.folder("run");
  train::train(place.recipe("gpt"), run);
  write_file(place.text, "another text altogether, long enough to be learned from");
  CHECK_THROWS_WITH_AS(train::train(place.recipe("gpt", {"training.steps=20"}), run),
                       doctest::Contains("this is not what the run learned from"), Error);
  write_file(run / "text.json", "{\"path\": 3}");
  CHECK_THROWS_WITH_AS(train::train(place.recipe("gpt", {"training.steps=20"}), run),
                       doctest::Contains("text.json: it is damaged"), Error);
}

TEST_CASE("eval: a language model is measured on a text by the program") {
  const Place place;
  const Path run = place.folder("run"), other = place.folder("other.txt");
  train::train(place.recipe("grok"), run);
  write_file(other, "the sea, the sea");
  const auto eval = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"eval", run.string()});
    return test::run_program(place.temporary.path(), more);
  };
  const auto contains = [](const std::string& text, const char* part) {
    INFO(text);
    return text.find(part) != std::string::npos;
  };
  const test::Ended own = eval({"--data", place.text.string()});
  CHECK(own.code == 0);
  CHECK(contains(own.out, "the held-out end"));
  CHECK(contains(own.out, "bits per byte"));
  CHECK(contains(eval({"--data", other.string()}).out, "15 bytes"));  // the first token is given
  CHECK(contains(eval({"--data", other.string(), "--json", "-"}).out, "\"tokens\": 15"));
  write_file(other, "ABC");
  const test::Ended unknown = eval({"--data", other.string()});
  CHECK(unknown.code == 2);
  CHECK(contains(unknown.err, "is not among the"));
  CHECK(contains(eval({}).err, "there is nothing to measure on"));
  CHECK(
      contains(eval({"--data", other.string(), "--world", "track"}).err, "--world is of policies"));
}
