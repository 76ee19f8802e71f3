// Opening a store whose log and packs are on another disk than the local one: for tests under faults.
#pragma once

#include <memory>
#include <string>

#include "base/file_system.h"
#include "room/fold_policy.h"
#include "zn/engine/store.h"

namespace zn::internal {

/// As Store::Open; superblock, lock and cache stay local, in `directory`. A `fold_policy` that folds often shows in short
/// tests what happens in long histories.
Result<std::unique_ptr<Store>> OpenStoreOn(std::shared_ptr<FileSystem> disk, const std::string& directory,
                                           const StoreOptions& options,
                                           const FoldPolicy& fold_policy = {});

}  // namespace zn::internal
