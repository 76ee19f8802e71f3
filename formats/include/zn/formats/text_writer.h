// Frames as text: extended XYZ and JSON. No file library: the server links this.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/batch.h"
#include "zn/engine/error.h"

namespace zn::formats {

/// Where each frame's rows lie in the joined columns of a batch: made once, it saves every writer a
/// walk over the frames before. The batch must outlive it and not change.
class FrameRows {
 public:
  explicit FrameRows(const FrameBatch& batch);

  const FrameBatch& batch() const { return *batch_; }
  /// False when the frame does not have the column.
  bool Has(size_t column, size_t frame) const { return batch_->columns[column].HasFrame(frame); }
  /// The bytes of one frame's rows. REQUIRES: Has(column, frame), not kJson.
  std::span<const std::byte> Bytes(size_t column, size_t frame) const;
  /// Their shape: inner, behind the number of atoms or rows for kAtom and kRagged.
  Shape ShapeOf(size_t column, size_t frame) const;
  /// kJson only. REQUIRES: Has(column, frame).
  std::string_view Text(size_t column, size_t frame) const;

 private:
  int64_t Rows(size_t column, size_t frame) const;

  const FrameBatch* batch_;
  std::vector<int64_t> first_atom_;  // of each frame, over all frames
  std::vector<std::vector<int64_t>>
      first_;  // of each frame, per column with gaps or lengths of its own
};

/// Appends frame `frame` as one extended XYZ frame that ASE reads back: Properties, Lattice, pbc,
/// energies, info; numbers with the fewest digits that give the same value again. Needs
/// arrays.positions (kInvalidArgument without); species is X where arrays.numbers is missing.
/// docs/fields.md says what becomes of fields that the format has no place for.
Result<> AppendExtxyz(const FrameRows& rows, size_t frame, std::string& out);
Result<> AppendExtxyz(const FrameBatch& batch, size_t frame, std::string& out);

/// Appends one JSON object {field: value} for the frame: numbers with shortest round trip, "NaN",
/// "Infinity",
/// "-Infinity", complex as [re, im], kJson values verbatim. Absent fields are left out.
void AppendJsonFrame(const FrameRows& rows, size_t frame, std::string& out);
void AppendJsonFrame(const FrameBatch& batch, size_t frame, std::string& out);

/// Appends the JSON of an array of `shape` at `bytes` (nested lists; a bare value for rank 0).
/// REQUIRES: dtype is not kJson and bytes has at least shape's elements.
void AppendJsonArray(DType dtype, const Shape& shape, std::span<const std::byte> bytes,
                     std::string& out);

/// A JSON string literal with its quotes; invalid UTF-8 becomes U+FFFD.
void AppendJsonString(std::string_view text, std::string& out);

/// A JSON value's text as people mean it: the string of a JSON string, else the JSON itself; as
/// code points, of which NumPy's unicode arrays are made. Malformed bytes are U+FFFD each.
std::u32string PlainText(std::string_view json);

}  // namespace zn::formats
