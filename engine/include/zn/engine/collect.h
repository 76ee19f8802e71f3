// Giving space back: what no room, no kept commit, no held snapshot and no reader in another
// process leads to any more.
//
// Rooms' past beyond their retention is let go first. Then everything that is still needed is
// marked, packs less than half alive are copied into new ones and removed, and so are log files
// that nothing refers to; of other log files the blocks between living records are given back to
// the disk where it can. Readers and writers go on meanwhile; a crash at any moment loses nothing,
// and leaves at most copies that the next collection drops.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "zn/engine/room.h"

namespace zn {

struct CollectOptions {
  bool dry_run = false;          // only tell; also for a store that is open for reading
  int64_t bytes_per_second = 0;  // of reading and copying; 0: as fast as it goes
  double live_below = 0.5;       // packs that are less alive than this are rewritten
  std::map<std::string, Retention>
      as_if;  // of a dry run: what rooms would keep, instead of what they are set to
  const std::atomic<bool>* cancel = nullptr;
};

struct CollectProgress {
  std::string_view
      stage;  // "mark" (bytes of nodes and commits read; total unknown: 0) or "copy" (bytes)
  int64_t done = 0, total = 0;
};

struct CollectSummary {
  int64_t packs = 0, pack_bytes = 0, pack_live_bytes = 0;  // those looked at, before
  int64_t log_files = 0, log_bytes = 0, log_live_bytes = 0;
  int64_t commits_followed = 0, nodes_followed = 0;
  int64_t commits_pruned = 0;                      // let go by retention, in this collection
  int64_t packs_rewritten = 0, packs_removed = 0;  // with dry_run: that would be, as all below
  int64_t copied_bytes = 0;
  int64_t log_files_removed = 0;
  int64_t freed_bytes =
      0;  // given back to the disk, by this collection and those before that had to wait
  int64_t waiting_bytes =
      0;  // to be given back once readers in other processes let go of older snapshots
  int64_t waiting_readers = 0;
};

}  // namespace zn
