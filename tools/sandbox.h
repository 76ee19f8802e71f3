// A process that parses a stranger's file gives up, before it looks at it, whatever it does not need for that.
#pragma once

#include <cstdint>

#include "zn/engine/error.h"

namespace zn::tools {

struct SandboxLimits {
  int64_t memory_bytes = int64_t{4} << 30;  // of address space
  int64_t cpu_seconds = 3600;
};

/// From here on, for all threads to come: no network, no other programs, no file opened but `file` (for reading), none
/// written but what is open already, bounded memory and processor time. A fault ends the process without a core.
/// Landlock restricts the file system where the kernel has it (5.13 on); seccomp does the rest. kUnsupported when the
/// kernel has no seccomp. REQUIRES: one thread.
Result<> EnterSandbox(int file, const SandboxLimits& limits);

}  // namespace zn::tools
