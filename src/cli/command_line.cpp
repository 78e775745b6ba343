#include "cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "base/nearest.h"
#include "base/threads.h"

namespace argosy::cli {
namespace {

using Setup = std::function<std::function<int()>(Arguments&)>;

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
    app_.add_option(flag, value, help)->required(required)->capture_default_str();
  }
  void option(const std::string& flag, std::optional<std::string>& value,
              const std::string& help) override {
    app_.add_option(flag, value, help);
  }
  void option(const std::string& flag, int64_t& value, const std::string& help) override {
    app_.add_option(flag, value, help)->capture_default_str();
  }
  void option(const std::string& flag, uint64_t& value, const std::string& help) override {
    const auto negative = [](const std::string& text) {
      return text.starts_with('-') ? text + " is negative; give a number from 0 on" : std::string();
    };
    app_.add_option(flag, value, help)->check(negative, "", "")->capture_default_str();
  }
  void option(const std::string& flag, double& value, const std::string& help) override {
    app_.add_option(flag, value, help)->capture_default_str();
  }
  void flag(const std::string& flag, bool& value, const std::string& help) override {
    app_.add_flag(flag, value, help);
  }
  void subcommand(const std::string& name, const std::string& help, const Setup& setup) override {
    app_.require_subcommand(1);
    add(app_, name, help, setup, chosen_);
  }

  static CLI::App* add(CLI::App& parent, const std::string& name, const std::string& help,
                       const Setup& setup, std::function<int()>& chosen) {
    CLI::App* app = parent.add_subcommand(name, help);
    AppArguments arguments(*app, chosen);
    if (auto run = setup(arguments)) app->callback([run, &chosen] { chosen = run; });
    return app;
  }

 private:
  CLI::App& app_;
  std::function<int()>& chosen_;
};

/// Help that opens with what the command does and its examples (kept in the app's footer).
class HelpPage : public CLI::Formatter {
 public:
  HelpPage() { column_width(32); }
  std::string make_description(const CLI::App* app) const override {
    std::string text = app->get_description() + "\n";
    if (!app->get_footer().empty()) text += "\n" + app->get_footer() + "\n\n";
    return text;
  }
  std::string make_footer(const CLI::App* app) const override {
    return app->get_parent() ? "Every command takes --threads N, --verbose and --quiet too.\n" : "";
  }
};

std::string indented(const std::string& lines) {
  std::string text = "  ";
  for (const char c : lines) {
    text += c;
    if (c == '\n') text += "  ";
  }
  return text;
}

/// "argosy data info"
std::string full_name(const CLI::App* app) {
  return app->get_parent() ? full_name(app->get_parent()) + " " + app->get_name() : app->get_name();
}

/// "did you mean NAME? " if one of `known` is spelt much like `name`.
std::string suggestion(const std::string& name, const std::vector<std::string>& known) {
  const std::string nearest = nearest_name(name, known);
  const bool alike = edit_distance(name, nearest) <= std::max<size_t>(2, name.size() / 3);
  return alike ? fmt::format("did you mean {}? ", nearest) : "";
}

std::vector<std::string> flags_of(CLI::App* app) {
  std::vector<std::string> flags;
  for (; app; app = app->get_parent())
    for (const CLI::Option* option : app->get_options())
      for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  return flags;
}

std::vector<std::string> commands_of(CLI::App* app) {
  std::vector<std::string> names;
  for (const CLI::App* below : app->get_subcommands(nullptr)) names.push_back(below->get_name());
  return names;
}

/// CLI11's complaint as a sentence that names the command and the way out.
Error as_error(const CLI::App& app, CLI::App* at, const CLI::ParseError& complaint) {
  const std::string see = fmt::format("see {} --help", full_name(at));
  const auto error = [&](const std::string& what, const std::string& fix) {
    return Error({.what = what, .where = full_name(at), .fix = fix});
  };
  const std::vector<std::string> unknown = app.remaining(true);
  if (unknown.empty()) {
    std::string what = complaint.what();
    return error(what.substr(0, what.find('\n')), see);
  }
  const std::string& first = unknown.front();
  if (first.size() > 1 && first[0] == '-') {
    const std::string flag = first.substr(0, first.find('='));
    return error("there is no flag " + flag, suggestion(flag, flags_of(at)) + see);
  }
  const std::vector<std::string> commands = commands_of(at);
  if (!commands.empty())
    return error("there is no command " + first, suggestion(first, commands) + see);
  return error(fmt::format("\"{}\" is one argument too many", first), see);
}

}  // namespace

std::function<int()> read_command_line(int argc, char** argv, std::span<const Command> commands) {
  CLI::App app("Argosy: recordings in, trained and measured policies out.", "argosy");
  app.formatter(std::make_shared<HelpPage>());
  app.set_version_flag("--version", ARGOSY_VERSION, "print the version");
  app.set_help_flag("-h,--help", "print this help");
  app.require_subcommand(1);
  app.fallthrough();
  bool verbose = false, quiet = false;
  int threads = 0;
  app.add_flag("--verbose", verbose, "say more");
  app.add_flag("--quiet", quiet, "only warnings and errors");
  app.add_option("--threads", threads, "threads that compute (default: the cores at hand)")
      ->check(CLI::Range(1, 1024));
  std::function<int()> chosen;
  for (const Command& command : commands)
    AppArguments::add(app, command.name, command.summary, command.setup, chosen)
        ->footer(indented(command.examples));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& complaint) {
    if (complaint.get_exit_code() == 0) {  // --help, --version
      app.exit(complaint);
      return [] { return 0; };
    }
    CLI::App* at = &app;  // the command that was being read
    while (!at->get_subcommands().empty()) at = at->get_subcommands().back();
    const bool nothing_asked = app.remaining(true).empty() && !commands_of(at).empty() &&
                               dynamic_cast<const CLI::RequiredError*>(&complaint);
    if (!nothing_asked) throw as_error(app, at, complaint);
    fmt::print(stderr, "{}", at->help(at == &app ? "" : full_name(at->get_parent())));
    return [] { return static_cast<int>(ErrorKind::input); };
  }
  if (verbose) log::set_level(log::Level::debug);
  if (quiet) log::set_level(log::Level::warning);
  // said to OpenMP on this thread, the one that computes, before oneDNN asks how many there are
  set_thread_count(threads > 0 ? threads : thread_count());
  return chosen;
}

}  // namespace argosy::cli
