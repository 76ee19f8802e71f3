// What zn-import does, without its command line and its terminal.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "report.h"
#include "zn/engine/batch.h"
#include "zn/engine/room.h"
#include "zn/formats/reader.h"

namespace zn::tools {

struct ImportOptions {
  std::vector<std::string> files;  // in this order; "" of none
  std::string store, room;         // directory, name; may be empty with dry_run
  std::string base;                // "ROOM" or "ROOM@COMMIT" that a new room is forked from first
  std::string format;              // "": by content
  formats::ReadOptions read;       // start, stop and step count within each file
  LayoutOptions layout;
  CommitContext context;
  int threads = 0;       // 0: one a core
  bool dry_run = false;  // reads everything, opens no store
};

/// What of a field was in the files.
struct FieldTally {
  FieldKind kind = FieldKind::kFrame;
  DType dtype = DType::kFloat64;
  Shape inner;
  std::string unit;         // "" when none is known
  std::string source_unit;  // what it was converted from, or kept in
  int64_t frames = 0;       // that have it
  int64_t bytes = 0;
};

using ImportProgress = Progress;

struct ImportSummary {
  int64_t frames = 0, atoms = 0, raw_bytes = 0;
  int32_t atoms_min = 0, atoms_max = 0;  // of a frame
  int64_t stored_bytes = 0, deduplicated_bytes = 0, chunks = 0;
  std::map<std::string, FieldTally> fields;
  std::vector<std::pair<std::string, formats::Warning>>
      warnings;  // with the file, or "" of the store's own
  bool created_room = false;
  std::string commit;       // "" with dry_run
  int64_t room_frames = 0;  // afterwards
};

/// Adds a batch's columns to the tallies by name.
void AddToTally(const FrameBatch& batch, std::map<std::string, FieldTally>& fields);

/// All files in one commit: on any failure, and when `stop` becomes true (kCancelled), the store is
/// as it was, and a directory that was made for it is removed. `progress` is called after every
/// batch, from this thread.
tl::expected<ImportSummary, Failure> Import(
    const ImportOptions& options, const std::atomic<bool>& stop,
    const std::function<void(const ImportProgress&)>& progress);

}  // namespace zn::tools
