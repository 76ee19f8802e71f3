// Is everything there that the snapshots need?
#pragma once

#include "backup/repository.h"
#include "zn/engine/backup.h"

namespace zn::backup {

/// Loads the index; the caller holds a lock.
Result<BackupVerifySummary> VerifyRepository(Repository& repository,
                                             const BackupVerifyOptions& options,
                                             const BackupControl& control);

}  // namespace zn::backup
