// How the tools end: one table (docs/operations.md, "Exit codes").
#pragma once

#include <string>

#include "zn/engine/error.h"

namespace zn::tools {

enum ExitCode : int {
  kExitOk = 0,
  kExitFile = 1,        // a file to be read is missing, damaged, or of no known format
  kExitUsage = 2,       // options that make no sense
  kExitStore = 3,       // the store cannot be opened, read or written
  kExitStoreInUse = 4,  // another process writes to it
  kExitNoSpace = 5,     // the disk is full
  kExitInternal = 6,    // a bug
  kExitInterrupted = 130,
  kExitTerminated = 143,
};

/// What an error is about: the same code means other things of a file and of a store.
enum class Fault { kUsage, kFile, kStore };

struct Failure {
  Fault fault = Fault::kStore;
  Error error;
};

/// The one place where errors become exit codes.
ExitCode ExitCodeOf(const Failure& failure);

/// The table as text, for --help.
std::string ExitCodeHelp();

}  // namespace zn::tools
