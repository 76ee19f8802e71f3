#include "zn/engine/field.h"

namespace zn {

std::string_view FieldKindName(FieldKind kind) {
  switch (kind) {
    case FieldKind::kFrame:
      return "frame";
    case FieldKind::kAtom:
      return "atom";
    case FieldKind::kRagged:
      return "ragged";
  }
  return "unknown";
}

int64_t Geometry::RowBytes() const {
  int64_t bytes = inner.Elements();
  if (bytes < 0) return -1;
  if (__builtin_mul_overflow(bytes, static_cast<int64_t>(ItemSize(dtype)), &bytes)) return -1;
  if (kind == FieldKind::kFrame) return bytes;
  if (atoms_per_chunk < 0 || __builtin_mul_overflow(bytes, atoms_per_chunk, &bytes)) return -1;
  return bytes;
}

}  // namespace zn
