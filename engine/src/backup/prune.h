// Forgetting snapshots, and giving back the space that only they needed.
//
// In this order, each step durable before the next, so that a crash anywhere leaves a whole
// repository, perhaps with more in it than it needs:
//   1  snapshots that no rule keeps are removed
//   2  bundles of which too little is needed: what is needed of them is written into new ones
//   3  one new index of all bundles that stay
//   4  the old indexes are removed
//   5  the bundles that are in no index any more are removed
#pragma once

#include <vector>

#include "backup/repository.h"
#include "zn/engine/backup.h"

namespace zn::backup {

/// What was decided; BackupSnapshots are the caller's to make.
struct Pruned {
  std::vector<SnapshotDocument> kept, removed;
  PruneSummary summary;
};

/// Loads the index; the caller holds the exclusive lock. kCorrupt, and nothing is done, when a
/// snapshot or list that stays cannot be read: nobody knows then what is needed.
Result<Pruned> PruneRepository(Repository& repository, const PruneOptions& options,
                               const BackupControl& control);

}  // namespace zn::backup
