#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "model_files/export.h"
#include "program.h"
#include "shared.h"
#include "terminal.h"
#include "text/chat_template.h"
#include "texts.h"
#include "tiny_model.h"

using namespace argosy;
using test::contains;
using test::Ended;
using test::Terminal;
using Json = nlohmann::json;

namespace {

constexpr const char* kUp = "\033[A";
constexpr const char *kInterrupt = "\x03", *kEnd = "\x04";

/// A model that nobody trained, in a file. Its most probable token is never one that ends an
/// answer: those have no direction in the table, and so the logit 0.
struct Place {
  test::TemporaryFolder folder;
  std::string file = folder.path() / "tiny.gguf";

  explicit Place(int64_t context = 4096, bool chats = true) {
    setenv("ARGOSY_THREADS", "1", 1);
    setenv("TERM", "xterm", 1);
    model_files::LanguageModel model = test::tiny_model();
    model.options.context = context;
    model.chat_template = chats ? "<|im_start|>user\n...<|im_end|>\n" : "";
    model_files::Weight& table = model.weights.front();
    std::vector<float> numbers = model_files::read_numbers(table);
    for (const text::Token end : model.tokenizer->ends())
      std::fill_n(numbers.begin() + end * model.options.width, model.options.width, 0.0f);
    table.bytes = std::as_bytes(std::span(numbers));
    model_files::write_gguf_model(model, file, {});
  }

