#include "zn/engine/batch.h"

#include <algorithm>

#include "base/utf8.h"

namespace zn {
namespace {

constexpr size_t kMaxNameBytes = 255;

Error Mismatch(const Column& column, const std::string& what) {
  return {ErrorCode::kTypeMismatch, "column \"" + column.name + "\": " + what};
}

Error Invalid(const Column& column, const std::string& what) {
  return {ErrorCode::kInvalidArgument, "column \"" + column.name + "\": " + what};
}

bool AddTo(int64_t& sum, int64_t value) { return !__builtin_add_overflow(sum, value, &sum); }

Result<> ValidateName(const std::string& name) {
  const auto fail = [&](std::string_view why) -> Result<> {
    return {ErrorCode::kInvalidArgument, "a column's name " + std::string(why)};
  };
  if (name.empty()) return fail("is empty");
  if (name.size() > kMaxNameBytes) return fail("is longer than 255 bytes");
  if (!IsValidUtf8(name)) return fail("is not UTF-8");
  for (unsigned char c : name)
    if (c < 0x20 || c == 0x7f) return fail("holds a control character");
  return {};
}

Result<> ValidateColumn(const FrameBatch& batch, const Column& column) {
  if (!IsValidDType(static_cast<uint8_t>(column.dtype))) return Invalid(column, "unknown dtype");
  if (column.kind != FieldKind::kFrame && column.kind != FieldKind::kAtom &&
      column.kind != FieldKind::kRagged)
    return Invalid(column, "unknown kind");
  const size_t frames = batch.n_atoms.size();
  if (!column.present.empty() && column.present.size() != frames)
    return Mismatch(column, "present has " + std::to_string(column.present.size()) +
                                " entries for " + std::to_string(frames) + " frames");

  size_t present = 0;
  int64_t atoms = 0;
  for (size_t i = 0; i < frames; ++i) {
    if (!column.present.empty() && column.present[i] > 1)
      return Invalid(column, "present is neither 0 nor 1");
    if (!column.HasFrame(i)) continue;
    ++present;
    if (!AddTo(atoms, batch.n_atoms[i])) return Invalid(column, "too many atoms");
  }

  const bool ragged = column.kind == FieldKind::kRagged && column.dtype != DType::kJson;
  if (column.lengths.size() != (ragged ? present : 0))
    return Mismatch(column, "lengths has " + std::to_string(column.lengths.size()) +
                                " entries; expected " + std::to_string(ragged ? present : 0));
  if (column.dtype == DType::kJson) {
    if (!column.data.empty()) return Invalid(column, "a JSON column has text, not data");
    if (column.text.size() != present)
      return Mismatch(column, std::to_string(column.text.size()) + " texts for " +
                                  std::to_string(present) + " frames that have it");
    return {};
  }
  if (!column.text.empty()) return Invalid(column, "only JSON columns have text");

  // A chunk puts the frame axis, and the atom axis, before the inner ones.
  const size_t outer = column.kind == FieldKind::kFrame ? 1 : 2;
  if (column.inner.rank() > Shape::kMaxRank - outer) return Invalid(column, "too many axes");

  int64_t rows = static_cast<int64_t>(present);
  if (column.kind == FieldKind::kAtom) rows = atoms;
  if (column.kind == FieldKind::kRagged) {
    rows = 0;
    for (int64_t length : column.lengths)
      if (length < 0 || !AddTo(rows, length)) return Invalid(column, "a length out of range");
  }
  int64_t bytes = column.inner.Elements();
  if (bytes < 0 ||
      __builtin_mul_overflow(bytes, static_cast<int64_t>(ItemSize(column.dtype)), &bytes) ||
      __builtin_mul_overflow(bytes, rows, &bytes))
    return Invalid(column, "its size overflows");
  if (static_cast<uint64_t>(bytes) != column.data.size())
    return Mismatch(column, std::to_string(column.data.size()) + " bytes where " +
                                std::to_string(rows) + " rows of " + column.inner.ToString() + " " +
                                std::string(ZarrName(column.dtype)) + " need " +
                                std::to_string(bytes));
  return {};
}

}  // namespace

Result<> ValidateBatch(const FrameBatch& batch) {
  for (size_t i = 0; i < batch.n_atoms.size(); ++i)
    if (batch.n_atoms[i] < 0)
      return {ErrorCode::kInvalidArgument,
              "n_atoms of frame " + std::to_string(i) + " is negative"};
  std::vector<std::string_view> names;
  names.reserve(batch.columns.size());
  for (const Column& column : batch.columns) {
    ZN_RETURN_IF_ERROR(ValidateName(column.name));
    ZN_RETURN_IF_ERROR(ValidateColumn(batch, column));
    names.push_back(column.name);
  }
  std::sort(names.begin(), names.end());
  if (auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
    return {ErrorCode::kInvalidArgument, "column \"" + std::string(*twice) + "\" is given twice"};
  return {};
}

}  // namespace zn
