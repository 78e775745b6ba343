#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace argosy::cli {

/// Declares what a command takes. A thin face of CLI11, so that its heavy header is in main.cpp
/// only. The variables must outlive the parse: they live in the command's setup closure.
class Arguments {
 public:
  virtual ~Arguments() = default;
  virtual void positional(const std::string& name, std::string& value, const std::string& help) = 0;
  virtual void positionals(const std::string& name, std::vector<std::string>& values,
                           const std::string& help, bool required = true) = 0;
  virtual void option(const std::string& flag, std::string& value, const std::string& help,
                      bool required = false) = 0;
  virtual void option(const std::string& flag, std::optional<std::string>& value,
                      const std::string& help) = 0;
  virtual void option(const std::string& flag, int64_t& value, const std::string& help) = 0;
  virtual void option(const std::string& flag, uint64_t& value, const std::string& help) = 0;
  virtual void option(const std::string& flag, double& value, const std::string& help) = 0;
  virtual void flag(const std::string& flag, bool& value, const std::string& help) = 0;
  /// A command below this one ("data info"); `setup` is called like Command::setup.
  virtual void subcommand(const std::string& name, const std::string& help,
                          const std::function<std::function<int()>(Arguments&)>& setup) = 0;
};

/// One row of the program. `setup` declares the arguments and returns what runs after the parse and
/// gives the exit code (empty for a command that only has subcommands).
struct Command {
  const char* name;
  const char* summary;
  const char* examples;  ///< whole command lines, one a line; --help opens with them
  std::function<int()> (*setup)(Arguments&);
};

}  // namespace argosy::cli
