// Packs on a disk in memory, for tests: the same code as the local one, on a disk that fails and
// forgets on demand.
#pragma once

#include <memory>

#include "base/memory_file_system.h"
#include "pack/pack_store.h"

namespace zn {

/// OpenPackStore with files packs/NNNNNN.* on `disk`; the paths in `options` are replaced.
Result<std::unique_ptr<PackStore>> OpenMemoryPackStore(std::shared_ptr<MemoryFileSystem> disk,
                                                       PackStoreOptions options = {});

}  // namespace zn
