// How a batch's column joins the field of its name: which descriptor, which geometry, which conversion.
#pragma once

#include <span>
#include <string>

#include "zn/engine/batch.h"
#include "zn/engine/field.h"
#include "zn/engine/room.h"

namespace zn::internal {

struct MergedColumn {
  FieldDescriptor descriptor;   // the field's, perhaps widened or with a geometry more
  bool changed = false;         // descriptor differs from the existing one, or there was none
  uint16_t geometry = 0;        // index for the column's rows
  Column column;                // converted where need be; shares the original's buffers where not
  std::string warning;          // what was widened, "" when nothing
};

/// Strict: the column is converted to the field's dtype if no value changes, else kTypeMismatch: what edits and appends
/// of clients do. Widening: the field's dtype or kind widens so that both fit (numbers of other shapes become ragged,
/// anything else JSON text): what imports do, whose files change their mind midway.
enum class MergeMode { kStrict, kWiden };

/// `existing` may be null. `counts` are the column's rows a present frame. A new per-atom geometry is laid out by
/// `typical_counts`, or by `counts` where that is empty.
Result<MergedColumn> MergeColumn(const FieldDescriptor* existing, const Column& column, std::span<const int64_t> counts,
                                 std::span<const int64_t> typical_counts, const LayoutOptions& layout, MergeMode mode);

/// Rows (atoms, ragged rows, or 1) of each present frame of a column.
std::vector<int64_t> RowCounts(const FrameBatch& batch, const Column& column);

}  // namespace zn::internal
