#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "cli/command_line.h"
#include "cli/commands.h"

namespace argosy::cli {
namespace {

constexpr Command kCommands[] = {
    {"doctor", "what this machine has, what is turned off and why",
     "argosy doctor\n"
     "argosy doctor --json - | jq .machine",
     doctor},
    {"data", "look into a data set, or make one of texts",
#ifdef ARGOSY_WITH_DATA
     "argosy data info out/drives\n"
     "argosy data check out/drives\n"
     "argosy data row out/drives 0 100\n"
#ifdef ARGOSY_WITH_QUERY
     "argosy data query out/drives \"SELECT split, count(*) FROM episodes GROUP BY split\"\n"
#endif
     "argosy data view out/drives --episodes 0-3 --run runs/drive --to out/episodes.html\n"
#endif
     "argosy data tokens books/ --vocabulary 8192 --to out/books\n"
     "argosy data tokens chats.jsonl --tokenizer smollm2 --to out/chats",
     data},
#ifdef ARGOSY_WITH_DATA
    {"ingest", "turn recordings into a data set, or add them to one",
     "argosy ingest recordings/data_2 recordings/data_3 --to out/drives\n"
     "argosy ingest recordings/* --to out/drives --known skip",
     ingest},
#endif
    {"train", "train a model from a recipe, or go on with a run",
     "argosy train recipes/drive.toml data.path=out/drives --to runs/drive\n"
     "argosy train recipes/drive.toml data.path=out/drives training.epochs=5 --to runs/short\n"
     "argosy train recipes/grok-tiny.toml data.path=text.txt --to runs/grok",
     train},
    {"eval", "measure a trained run on episodes, tracks or a text that training never saw",
     "argosy eval runs/drive --data out/drives --report out/report.html\n"
     "argosy eval runs/fleet --world track --tracks 20 --report out/fleet.html --film "
     "out/fleet.mp4\n"
     "argosy eval runs/drive --data out/drives --checkpoint best --json -\n"
     "argosy eval runs/grok --data text.txt",
     eval},
#ifdef ARGOSY_WITH_DATA
    {"drive", "let a trained policy drive by a camera, a stream, a video or in a simulated world",
     "argosy drive runs/drive --input /dev/video0 --output - | motors\n"
     "argosy drive runs/drive --input udp://0.0.0.0:5000 --output controls.jsonl --record out/tub\n"
     "argosy drive runs/drive --input clip.mp4 --output controls.jsonl\n"
     "argosy drive runs/drive --world track --seed 7 --film out/drive.mp4",
     drive},
#endif
#if defined(ARGOSY_WITH_DATA) && defined(ARGOSY_WITH_WORLD)
    {"fleet", "simulated cars that record as real ones do, and a policy that learns from them",
     "argosy fleet record --cars 6 --minutes 3 --to out/recordings\n"
     "argosy fleet record --cars 2 --minutes 1 --difficulty hard --seed 7 --to out/hard\n"
     "argosy fleet improve runs/fleet --data out/fleet --to out/improve --report out/improve.html",
     fleet},
#endif
    {"model", "language models: get, look into, quantize, export",
     "argosy model get smollm2\n"
     "argosy model info smollm2\n"
     "argosy model quantize smollm2 --format q8_0 --to out/smollm2-q8.gguf\n"
     "argosy model export smollm2 --to out/smollm2",
     model},
    {"chat", "talk to a language model, or let it go on with a text",
     "argosy chat smollm2\n"
     "argosy chat model.gguf --system \"You answer in one sentence.\" --temperature 0\n"
     "argosy chat runs/grok --complete \"ROMEO:\"",
     chat},
#ifdef ARGOSY_WITH_SERVER
    {"serve", "a language model for OpenAI's clients and for browsers",
     "argosy serve smollm2\n"
     "argosy serve model.gguf --host 0.0.0.0 --port 8000 --api-key KEY\n"
     "curl http://127.0.0.1:8080/v1/chat/completions -d "
     "'{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}'",
     serve},
#endif
    {"bench",
     "time training steps and language models, the same as bench/compare and\n"
     "bench/decode_compare time in PyTorch and llama.cpp",
     "argosy bench list\n"
     "argosy bench train --case gpt\n"
     "argosy bench train --recipe recipes/drive.toml\n"
     "argosy bench decode --model smollm2",
     bench},
    {"profile",
     "a training step op by op: time, share, GFLOP/s, GB/s, share of the machine's bound",
     "argosy profile --case gpt\n"
     "argosy profile --recipe recipes/drive.toml --trace step.json",
     profile},
};

int run(int argc, char** argv) {
  // a write past a size limit or into a closed pipe is an error where it happens, not a kill
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  const int exit_code = read_command_line(argc, argv, kCommands)();
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category());
  return exit_code;
}

}  // namespace
}  // namespace argosy::cli

int main(int argc, char** argv) {
  using namespace argosy;
  const auto say = [](const std::string& text) { log::write(log::Level::error, text); };
  try {
    return cli::run(argc, argv);
  } catch (const Error& error) {
    say(error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    say("this process: out of memory; use smaller batches or caches");
    return static_cast<int>(ErrorKind::device);
  } catch (const std::exception& bug) {
    const auto* failure = dynamic_cast<const std::system_error*>(&bug);
    if (failure && std::ferror(stdout)) {    // {fmt} or the last flush could not print
      if (failure->code().value() != EPIPE)  // the reader of a pipe may have had enough
        say(file_error("write", "standard output", failure->code().value()).what());
      return static_cast<int>(ErrorKind::file);
    }
    say(std::string("this is a bug: ") + bug.what() + "; please report it");
    return kBugExitCode;
  }
}
