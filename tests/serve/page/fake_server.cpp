// A server whose model says what it is told, to try pages and clients with: fake_server [PORT
// [KEY]]
#include <fmt/format.h>

#include <thread>

#include "base/error.h"
#include "base/signals.h"
#include "serve/api.h"
#include "serve/fake_model.h"
#include "serve/http_server.h"

int main(int argc, char** argv) {
  using namespace argosy;
  serve::ServerOptions options;
  options.port = argc > 1 ? std::stoi(argv[1]) : 0;
  serve::Api api({.key = argc > 2 ? argv[2] : ""});
  try {
    serve::Server server(
        options, [&](const auto& exchange) { api.handle(exchange); },
        [&](const auto& request, const auto& ended) { api.ended(request, ended); });
    const test::ByteTokenizer tokenizer;
    test::EchoGenerator generator(4096, std::chrono::milliseconds(2));
    const serve::ServedModel model("echo", tokenizer, generator,
                                   text::ChatTemplate::named("chatml"));
    api.open(model);
    fmt::print("{}\n", server.port());
    std::fflush(stdout);
    stop_on_signals();
    while (!stop_asked) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    server.stop(2);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return error.exit_code();
  }
}
