// Walking the rows of a batch of columns, frame by frame.
#pragma once

#include <string_view>
#include <vector>

#include "zn/engine/batch.h"

namespace zn::server {

/// One frame's value of one column.
struct RowView {
  bool present = false;
  Shape shape;            // (inner...) or (rows, inner...)
  int64_t rows = 0;       // along the atom or ragged axis; 1 for kFrame
  size_t offset = 0;      // of its bytes in the column's data
  size_t size = 0;        // in bytes; 0 for kJson
  std::string_view text;  // kJson
};

/// Elements of `inner`, times the item size.
inline size_t InnerBytes(const Column& column) {
  return static_cast<size_t>(column.inner.Elements()) * ItemSize(column.dtype);
}

/// Goes through the frames of a column in order.
class RowCursor {
 public:
  RowCursor(const FrameBatch& batch, const Column& column)
      : batch_(&batch), column_(&column), inner_bytes_(InnerBytes(column)) {}

  RowView Next() {
    RowView row;
    size_t frame = frame_++;
    if (!column_->HasFrame(frame)) return row;
    row.present = true;
    row.rows = column_->kind == FieldKind::kFrame  ? 1
               : column_->kind == FieldKind::kAtom ? batch_->n_atoms[frame]
                                                   : column_->lengths[present_];
    row.shape =
        column_->kind == FieldKind::kFrame ? column_->inner : column_->inner.Behind(row.rows);
    if (column_->dtype == DType::kJson) {
      row.text = column_->text[present_];
    } else {
      row.offset = offset_;
      row.size = static_cast<size_t>(row.rows) * inner_bytes_;
      offset_ += row.size;
    }
    ++present_;
    return row;
  }

 private:
  const FrameBatch* batch_;
  const Column* column_;
  size_t inner_bytes_;
  size_t frame_ = 0, present_ = 0, offset_ = 0;
};

inline std::span<const std::byte> RowBytes(const Column& column, const RowView& row) {
  return column.data.bytes().subspan(row.offset, row.size);
}

}  // namespace zn::server
