// How much memory this process can count on.
#pragma once

#include <cstdint>

namespace zn {

/// Bytes: the machine's, or the smallest limit of the control groups that the process is in
/// (versions 1 and 2).
int64_t MemoryLimit();

}  // namespace zn
