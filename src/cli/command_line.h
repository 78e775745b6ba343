#pragma once
#include <functional>
#include <span>

#include "cli/command.h"

namespace argosy::cli {

/// What the command line asks for, ready to run; it gives the exit code. --help and --version are
/// answered here. Sets the level of the log and the number of threads.
///
/// throws   Error: an unknown command or flag (with the nearest one), a value missing or not fit
std::function<int()> read_command_line(int argc, char** argv, std::span<const Command> commands);

}  // namespace argosy::cli
