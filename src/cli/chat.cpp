#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "base/error.h"
#include "base/signals.h"
#include "cli/commands.h"
#include "cli/limits.h"
#include "cli/line_reader.h"
#include "run/language_model.h"
#include "serve/conversation.h"

namespace argosy::cli {
namespace {

constexpr const char* kCommand = "argosy chat";

struct Options {
  std::string model, system, chat_format;
  std::optional<std::string> complete;
  int64_t context = 0, max_tokens = 0, top_k = 0, seed = 0;
  double temperature = 0.7, top_p = 0.95, min_p = 0, repetition_penalty = 1;
  bool json = false;
};

constexpr const char* kHelp =
    "/new            begin again\n"
    "/system TEXT    another system message, and begin again\n"
    "/help           this\n"
    "/quit           end; so does Ctrl-D\n"
    "A line that ends in \\ goes on in the next; \"\"\" opens and closes a text of many lines,\n"
    "which may begin with a / too. Ctrl-C stops an answer, or leaves what is being typed.\n";

serve::ConversationOptions conversation_options(const Options& o) {
  require(o.temperature >= 0 && o.temperature <= 100, kCommand, "--temperature", o.temperature,
          "0 to 100");
  require(o.top_p >= 0 && o.top_p <= 1, kCommand, "--top-p", o.top_p, "0 to 1");
  require(o.min_p >= 0 && o.min_p <= 1, kCommand, "--min-p", o.min_p, "0 to 1");
  require(o.repetition_penalty > 0 && o.repetition_penalty <= 100, kCommand, "--repetition-penalty",
          o.repetition_penalty, "above 0, up to 100");
  for (const auto& [flag, value] : {std::pair{"--top-k", o.top_k}, {"--max-tokens", o.max_tokens}})
    require(value >= 0, kCommand, flag, static_cast<double>(value), "0 or more");
  return {.system = o.system,
          .chat_format = o.chat_format,
          .max_tokens = o.max_tokens,
          .sampling = {.temperature = o.temperature,
                       .top_p = o.top_p,
                       .min_p = o.min_p,
                       .top_k = o.top_k,
                       .repetition_penalty = o.repetition_penalty,
                       .seed = static_cast<uint64_t>(o.seed)}};
}

std::atomic<bool> interrupted = false;

/// Ctrl-C sets `interrupted` and ends a wait for input, nothing else.
void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupted = true; };
  sigaction(SIGINT, &action, nullptr);
}

/// While it lives, threads are made that leave Ctrl-C to the one that waits for input.
class WithoutInterrupts {
 public:
  WithoutInterrupts() {
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, &before_);
  }
  ~WithoutInterrupts() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

std::unique_ptr<serve::Generator> open_generator(const model_files::LanguageModel& model,
                                                 const Options& options) {
  const WithoutInterrupts guard;
  return serve::open_generator(model, {.context = options.context, .sequences = 1});
}

constexpr const char* name_of(serve::Finish finish) {
  constexpr const char* names[] = {"stop", "length", "cancelled", "failed"};
  return names[static_cast<size_t>(finish)];
}

/// throws  std::system_error: nobody takes it
void print_now(const std::string& text) {
  fmt::print("{}", text);
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category());
}

void print_line(const nlohmann::ordered_json& line) {
  // what is no UTF-8 has become U+FFFD before
  print_now(line.dump() + "\n");
}

/// Says an answer as it comes. Where nobody takes it any more, there is no more to be made of it.
serve::Listener listener(bool json) {
  const auto on_text = [json](std::string_view text) {
    try {
      if (json)
        print_line({{"event", "text"}, {"text", text}});
      else
        print_now(std::string(text));
    } catch (const std::system_error&) {  // stdout has its error flag now
    }
  };
  return {.on_text = on_text, .stopped = [] { return interrupted || std::ferror(stdout) != 0; }};
}

void conclude(const serve::Answer& answer, const Options& options) {
  if (options.json) {
    print_line({{"event", "answer"},
                {"text", answer.text},
                {"finish", name_of(answer.finish)},
                {"prompt_tokens", answer.usage.prompt},
                {"cached_tokens", answer.usage.cached},
                {"generated_tokens", answer.usage.generated},
                {"forgotten_messages", answer.forgotten},
                {"prefill_s", answer.usage.prefill_s},
                {"decode_s", answer.usage.decode_s}});
    return;
  }
  print_now("\n");
  const bool asked_for = options.max_tokens > 0 && answer.usage.generated >= options.max_tokens;
  if (answer.finish == serve::Finish::length && !asked_for)
    fmt::print(stderr, "(the context is full)\n");
  if (answer.forgotten > 0)
    fmt::print(stderr, "(the context is full: {} earlier messages are forgotten)\n",
               answer.forgotten);
}

