// All columns of a batch against a room's fields: indices, definitions, conversions.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "room/field_merge.h"
#include "room/state.h"
#include "room/store_core.h"

namespace zn::internal {

/// Accumulates the definitions that batches of one commit need on top of a room's fields.
class ColumnMerger {
 public:
  ColumnMerger(StoreCore& core, std::shared_ptr<const FieldTable> table, LayoutOptions layout, MergeMode mode);

  struct Merged {
    uint32_t field = 0;
    int32_t lengths = -1;  // the internal field of a ragged one's row counts
    uint16_t geometry_index = 0;
    Geometry geometry;
    std::shared_ptr<const CodecPipeline> pipeline;
    Column column;
  };
  Result<Merged> Merge(const FrameBatch& batch, const Column& column);

  /// Atom counts that stand for the frames to come: new per-atom fields are laid out by them instead of by their batch.
  void UseCounts(std::vector<int64_t> counts) { typical_counts_ = std::move(counts); }

  /// The batch's atom counts, or a ragged column's lengths, as a column of their internal field.
  Result<Merged> Counts(const FrameBatch& batch);
  Result<Merged> Lengths(const Merged& ragged);

  /// One for each field that is new or differs from the table it began with, in the order of indices.
  std::vector<FieldDefineOp> Definitions() const;
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  struct Field {
    FieldDescriptor descriptor;
    int32_t lengths = -1;
    bool internal = false;
    bool changed = false;
  };
  Result<Merged> MergeInto(std::string_view name, const Column& column, std::span<const int64_t> counts, bool internal);
  uint32_t LengthsFieldOf(uint32_t field);

  StoreCore& core_;
  const LayoutOptions layout_;
  const MergeMode mode_;
  std::vector<Field> fields_;
  std::unordered_map<std::string, uint32_t> by_name_;
  std::vector<int64_t> typical_counts_;
  std::vector<std::string> warnings_;
};

}  // namespace zn::internal
