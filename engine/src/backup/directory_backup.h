// Backing up and restoring a directory of files: a Zarr hierarchy.
#pragma once

#include <string>
#include <vector>

#include "backup/object_writer.h"
#include "backup/snapshot_document.h"
#include "backup/store_restore.h"
#include "zn/engine/backup.h"

namespace zn::backup {

/// Does a Zarr group or array begin here?
bool IsZarr(const std::string& directory);

/// Fills in `snapshot`'s files, bytes and damaged. Files that are as in `parent` (null: none; same
/// size, and times of the last change of content and of anything else) are not read. Not one
/// moment: files are taken one after the other.
Result<> BackUpDirectory(const Repository& repository, ObjectWriter& writer,
                         const std::string& directory, const SnapshotDocument* parent,
                         const BackupControl& control, SnapshotDocument& snapshot);

/// Into `target`, which may hold what an earlier run restored.
Result<RestoreSummary> RestoreDirectory(const Repository& repository,
                                        const SnapshotDocument& snapshot, const std::string& target,
                                        const RestoreOptions& options,
                                        const BackupControl& control);

}  // namespace zn::backup
