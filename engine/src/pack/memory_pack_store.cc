#include "pack/memory_pack_store.h"

namespace zn {

Result<std::unique_ptr<PackStore>> OpenMemoryPackStore(std::shared_ptr<MemoryFileSystem> disk,
                                                       PackStoreOptions options) {
  options.directory = "packs";
  options.quarantine = "quarantine";
  return OpenPackStore(std::move(disk), options);
}

}  // namespace zn
