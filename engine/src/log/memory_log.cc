#include "log/memory_log.h"

namespace zn {

Result<std::unique_ptr<Log>> OpenMemoryLog(std::shared_ptr<MemoryFileSystem> disk,
                                           LogOptions options) {
  options.directory = "log";
  options.head_path = "head";
  options.quarantine = "quarantine";
  return OpenLog(std::move(disk), options);
}

}  // namespace zn
