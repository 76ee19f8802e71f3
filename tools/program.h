// What every tool's main does alike: stopping in good order, and saying why it failed.
#pragma once

#include <atomic>

#include "exit_code.h"

namespace zn::tools {

/// From now on the first SIGINT or SIGTERM sets the flag that is returned, and a second one ends
/// the program at once; SIGPIPE is an error of write(2).
const std::atomic<bool>& StopOnSignals();

/// What an interrupted program ends with: 130 after SIGINT, 143 after SIGTERM.
int InterruptedExit();

/// Says what went wrong, on standard error and with `json` as a line on standard output, too.
/// Returns the exit code.
int End(const char* program, const Failure& failure, bool json);

}  // namespace zn::tools
