// The frames and fields that an export asked for, read in windows of bounded memory; and what every
// format's exporter is handed.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "export.h"
#include "zn/engine/batch.h"
#include "zn/engine/snapshot.h"
#include "zn/engine/store.h"

namespace zn::tools {

/// An open store and the snapshot to export: only the frames and fields wanted, in their order.
class ExportSource {
 public:
  static tl::expected<std::unique_ptr<ExportSource>, Failure> Open(const ExportOptions& options);
  /// Of a store that is open already; options.store is not looked at.
  static tl::expected<std::unique_ptr<ExportSource>, Failure> Over(std::unique_ptr<Store> store,
                                                                   const ExportOptions& options);

  const Snapshot& snapshot() const { return snapshot_; }
  const std::vector<FieldDescriptor>& fields() const { return snapshot_.fields(); }
  int64_t frames() const { return snapshot_.frames(); }
  /// Every frame of the room and every field: what is exported is the commit itself.
  bool whole() const { return whole_; }
  const std::string& room() const { return room_; }
  const std::string& store_directory() const { return directory_; }
  /// What names this export's content: store, room, commit, frames, fields.
  const std::string& identity() const { return identity_; }

  /// Frames [first, first + count) with the fields given, in that order; a field that none of them
  /// has is a column with `present` all 0.
  Result<FrameBatch> Read(int64_t first, int64_t count, std::span<const FieldIndex> fields) const;
  /// How many frames of these fields make about `bytes`; at least 1.
  Result<int64_t> FramesFor(std::span<const FieldIndex> fields, int64_t bytes) const;
  std::vector<FieldIndex> AllFields() const;

 private:
  ExportSource() = default;
  std::unique_ptr<Store> store_;
  std::shared_ptr<Room> opened_;
  Snapshot snapshot_;
  std::string room_, directory_, identity_;
  bool whole_ = true;
};

/// A run: what to export, how to say how far it is, when to stop.
struct ExportJob {
  const ExportOptions& options;
  const ExportSource& source;
  const std::atomic<bool>& stop;
  const std::function<void(const Progress&)>& progress;
  ExportSummary& summary;

  /// Tells how far it is; kCancelled once it is to stop.
  Result<> Step(std::string_view what, double fraction, int64_t frames, int64_t bytes) const;
  Result<> Syncing(std::string_view what) const;
};

/// The formats. What they return is of the target, unless it is an error of the store's own
/// (kCorrupt, kNotFound).
Result<> ExportExtxyz(const ExportJob& job);
Result<> ExportH5md(const ExportJob& job);
Result<> ExportNpy(const ExportJob& job);
Result<> ExportNpz(const ExportJob& job);
Result<> ExportZarr(const ExportJob& job);
Result<> ExportZarrZip(const ExportJob& job);
Result<> ExportKerchunk(const ExportJob& job);

}  // namespace zn::tools
