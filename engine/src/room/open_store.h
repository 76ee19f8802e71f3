// Opening a store whose log and packs are elsewhere than on the local disk: in a backup, or, for tests, on one that fails.
#pragma once

#include <memory>
#include <string>

#include "base/file_system.h"
#include "log/log.h"
#include "pack/pack_store.h"
#include "room/fold_policy.h"
#include "zn/engine/store.h"

namespace zn::internal {

/// Small ones make many files of a short test, and many steps of a collection.
struct StoreSizes {
  int64_t pack_bytes = int64_t{1} << 30;
  int64_t log_file_bytes = 64 << 20;
  int64_t collect_step = 64 << 10;  // bytes that a collection reads or copies before it waits and tells
};

/// What a store is put together from.
struct StoreSeams {
  std::shared_ptr<FileSystem> disk;  // of log and packs; null: the local one
  std::unique_ptr<PackStore> packs;  // null: those on the disk
  FoldPolicy fold_policy;
  StoreSizes sizes;
  uint64_t epoch_step = 1;  // by how much opening for writing raises the epoch
};
/// As Store::Open; superblock, lock and cache stay local, in `directory`.
Result<std::unique_ptr<Store>> OpenStoreWith(StoreSeams seams, const std::string& directory, const StoreOptions& options);

/// The same with another disk. A `fold_policy` that folds often shows in short
/// tests what happens in long histories.
Result<std::unique_ptr<Store>> OpenStoreOn(std::shared_ptr<FileSystem> disk, const std::string& directory,
                                           const StoreOptions& options,
                                           const FoldPolicy& fold_policy = {}, const StoreSizes& sizes = {});

}  // namespace zn::internal