  std::vector<std::string> arguments(const std::string& more) const {
    std::vector<std::string> list = {"chat", file, "--temperature", "0"};
    std::istringstream words(more);
    for (std::string word; words >> word;) list.push_back(word);
    return list;
  }
  /// The program with a text for its standard input, line by line.
  Ended ask(const std::string& input, const std::string& more) const {
    write_file(folder.path() / "input", input);
    return test::Program(folder.path(), fmt::format("\"$ARGOSY\" chat {} --temperature 0 {} < {}",
                                                    file, more, (folder.path() / "input").string()))
        .wait();
  }
};

std::vector<Json> lines_of(const std::string& out) {
  std::vector<Json> lines;
  std::istringstream stream(out);
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

std::vector<Json> answers_in(const std::string& out) {
  std::vector<Json> answers = lines_of(out);
  std::erase_if(answers, [](const Json& line) { return line["event"] != "answer"; });
  return answers;
}

/// Tokens of the prompt that a talk is to give.
int64_t prompt_tokens(const std::vector<text::Message>& messages) {
  const text::BpeTokenizer tokenizer(test::tiny_vocabulary(), "tiny");
  const auto parts = text::ChatTemplate::named("chatml").render(messages, true);
  return std::ssize(text::encode_parts(parts, tokenizer).tokens);
}

/// The next answer of a program with --json at a terminal.
Json next_answer(Terminal& terminal) {
  terminal.until("{\"event\":\"answer\"");
  return Json::parse("{\"event\":\"answer\"" + terminal.until("}\r\n"));
}

/// What is said now, with --json at a terminal, is the talk's first message; then the talk ends.
void check_begins_talk(Terminal& terminal) {
  terminal.until("> ");
  terminal.type("hi\n");
  CHECK(next_answer(terminal)["prompt_tokens"] == prompt_tokens({{"user", "hi"}}));
  terminal.until("> ");
  terminal.type(kEnd);
  CHECK(terminal.end() == 0);
}

}  // namespace

TEST_CASE("chat: an answer comes in pieces, then as a whole with what it took") {
  const Place place;
  const Ended said = place.ask("hello\n", "--json --max-tokens 20");
  REQUIRE(said.code == 0);
  CHECK(said.err.empty());
  const std::vector<Json> lines = lines_of(said.out);
  REQUIRE(lines.size() > 5);
  std::string pieces;
  for (const Json& line : std::span(lines).first(lines.size() - 1)) {
    CHECK(line["event"] == "text");
    pieces += line["text"].get<std::string>();
  }
  const Json& answer = lines.back();
  CHECK(answer["event"] == "answer");
  CHECK(answer["text"] == pieces);
  CHECK(answer["finish"] == "length");
  CHECK(answer["generated_tokens"] == 20);
  CHECK(answer["prompt_tokens"] == prompt_tokens({{"user", "hello"}}));
  // for people it is the same text and a line's end
  CHECK(place.ask("hello\n", "--max-tokens 20").out == pieces + "\n");
}

TEST_CASE("chat: what was said is remembered, until /new or another /system") {
  const Place place;
  const Ended said = place.ask(
      "one\ntwo\n/new\nthree\n/system Be brief.\nfour\n/help\n\"\"\"/new\"\"\"\n/quit\nfive\n",
      "--json --max-tokens 3");
  REQUIRE(said.code == 0);
  const std::vector<Json> answers = answers_in(said.out);
  REQUIRE(answers.size() == 5);
  const auto text = [&](size_t i) { return answers[i]["text"].get<std::string>(); };
  const auto tokens = [&](size_t i) { return answers[i]["prompt_tokens"].get<int64_t>(); };
  CHECK(tokens(0) == prompt_tokens({{"user", "one"}}));
  CHECK(tokens(1) == prompt_tokens({{"user", "one"}, {"assistant", text(0)}, {"user", "two"}}));
  CHECK(tokens(2) == prompt_tokens({{"user", "three"}}));
  CHECK(tokens(3) == prompt_tokens({{"system", "Be brief."}, {"user", "four"}}));
  // between quotes it is no command
  CHECK(tokens(4) ==
        prompt_tokens(
            {{"system", "Be brief."}, {"user", "four"}, {"assistant", text(3)}, {"user", "/new"}}));
  CHECK(contains(said.err, "/system TEXT"));
}

TEST_CASE("chat: the system message is that of --system") {
  const Place place;
  const Ended said = place.ask("hello\n", "--json --max-tokens 1 --system 'Be brief.'");
  CHECK(answers_in(said.out)[0]["prompt_tokens"] ==
        prompt_tokens({{"system", "Be brief."}, {"user", "hello"}}));
}

TEST_CASE("chat: a \\ at a line's end and three quotes make one message of several lines") {
  const Place place;
  const auto tokens_of = [&](const std::string& input) {
    const std::vector<Json> answers = answers_in(place.ask(input, "--json --max-tokens 1").out);
    REQUIRE(answers.size() == 1);
    return answers[0]["prompt_tokens"].get<int64_t>();
  };
  for (const auto& [input, text] :
       std::vector<std::pair<std::string, std::string>>{{"a\\\nb\\\nc\n", "a\nb\nc"},
                                                        {"\"\"\"a\nb\n\nc\"\"\"\n", "a\nb\n\nc"},
                                                        {"\"\"\"\na\nb\n\"\"\"\n", "a\nb"},
                                                        {"\"\"\"a\"\"\"\n", "a"},
                                                        {"a \\ b\n", "a \\ b"},
                                                        {"a\\", "a\\"},
                                                        {"\"\"\"a\nb", "a\nb"}}) {
    INFO(input);
    CHECK(tokens_of(input) == prompt_tokens({{"user", text}}));
  }
}

TEST_CASE("chat: lines without a word ask nothing, and the end of the input ends the talk") {
  const Place place;
  const Ended said = place.ask("\n  \t\n\"\"\"\n\"\"\"\n", "--json");
  CHECK(said.code == 0);
  CHECK(said.out.empty());
}

TEST_CASE("chat: --complete goes on with a text, in pieces or as JSON") {
  const Place place;
  const Ended plain = place.ask("", "--complete 'he said' --max-tokens 12");
  CHECK(plain.code == 0);
  CHECK(plain.out.starts_with("he said"));
  const Ended json = place.ask("", "--complete 'he said' --max-tokens 12 --json");
  const std::vector<Json> answers = answers_in(json.out);
  REQUIRE(answers.size() == 1);
  CHECK(answers[0]["generated_tokens"] == 12);
  CHECK("he said" + answers[0]["text"].get<std::string>() + "\n" == plain.out);
}

TEST_CASE("chat: a text goes on until the context is full") {
  const Place place(64);
  const std::vector<Json> answers = answers_in(place.ask("", "--complete 12345678 --json").out);
  REQUIRE(answers.size() == 1);
  CHECK(answers[0]["finish"] == "length");
  CHECK(answers[0]["prompt_tokens"].get<int64_t>() +
            answers[0]["generated_tokens"].get<int64_t>() ==
        64);
  CHECK(place.ask("", "--complete 12345678").err == "(the context is full)\n");
  CHECK(place.ask("", "--complete 12345678 --max-tokens 4").err.empty());
}

TEST_CASE("chat: the oldest messages are forgotten when the context is full, and that is said") {
  const Place place(96);
  const Ended said = place.ask("one\ntwo\nthree\nfour\n", "--json --max-tokens 12");
  const std::vector<Json> answers = answers_in(said.out);
  REQUIRE(answers.size() == 4);
  CHECK(answers[0]["forgotten_messages"] == 0);
  CHECK(answers[3]["forgotten_messages"] > 0);
  CHECK(contains(place.ask("one\ntwo\nthree\nfour\n", "--max-tokens 12").err,
                 "(the context is full: 2 earlier messages are forgotten)"));
}

TEST_CASE("chat: a text longer than the context is refused in a sentence") {
  const Place place(64);
  const std::string words = "tiny: the text has ";
  const Ended piped = place.ask(std::string(200, 'x') + "\n", "");
  CHECK(piped.code == 2);
  CHECK(contains(piped.err, words));
  CHECK(contains(piped.err, "the context 64; give a shorter text"));
  CHECK(contains(place.ask("", "--complete ''").err, "there is no text to go on from"));
  CHECK(contains(place.ask("", "--complete " + std::string(200, 'x')).err,
                 "tiny: the text has 200 tokens, the context 64"));
  // at a terminal the talk goes on, as if it had not been said
  Terminal terminal(place.arguments("--json --max-tokens 1"));
  terminal.until("> ");
  terminal.type(std::string(200, 'x') + "\n");
  terminal.until(words);
  check_begins_talk(terminal);
}

TEST_CASE("chat: wrong options and models without a format are refused before the talk") {
  const Place place;
  for (const auto& [more, words] : std::vector<std::pair<std::string, std::string>>{
           {"--temperature -1", "--temperature is -1, it may be 0 to 100"},
           {"--top-p 2", "--top-p is 2, it may be 0 to 1"},
           {"--min-p -0.5", "--min-p is -0.5, it may be 0 to 1"},
           {"--top-k -1", "--top-k is -1, it may be 0 or more"},
           {"--max-tokens -1", "--max-tokens is -1, it may be 0 or more"},
           {"--repetition-penalty 0", "--repetition-penalty is 0, it may be above 0"},
           {"--context 5000", "the context is to be 5000 tokens, the model has 4096"},
           {"--context -1", "the context is to be -1 tokens"},
           {"--chat-format chatm", "the nearest is \"chatml\""},
           {"--sytem x", "there is no flag --sytem; did you mean --system?"}}) {
    INFO(more);
    const Ended said = test::run_program(fmt::format("chat {} {}", place.file, more));
    CHECK(said.code == 2);
    CHECK(said.out.empty());
    CHECK(contains(said.err, words));
  }
  const Place untaught(64, false);
  CHECK(contains(untaught.ask("hello\n", "").err,
                 "tiny: the model has no chat template; name its format with --chat-format"));
  CHECK(untaught.ask("hello\n", "--chat-format plain --max-tokens 3").code == 0);
}

TEST_CASE("chat: an answer that nobody takes any more ends, with code 3 and no word") {
  const Place place(1 << 17);
  // reads a little of an answer that would take minutes
  const Ended said = test::Program(place.folder.path(),
                                   fmt::format("(echo hello | \"$ARGOSY\" chat {} --temperature 0 "
                                               "--json; echo code $? >&2) | head -n 3",
                                               place.file))
                         .wait();
  CHECK(lines_of(said.out).size() == 3);
  CHECK(said.err == "code 3\n");
}

TEST_CASE("chat: Ctrl-C stops an answer and not the program") {
  const Place place(1 << 17);  // without it the answer would go on for minutes
  Terminal terminal(place.arguments("--json"));
  terminal.until("> ");
  terminal.type("hello\n");
  for (int i = 0; i < 3; ++i) terminal.until("{\"event\":\"text\"");
  terminal.type(kInterrupt);
  const Json first = next_answer(terminal);
  CHECK(first["finish"] == "cancelled");
  // what was said of it is remembered
  terminal.until("> ");
  terminal.type("again\n");
  terminal.until("{\"event\":\"text\"");
  terminal.type(kInterrupt);
  CHECK(
      next_answer(terminal)["prompt_tokens"] ==
      prompt_tokens(
          {{"user", "hello"}, {"assistant", first["text"].get<std::string>()}, {"user", "again"}}));
  terminal.until("> ");
  terminal.type("/quit\n");
  CHECK(terminal.end() == 0);
}

TEST_CASE("chat: Ctrl-C stops a text of --complete, with code 130") {
  const Place place(1 << 17);
  Terminal terminal(place.arguments("--complete hello --json"));
  terminal.until("{\"event\":\"text\"");
  terminal.type(kInterrupt);
  CHECK(next_answer(terminal)["finish"] == "cancelled");
  CHECK(terminal.end() == 130);
}

TEST_CASE("chat: Ctrl-C at the prompt leaves what was typed, of one line and of several") {
  const Place place;
  Terminal terminal(place.arguments("--json --max-tokens 1"));
  for (const char* typed : {"", "never said", "never\\\nsaid", "\"\"\"never\nsaid"}) {
    INFO(typed);
    terminal.until("> ");
    terminal.type(typed);
    if (std::string_view(typed).find('\n') != std::string_view::npos) terminal.until(". ");
    terminal.type(kInterrupt);
  }
  check_begins_talk(terminal);
}

#ifdef ARGOSY_WITH_LIBEDIT
TEST_CASE("chat: lines are edited, the last come back with the arrow, and they are UTF-8") {
  const Place place;
  Terminal terminal(place.arguments("--json --max-tokens 1"));
  terminal.until("> ");
  terminal.type("h\xC3\xA9\xE4\xB8\xADxy\b\b\xF0\x9F\x98\x80\n");
  const Json first = next_answer(terminal);
  const std::string typed = "h\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80";
  CHECK(first["prompt_tokens"] == prompt_tokens({{"user", typed}}));
  terminal.until("> ");
  terminal.type("/new\n");
  terminal.until("> ");
  terminal.type(std::string(kUp) + kUp + "\n");
  CHECK(next_answer(terminal)["prompt_tokens"] == prompt_tokens({{"user", typed}}));
  terminal.until("> ");
  terminal.type(kEnd);
  CHECK(terminal.end() == 0);
}
#endif

TEST_CASE("chat: at a terminal standard output has the answers alone") {
  const Place place;
  const std::string out = place.folder.path() / "out";
  Terminal terminal(place.arguments("--json --max-tokens 2"), out);
  terminal.until("> ");
  terminal.type("hello\n");
  terminal.until("> ");
  terminal.type("/quit\n");
  CHECK(terminal.end() == 0);
  CHECK(answers_in(read_file(out)).size() == 1);
}

TEST_CASE("chat: runs of every language architecture go on with a text to their context's end") {
  const test::TemporaryFolder folder;
  setenv("ARGOSY_THREADS", "1", 1);
  const std::string text = folder.path() / "text.txt";
  std::string verses;
  for (int i = 0; i < 200; ++i) verses += "User: Assistant: over the sea, over the sea\n";
  write_file(text, verses);
  const std::string question = folder.path() / "question";
  write_file(question, "the sea\n");
  for (const models::LanguageArchitecture& architecture : models::language_models()) {
    INFO(architecture.name);
    const std::string run = folder.path() / std::string(architecture.name);
    const Ended trained = test::run_program(fmt::format(
        "train {}/recipes/grok-tiny.toml model.name={} data.path={} language.context=32 "
        "language.width=16 language.heads=2 language.layers=2 language.hidden=16 "
        "language.experts=4 language.balance_loss=0 language.sample_tokens=0 training.steps=2 "
        "training.batch_size=2 schedule.warmup_steps=1 --to {}",
        ARGOSY_SOURCE_DIR, architecture.name, text, run));
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    const Ended said = test::run_program(fmt::format("chat {} --complete 'the ' --json", run));
    INFO(said.err);
    REQUIRE(said.code == 0);
    const Json answer = answers_in(said.out).at(0);
    CHECK(answer["finish"] == "length");
    CHECK(answer["prompt_tokens"] == 4);
    CHECK(answer["generated_tokens"] == 28);
    CHECK(test::run_program(fmt::format("chat {} --chat-format plain < {}", run, question)).code ==
          0);
    CHECK(contains(test::run_program(fmt::format("chat {} --complete '?'", run)).err,
                   "the character U+003F is not among the"));
  }
}
