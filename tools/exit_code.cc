#include "exit_code.h"

namespace zn::tools {

ExitCode ExitCodeOf(const Failure& failure) {
  switch (failure.error.code) {
    case ErrorCode::kBusy:
      return kExitStoreInUse;
    case ErrorCode::kNoSpace:
      return kExitNoSpace;
    case ErrorCode::kInternal:
      return kExitInternal;
    case ErrorCode::kCancelled:
      return kExitInterrupted;
    default:
      break;
  }
  switch (failure.fault) {
    case Fault::kUsage:
      return kExitUsage;
    case Fault::kFile:
      return kExitFile;
    case Fault::kStore:
      break;
  }
  return kExitStore;
}

std::string ExitCodeHelp() {
  return "Exit codes:\n"
         "  0    done\n"
         "  1    a file is missing, damaged, or of no known format\n"
         "  2    the options make no sense\n"
         "  3    the store cannot be opened, read or written\n"
         "  4    another process writes to the store\n"
         "  5    the disk is full\n"
         "  6    a bug: please report it\n"
         "  130  interrupted (143: terminated); the store is as it was\n";
}

}  // namespace zn::tools
