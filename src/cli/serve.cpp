#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>

#include "base/byte_size.h"
#include "base/error.h"
#include "base/log.h"
#include "base/signals.h"
#include "cli/commands.h"
#include "cli/limits.h"
#include "run/language_model.h"
#include "serve/api.h"
#include "serve/conversation.h"
#include "serve/http_server.h"

namespace argosy::cli {
namespace {

constexpr const char* kCommand = "argosy serve";

struct Options {
  std::string model, name, key, cors, chat_format, cache = "1 GiB";
  serve::ServerOptions server;
  int64_t context = 0, parallel = 16;
  double grace_s = 10;
};

void check_options(const Options& options) {
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  const serve::ServerOptions& server = options.server;
  require(server.port >= 0 && server.port <= 65535, kCommand, "--port", number(server.port),
          "0 to 65535");
  require(options.context >= 0, kCommand, "--context", number(options.context), "0 or more tokens");
  require(options.parallel >= 1 && options.parallel <= 64, kCommand, "--parallel",
          number(options.parallel), "1 to 64");
  require(options.grace_s >= 0 && options.grace_s <= 3600, kCommand, "--grace", options.grace_s,
          "0 to 3600 s");
  require(server.connections >= 1 && server.connections <= 1'000'000, kCommand, "--connections",
          number(server.connections), "1 to 1000000");
}

/// A model whose template is of no known format can still continue texts.
std::optional<text::ChatTemplate> chat_of(const model_files::LanguageModel& model,
                                          const std::string& format) {
  if (!format.empty()) return serve::chat_template_of(model, format);
  try {
    return serve::chat_template_of(model, format);
  } catch (const Error& error) {
    log::warning("no conversations, texts alone: {}", error.what());
    return {};
  }
}

int run(const Options& options) {
  check_options(options);
  const size_t cache_bytes = read_byte_size(options.cache, "--cache");
  stop_on_signals();
  const bool local = serve::is_local(options.server.host);
  serve::Api api({.key = options.key, .cors_origin = options.cors, .local = local});
  // listens first: what is wrong with the address is said before the model is loaded
  serve::Server server(
      options.server, [&](const auto& exchange) { api.handle(exchange); },
      [&](const auto& request, const auto& ended) { api.ended(request, ended); });
  const model_files::LanguageModel model = run::open_language_model(options.model);
  auto chat = chat_of(model, options.chat_format);
  const auto generator = serve::open_generator(
      model,
      {.context = options.context, .sequences = options.parallel, .cache_bytes = cache_bytes});
  const serve::ServedModel served(options.name.empty() ? model.name : options.name,
                                  *model.tokenizer, *generator, std::move(chat));
  api.open(served);
  const bool ipv6 = options.server.host.find(':') != std::string::npos;
  log::info("{} is served at http://{}{}{}:{}/ (chat page; OpenAI's API below /v1)", served.name,
            ipv6 ? "[" : "", options.server.host, ipv6 ? "]" : "", server.port());
  if (options.key.empty() && !local)
    log::warning("others reach this server, and no key is asked for; give --api-key");
  while (!stop_asked) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  log::info("stopping: what runs has {} s to end", options.grace_s);
  server.stop(options.grace_s);
  return 0;
}

}  // namespace

std::function<int()> serve(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  arguments.positional("MODEL", options->model,
                       "a GGUF file, a folder, a training run or a known name (smollm2)");
  arguments.option("--host", options->server.host,
                   "the address to listen at; 0.0.0.0: every one of this machine");
  arguments.option("--port", options->server.port, "0: any free one");
  arguments.option("--api-key", options->key,
                   "what clients must send; else $ARGOSY_API_KEY; none: nothing");
  arguments.option("--name", options->name, "of the model in the API; else its own");
  arguments.option("--chat-format", options->chat_format,
                   "how conversations are written; else as the model's files say");
  arguments.option("--context", options->context,
                   "most tokens of a prompt and its answer; 0: as the model has it");
  arguments.option("--parallel", options->parallel, "answers written at a time; more wait");
  arguments.option("--cache", options->cache, "memory for keys and values of all answers");
  arguments.option("--connections", options->server.connections, "open at a time");
  arguments.option("--cors", options->cors,
                   "pages of this origin may ask too, https://app.example; *: all pages");
  arguments.option("--grace", options->grace_s,
                   "seconds that answers have to end when the server is stopped");
  return [options] {
    if (const char* key = std::getenv("ARGOSY_API_KEY"); options->key.empty() && key)
      options->key = key;
    return run(*options);
  };
}

}  // namespace argosy::cli
