#include "room/column_merger.h"

#include <cstring>

namespace zn::internal {
namespace {

// Field names hold no control characters, so an internal name collides with none.
std::string LengthsName(const std::string& field) { return field + "\x1f" + "lengths"; }

}  // namespace

ColumnMerger::ColumnMerger(StoreCore& core, std::shared_ptr<const FieldTable> table, LayoutOptions layout,
                           MergeMode mode)
    : core_(core), layout_(std::move(layout)), mode_(mode) {
  for (const auto& info : table->all) {
    by_name_.emplace(info->descriptor.name, static_cast<uint32_t>(fields_.size()));
    fields_.push_back({info->descriptor, info->lengths, info->internal, false});
  }
}

Result<ColumnMerger::Merged> ColumnMerger::MergeInto(std::string_view name, const Column& column,
                                                     std::span<const int64_t> counts, bool internal) {
  const auto known = by_name_.find(std::string(name));
  const FieldDescriptor* existing = known == by_name_.end() ? nullptr : &fields_[known->second].descriptor;
  // Counts are small integers whatever the caller's wishes for data are.
  ZN_ASSIGN_OR_RETURN(MergedColumn merged, MergeColumn(existing, column, counts, typical_counts_,
                                                       internal ? LayoutOptions{} : layout_,
                                                       internal ? MergeMode::kStrict : mode_));
  Merged result;
  if (known == by_name_.end()) {
    result.field = static_cast<uint32_t>(fields_.size());
    by_name_.emplace(std::string(name), result.field);
    fields_.push_back({std::move(merged.descriptor), -1, internal, true});
  } else {
    result.field = known->second;
    if (merged.changed) {
      fields_[result.field].descriptor = std::move(merged.descriptor);
      fields_[result.field].changed = true;
    }
  }
  if (!merged.warning.empty()) warnings_.push_back(std::move(merged.warning));
  result.geometry_index = merged.geometry;
  result.geometry = fields_[result.field].descriptor.geometries[merged.geometry];
  result.column = std::move(merged.column);
  ZN_ASSIGN_OR_RETURN(result.pipeline, core_.pipelines.Get(result.geometry.codecs, result.geometry.dtype));
  if (result.geometry.kind == FieldKind::kRagged) result.lengths = static_cast<int32_t>(LengthsFieldOf(result.field));
  return result;
}

uint32_t ColumnMerger::LengthsFieldOf(uint32_t field) {
  if (fields_[field].lengths >= 0) return static_cast<uint32_t>(fields_[field].lengths);
  const auto index = static_cast<uint32_t>(fields_.size());
  Field lengths;
  lengths.descriptor.name = LengthsName(fields_[field].descriptor.name);
  lengths.descriptor.dtype = DType::kInt64;
  lengths.descriptor.attributes = "{}";
  lengths.internal = true;
  lengths.changed = true;
  by_name_.emplace(lengths.descriptor.name, index);
  fields_[field].lengths = static_cast<int32_t>(index);
  fields_[field].changed = true;
  fields_.push_back(std::move(lengths));
  return index;
}

Result<ColumnMerger::Merged> ColumnMerger::Merge(const FrameBatch& batch, const Column& column) {
  const auto known = by_name_.find(column.name);
  if (known != by_name_.end() && fields_[known->second].internal)
    return Error{ErrorCode::kInvalidArgument, "the name " + column.name + " is kept for the frames' atom counts"};
  return MergeInto(column.name, column, RowCounts(batch, column), false);
}

Result<ColumnMerger::Merged> ColumnMerger::Counts(const FrameBatch& batch) {
  Column counts;
  counts.name = kAtomCountName;
  counts.dtype = DType::kInt32;
  counts.data = Buffer::Own(batch.n_atoms);
  return MergeInto(kAtomCountName, counts, {}, true);
}

Result<ColumnMerger::Merged> ColumnMerger::Lengths(const Merged& ragged) {
  Column lengths;
  lengths.name = fields_[static_cast<size_t>(ragged.lengths)].descriptor.name;
  lengths.dtype = DType::kInt64;
  lengths.present = ragged.column.present;
  lengths.data = Buffer::Own(ragged.column.lengths);
  return MergeInto(lengths.name, lengths, {}, true);
}

std::vector<FieldDefineOp> ColumnMerger::Definitions() const {
  std::vector<FieldDefineOp> definitions;
  for (size_t i = 0; i < fields_.size(); ++i)
    if (fields_[i].changed)
      definitions.push_back({static_cast<uint32_t>(i), fields_[i].descriptor, fields_[i].lengths, fields_[i].internal});
  return definitions;
}

}  // namespace zn::internal
