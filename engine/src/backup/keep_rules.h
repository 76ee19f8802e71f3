// Which snapshots stay.
#pragma once

#include <span>
#include <vector>

#include "backup/snapshot_document.h"
#include "zn/engine/backup.h"

namespace zn::backup {

/// For each of `snapshots`, which are sorted by time: does a rule keep it? Sources (a store by its
/// UUID, a directory by host and path) are judged each for itself. Without any rule all are kept.
std::vector<bool> ChooseKept(std::span<const SnapshotDocument> snapshots, const KeepRules& rules);

}  // namespace zn::backup
