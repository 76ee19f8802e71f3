// The frames of a request, read window by window, so that a reply of any size is made in bounded
// memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/frames_query.h"
#include "api/rows.h"

namespace zn::server {

/// Reads what a FramesQuery names. One thread at a time. Batches have one column a requested field,
/// in that order, with computed columns (n_atoms, symbols) made; a column of a field that none of
/// the window's frames has is there with `present` all 0.
class FrameSource {
 public:
  /// How windows are cut: by all fields together when frames are made one after the other, by the
  /// largest field when each field is a pass of its own.
  enum class Cut { kAllFields, kLargestField };

  static Result<std::shared_ptr<FrameSource>> Open(FramesQuery query, Cut cut);

  const FramesQuery& query() const { return query_; }
  int64_t frames() const { return query_.selection.size(); }
  int64_t window_frames() const { return window_; }
  int64_t windows() const { return (frames() + window_ - 1) / window_; }
  int64_t WindowSize(int64_t w) const { return std::min(window_, frames() - w * window_); }

  /// Of window w; valid until another window's are asked for.
  Result<const std::vector<FrameId>*> Ids(int64_t w);
  /// All requested fields. Valid until the next call of Batch.
  Result<const FrameBatch*> Batch(int64_t w);
  /// One field (its only column); read on its own unless the whole selection is one window.
  Result<std::shared_ptr<const FrameBatch>> FieldBatch(int64_t w, size_t field);
  /// n_atoms after `atoms`.
  Result<std::vector<int32_t>> AtomCounts(int64_t w);
  Result<std::vector<int64_t>> Versions(int64_t w);

  /// The descriptor of a requested field as replies show it (symbols are kJson, n_atoms an int32 a
  /// frame).
  const FieldDescriptor& descriptor(size_t field) const { return descriptors_[field]; }
  /// Whether every frame of the room is known to have it, without looking at the selection.
  Result<bool> InAllFrames(size_t field) const;

  /// Appends the rows of a numeric field in window w, joined: pinned in the cache where they are
  /// large and resident, read otherwise. False when it cannot be done without a batch (presence,
  /// conversions): use FieldBatch.
  Result<bool> PinRows(int64_t w, size_t field, class PieceWriter* out);

  /// Drops fields (by `unless`); positions in query().fields shift.
  void DropFields(const std::vector<bool>& dropped);

  /// Cuts windows so that frames of `bytes` each stay within the usual size: padding can make them
  /// far larger than they were taken for.
  void NarrowWindows(int64_t bytes);

  /// CheckReply for the least that the selection comes to, before anything of it is read.
  Result<> CheckSize();
  /// 400 with a hint when `bytes` are over --max-reply.
  Result<> CheckReply(uint64_t bytes) const;

 private:
  explicit FrameSource(FramesQuery query) : query_(std::move(query)) {}
  Result<> ChooseWindow(Cut cut);
  Result<FrameBatch> Read(int64_t w, std::span<const FieldRequest> fields);
  Result<FrameBatch> ReadFields(std::span<const FrameId> ids, std::span<const FieldIndex> fields);
  void DescribeFields();

  FramesQuery query_;
  std::vector<FieldDescriptor> descriptors_;
  int64_t window_ = 1;
  int64_t ids_window_ = -1;
  std::vector<FrameId> ids_;
  int64_t batch_window_ = -1;
  std::shared_ptr<FrameBatch> batch_;
};

}  // namespace zn::server