struct Said {
  std::string text;
  bool quoted = false;  ///< between """, so that it is no command
};

/// One message: a line, several joined by \, or what stands between two """. Nothing at the end of
/// the input, and where Ctrl-C leaves what was begun.
std::optional<Said> read_message(LineReader& reader) {
  constexpr std::string_view kQuotes = "\"\"\"";
  std::optional<std::string> line = reader.read("> ");
  if (!line) return {};
  std::string text = *line;
  const bool quoted = text.starts_with(kQuotes);
  if (quoted) text.erase(0, kQuotes.size());
  while (quoted ? !text.ends_with(kQuotes) : text.ends_with('\\')) {
    line = reader.read(". ");
    if (!line && interrupted) return {};
    if (!line) return Said{text, quoted};
    if (!quoted)
      text.back() = '\n';
    else if (!text.empty())
      text += '\n';
    text += *line;
  }
  if (quoted) text.resize(text.size() - kQuotes.size());
  if (quoted && text.ends_with('\n')) text.pop_back();  // the quotes had a line of their own
  return Said{text, quoted};
}

/// Obeys a line that begins with a /. False: it ends the talk.
bool obey(const std::string& command, serve::Conversation& conversation) {
  constexpr std::string_view kSystem = "/system ";
  if (command == "/quit") return false;
  if (command == "/new")
    conversation.forget();
  else if (command.starts_with(kSystem))
    conversation.set_system(command.substr(kSystem.size()));
  else
    fmt::print(stderr, "{}", kHelp);
  return true;
}

int talk(serve::Conversation& conversation, const Options& options) {
  const bool at_terminal = isatty(STDIN_FILENO) != 0;
  LineReader reader(at_terminal, [] { return interrupted.load(); });
  if (at_terminal) fmt::print(stderr, "/help says what can be said beside questions.\n");
  catch_interrupts();
  while (true) {
    interrupted = false;
    const std::optional<Said> said = read_message(reader);
    if (!said) {
      if (at_terminal) fmt::print(stderr, "\n");
      if (!interrupted) return 0;
      if (!at_terminal) return kInterruptedExitCode;
      continue;
    }
    if (said->text.find_first_not_of(" \t\n\r") == std::string::npos) continue;
    if (!said->quoted && said->text.starts_with('/')) {
      if (!obey(said->text, conversation)) return 0;
      continue;
    }
    try {
      const serve::Answer answer = conversation.ask(said->text, listener(options.json));
      conclude(answer, options);
      // at a terminal an answer is stopped and the talk goes on; a list of questions is ended
      if (!at_terminal && answer.finish == serve::Finish::cancelled) return kInterruptedExitCode;
    } catch (const Error& error) {
      if (!at_terminal) throw;
      fmt::print(stderr, "{}\n", error.what());  // a text too long, say: the next may do
    }
  }
}

int run(const Options& options) {
  const serve::ConversationOptions wanted = conversation_options(options);
  const model_files::LanguageModel model = run::open_language_model(options.model);
  const auto generator = open_generator(model, options);
  if (!options.complete) {
    serve::Conversation conversation(model, *generator, wanted);
    return talk(conversation, options);
  }
  catch_interrupts();
  if (!options.json) fmt::print("{}", *options.complete);
  const serve::Answer answer =
      serve::complete(model, *generator, *options.complete, wanted, listener(options.json));
  conclude(answer, options);
  return answer.finish == serve::Finish::cancelled ? kInterruptedExitCode : 0;
}

}  // namespace

std::function<int()> chat(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  arguments.positional("MODEL", options->model,
                       "a GGUF file, a Hugging Face folder, a run, or a name such as smollm2");
  arguments.option("--system", options->system, "the system message (default: the model's own)");
  arguments.option("--complete", options->complete, "go on with this text instead of a talk");
  arguments.option("--temperature", options->temperature, "0: the most probable token always");
  arguments.option("--top-p", options->top_p, "draw from the fewest tokens that have this share");
  arguments.option("--top-k", options->top_k, "draw from so many tokens at most; 0: from all");
  arguments.option("--min-p", options->min_p,
                   "leave out tokens less probable than this share of the first's");
  arguments.option("--repetition-penalty", options->repetition_penalty,
                   "above 1: tokens that were there become less probable");
  arguments.option("--seed", options->seed, "another seed, other answers");
  arguments.option("--max-tokens", options->max_tokens,
                   "of an answer; 0: as many as the context holds");
  arguments.option("--context", options->context, "most tokens of a talk; 0: the model's own");
  arguments.option("--chat-format", options->chat_format,
                   "how the model reads a talk, where it does not say so itself");
  arguments.flag("--json", options->json, "print a JSON object a line: pieces of text, answers");
  return [options] { return run(*options); };
}

}  // namespace argosy::cli
