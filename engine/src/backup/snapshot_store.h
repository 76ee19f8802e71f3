// A snapshot of a store, opened as a store to read from: the log's files are made when something in
// them is read, records of packs come straight from the repository.
#pragma once

#include <memory>
#include <string>

#include "backup/repository.h"
#include "zn/engine/store.h"

namespace zn::backup {

/// `scratch` is a directory for the log's files. The repository, its index loaded, must outlive the
/// store.
Result<std::unique_ptr<Store>> OpenSnapshotStore(const Repository& repository,
                                                 const SnapshotDocument& snapshot,
                                                 const std::string& scratch);

}  // namespace zn::backup
