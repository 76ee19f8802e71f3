// Mending a store that nobody has open: what zn-fsck --repair does, as a library.
// docs/operations.md, "When a store is damaged".
//
// A damaged or missing record is healed from its own bytes (when only its header is hurt), from
// another record of its name, from the cache (encoded again), or from a backup; each copy counts
// only if its SHA-256 is the record's name. It is put where it was, so that references stay as they
// are. Groups of the log, indexes, refs and `head` are made again from what is whole. What cannot
// be healed is marked: reading it says so, and everything else can be read.
//
// Nothing is deleted: what is taken out or overwritten is in quarantine/, with a text that says
// why. Whenever the process is killed, another run goes on: a file is made anew beside its place,
// synced, renamed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "zn/engine/backup.h"
#include "zn/engine/check.h"
#include "zn/engine/error.h"

namespace zn {

struct RepairOptions {
  CheckOptions check;
  bool dry_run = true;                 // say what would be done
  BackupRepository* backup = nullptr;  // may have what the store has lost; must outlive the call
  std::function<int64_t()> clock;      // Unix time in nanoseconds; tests pass their own
};

/// What was done, or would be.
struct RepairAction {
  enum Kind {
    kHealed,    // "healed": as it was, byte for byte
    kRebuilt,   // "rebuilt": made again from what is whole
    kMoved,     // "quarantined": out of the way
    kMarked,    // "lost": no copy was found; reading it says so
    kUnmended,  // "not mended"
  } kind = kHealed;
  std::string object;   // as in Finding
  std::string message;  // from where, or why not
};
/// "healed", ...
std::string_view RepairActionName(RepairAction::Kind kind);

struct RepairSummary {
  CheckSummary check;  // as it was found
  int64_t healed = 0, rebuilt = 0, moved = 0, marked = 0, unmended = 0;
  int64_t actions() const { return healed + rebuilt + moved + marked + unmended; }
  bool all_mended() const { return marked == 0 && unmended == 0; }
};

/// Checks the store, tells what was found, and mends it unless `dry_run`. Errors as CheckStore's;
/// kCancelled between two files leaves what was done. All functions are called on the calling
/// thread.
Result<RepairSummary> RepairStore(const std::string& directory, const RepairOptions& options,
                                  const std::function<void(const Finding&)>& report,
                                  const std::function<void(const RepairAction&)>& act,
                                  const std::function<void(const CheckProgress&)>& progress = {});

}  // namespace zn
