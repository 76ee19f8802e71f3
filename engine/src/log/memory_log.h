// A log on a disk in memory, for tests: the same code as the local one, on a disk that fails and
// forgets on demand.
#pragma once

#include <memory>

#include "base/memory_file_system.h"
#include "log/log.h"

namespace zn {

/// OpenLog with files log/NNNNNN.log, head and quarantine/ on `disk`; the paths in `options` are
/// replaced.
Result<std::unique_ptr<Log>> OpenMemoryLog(std::shared_ptr<MemoryFileSystem> disk,
                                           LogOptions options = {});

}  // namespace zn
