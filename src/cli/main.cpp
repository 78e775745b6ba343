#include <signal.h>

#include <array>
#include <CLI/CLI.hpp>
#include <exception>
#include <memory>
#include <new>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "cli/commands.h"

namespace argosy::cli {
namespace {

constexpr Command kCommands[] = {
    {"doctor", "what this machine has, what is turned off and why", doctor},
#ifdef ARGOSY_WITH_DATA
    {"ingest", "turn recordings into a data set", ingest},
    {"data", "look into a data set", data},
    {"train", "train a model from a recipe, or go on with a run", train},
    {"eval", "measure a trained run", eval},
#endif
};

/// Arguments declared on a CLI11 app; remembers what to run.
class AppArguments : public Arguments {
 public:
  AppArguments(CLI::App& app, std::function<int()>& chosen) : app_(app), chosen_(chosen) {}

  void positional(const std::string& name, std::string& value, const std::string& help) override {
    app_.add_option(name, value, help)->required();
  }
  void positionals(const std::string& name, std::vector<std::string>& values,
                   const std::string& help, bool required) override {
    app_.add_option(name, values, help)->required(required);
  }
  void option(const std::string& flag, std::string& value, const std::string& help,
              bool required) override {
    app_.add_option(flag, value, help)->required(required);
  }
  void option(const std::string& flag, int64_t& value, const std::string& help) override {
    app_.add_option(flag, value, help)->capture_default_str();
  }
  void option(const std::string& flag, double& value, const std::string& help) override {
    app_.add_option(flag, value, help)->capture_default_str();
  }
  void flag(const std::string& flag, bool& value, const std::string& help) override {
    app_.add_flag(flag, value, help);
  }
  void subcommand(const std::string& name, const std::string& help,
                  const std::function<std::function<int()>(Arguments&)>& setup) override {
    app_.require_subcommand(1);
    add(app_, name, help, setup, chosen_);
  }

  static void add(CLI::App& parent, const std::string& name, const std::string& help,
                  const std::function<std::function<int()>(Arguments&)>& setup,
                  std::function<int()>& chosen) {
    CLI::App* app = parent.add_subcommand(name, help);
    AppArguments arguments(*app, chosen);
    if (auto run = setup(arguments)) app->callback([run, &chosen] { chosen = run; });
  }

 private:
  CLI::App& app_;
  std::function<int()>& chosen_;
};

int run(int argc, char** argv) {
  // a write past a size limit or into a closed pipe is an error where it happens, not a kill
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);

  CLI::App app("Argosy: recordings in, trained and measured policies out.", "argosy");
  app.set_version_flag("--version", ARGOSY_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  bool verbose = false, quiet = false;
  int threads = 0;
  app.add_flag("--verbose", verbose, "say more");
  app.add_flag("--quiet", quiet, "only warnings and errors");
  app.add_option("--threads", threads, "threads that compute (default: the cores at hand)")
      ->check(CLI::Range(1, 1024));
  std::function<int()> chosen;
  for (const Command& command : kCommands)
    AppArguments::add(app, command.name, command.summary, command.setup, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ErrorKind::input);
  }
  if (verbose) log::set_level(log::Level::debug);
  if (quiet) log::set_level(log::Level::warning);
  if (threads > 0) set_thread_count(threads);
  return chosen();
}

}  // namespace
}  // namespace argosy::cli

int main(int argc, char** argv) {
  using namespace argosy;
  restart_without_spinning(argv);
  try {
    return cli::run(argc, argv);
  } catch (const Error& error) {
    log::write(log::Level::warning, std::string("error: ") + error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    log::write(log::Level::warning,
               "error: this process: out of memory; use smaller batches or caches");
    return static_cast<int>(ErrorKind::device);
  } catch (const std::exception& bug) {
    log::write(log::Level::warning, std::string("bug: ") + bug.what() + "; please report it");
    return kBugExitCode;
  }
}
