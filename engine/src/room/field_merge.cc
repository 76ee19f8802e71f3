#include "room/field_merge.h"

#include <algorithm>
#include <optional>

#include "zn/engine/dtype_convert.h"
#include "tree/entries.h"
#include "chunk/json_text.h"
#include "chunk/layout.h"

namespace zn::internal {
namespace {

std::string Describe(FieldKind kind, DType dtype, const Shape& inner) {
  return std::string(FieldKindName(kind)) + " " + std::string(ZarrName(dtype)) + " " + inner.ToString();
}

Error DoesNotFit(const FieldDescriptor& field, const Column& column) {
  return {ErrorCode::kTypeMismatch, "field " + field.name + " is " + Describe(field.kind, field.dtype, field.inner) +
                                        "; what was given is " + Describe(column.kind, column.dtype, column.inner)};
}

/// (k, tail...) rows of a fixed count as ragged rows of (tail...).
bool AsRagged(Column& column) {
  if (column.kind == FieldKind::kRagged) return true;
  if (column.kind != FieldKind::kFrame || column.dtype == DType::kJson || column.inner.rank() == 0) return false;
  const int64_t length = column.inner[0];
  size_t row_bytes = ItemSize(column.dtype);
  for (int64_t extent : column.inner) row_bytes *= static_cast<size_t>(extent);
  const size_t frames = row_bytes > 0 ? column.data.size() / row_bytes : 0;
  if (row_bytes == 0) return false;
  column.lengths.assign(frames, length);
  column.kind = FieldKind::kRagged;
  column.inner = Shape(std::span(column.inner.begin() + 1, column.inner.rank() - 1));
  return true;
}

/// Each present frame's value as JSON text.
Column AsJson(const Column& column, std::span<const int64_t> counts) {
  Column json;
  json.name = column.name;
  json.dtype = DType::kJson;
  json.present = column.present;
  json.attributes = column.attributes;
  size_t element = ItemSize(column.dtype);
  for (int64_t extent : column.inner) element *= static_cast<size_t>(extent);
  size_t at = 0;
  for (const int64_t count : counts) {
    const bool framewise = column.kind == FieldKind::kFrame;
    const size_t bytes = element * static_cast<size_t>(framewise ? 1 : count);
    json.text.push_back(JsonOfArray(column.dtype, framewise ? column.inner : column.inner.Behind(count),
                                    column.data.bytes().subspan(at, bytes)));
    at += bytes;
  }
  return json;
}

Result<> Convert(Column& column, DType to) {
  if (column.dtype == to) return {};
  std::vector<std::byte> converted(column.data.size() / ItemSize(column.dtype) * ItemSize(to));
  if (auto result = ConvertElements(column.dtype, column.data.bytes(), to, converted, true); !result)
    return std::move(result).error().Context("field " + column.name);
  column.data = Buffer::Own(std::move(converted));
  column.dtype = to;
  return {};
}

std::optional<uint16_t> FindGeometry(const FieldDescriptor& field, const Column& column) {
  for (size_t i = field.geometries.size(); i-- > 0;) {
    const Geometry& g = field.geometries[i];
    if (g.dtype == column.dtype && g.kind == column.kind && g.inner == column.inner) return static_cast<uint16_t>(i);
  }
  return std::nullopt;
}

std::span<const int64_t> CountsForLayout(const Column& column, std::span<const int64_t> counts,
                                         std::span<const int64_t> typical_counts) {
  if (column.kind == FieldKind::kRagged) return column.lengths;
  return column.kind == FieldKind::kAtom && !typical_counts.empty() ? typical_counts : counts;
}

}  // namespace

std::vector<int64_t> RowCounts(const FrameBatch& batch, const Column& column) {
  if (column.kind == FieldKind::kRagged) return column.lengths;
  std::vector<int64_t> counts;
  counts.reserve(batch.n_atoms.size());
  for (size_t i = 0; i < batch.n_atoms.size(); ++i)
    if (column.HasFrame(i)) counts.push_back(column.kind == FieldKind::kAtom ? batch.n_atoms[i] : 1);
  return counts;
}

Result<MergedColumn> MergeColumn(const FieldDescriptor* existing, const Column& column, std::span<const int64_t> counts,
                                 std::span<const int64_t> typical_counts, const LayoutOptions& layout, MergeMode mode) {
  MergedColumn merged;
  merged.column = column;
  Column& c = merged.column;
  FieldDescriptor& d = merged.descriptor;
  if (existing == nullptr) {
    d.name = c.name;
    d.kind = c.kind;
    d.dtype = c.dtype;
    d.inner = c.inner;
    d.attributes = c.attributes.empty() ? "{}" : c.attributes;
  } else {
    d = *existing;
    if (d.kind == FieldKind::kRagged && c.kind != FieldKind::kRagged && c.dtype != DType::kJson) AsRagged(c);
    const bool same_layout = d.kind == c.kind && d.inner == c.inner;
    if (d.dtype == DType::kJson) {
      if (c.dtype != DType::kJson) c = AsJson(c, counts);
    } else if (same_layout && d.dtype == c.dtype) {
      // fits as it is
    } else if (mode == MergeMode::kStrict) {
      if (!same_layout || c.dtype == DType::kJson) return DoesNotFit(d, c);
      ZN_RETURN_IF_ERROR(Convert(c, d.dtype));
    } else {
      const Column before = c;
      const auto widened = WidenDType(d.dtype, c.dtype);
      const bool both_numbers = widened && *widened != DType::kJson;
      if (both_numbers && same_layout) {
        d.dtype = *widened;
      } else if (both_numbers && d.kind != FieldKind::kAtom && AsRagged(c) &&
                 (d.kind == FieldKind::kRagged ? d.inner == c.inner
                                               : d.inner.rank() > 0 && Shape(std::span(d.inner.begin() + 1, d.inner.rank() - 1)) == c.inner)) {
        d.dtype = *widened;
        d.kind = FieldKind::kRagged;
        d.inner = c.inner;
      } else {
        c = before;
        d.dtype = DType::kJson;
        d.kind = FieldKind::kFrame;
        d.inner = Shape();
        if (c.dtype != DType::kJson) c = AsJson(c, counts);
      }
      if (d.dtype != existing->dtype || d.kind != existing->kind) {
        merged.changed = true;
        merged.warning = "field " + d.name + " was " + Describe(existing->kind, existing->dtype, existing->inner) +
                         " and is now " + Describe(d.kind, d.dtype, d.inner);
      }
    }
  }
  if (const auto index = FindGeometry(d, c)) {
    merged.geometry = *index;
    return merged;
  }
  if (d.geometries.size() >= FieldEntry::kAbsent)
    return Error{ErrorCode::kTooLarge, "field " + d.name + " has too many geometries"};
  ZN_ASSIGN_OR_RETURN(Geometry geometry, ChooseGeometry(c, CountsForLayout(c, counts, typical_counts), layout));
  merged.geometry = static_cast<uint16_t>(d.geometries.size());
  d.geometries.push_back(std::move(geometry));
  merged.changed = true;
  return merged;
}

}  // namespace zn::internal
