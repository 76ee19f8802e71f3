#include <bit>
#include <cassert>

#include "fields/number_text.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

template <class T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Length of the well-formed UTF-8 sequence at the start of `text`, 0 when there is none.
size_t Utf8Length(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char first = byte(0);
  size_t length = first < 0x80                     ? 1
                  : first >= 0xC2 && first <= 0xDF ? 2
                  : (first & 0xF0) == 0xE0         ? 3
                  : first >= 0xF0 && first <= 0xF4 ? 4
                                                   : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  // Overlong forms, surrogates, beyond U+10FFFF.
  if (length == 3 && ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F)))
    return 0;
  if (length == 4 && ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)))
    return 0;
  return length;
}

}  // namespace

double HalfToDouble(uint16_t half) {
  int exponent = (half >> 10) & 0x1F;
  int mantissa = half & 0x3FF;
  double value = exponent == 0    ? std::ldexp(mantissa, -24)
                 : exponent == 31 ? (mantissa != 0 ? std::nan("") : HUGE_VAL)
                                  : std::ldexp(mantissa + 1024, exponent - 25);
  return (half & 0x8000) != 0 ? -value : value;
}

void AppendElement(DType dtype, const std::byte* at, const NonFinite& non_finite,
                   std::string_view yes, std::string_view no, std::string& out) {
  switch (dtype) {
    case DType::kBool:
      out += *at != std::byte{0} ? yes : no;
      return;
    case DType::kInt8:
      AppendInteger(static_cast<int>(Load<int8_t>(at)), out);
      return;
    case DType::kInt16:
      AppendInteger(Load<int16_t>(at), out);
      return;
    case DType::kInt32:
      AppendInteger(Load<int32_t>(at), out);
      return;
    case DType::kInt64:
      AppendInteger(Load<int64_t>(at), out);
      return;
    case DType::kUInt8:
      AppendInteger(static_cast<unsigned>(Load<uint8_t>(at)), out);
      return;
    case DType::kUInt16:
      AppendInteger(Load<uint16_t>(at), out);
      return;
    case DType::kUInt32:
      AppendInteger(Load<uint32_t>(at), out);
      return;
    case DType::kUInt64:
      AppendInteger(Load<uint64_t>(at), out);
      return;
    case DType::kFloat16:
      AppendFloat(static_cast<float>(HalfToDouble(Load<uint16_t>(at))), non_finite, out);
      return;
    case DType::kFloat32:
      AppendFloat(Load<float>(at), non_finite, out);
      return;
    case DType::kFloat64:
      AppendFloat(Load<double>(at), non_finite, out);
      return;
    case DType::kComplex64:
    case DType::kComplex128:
    case DType::kJson:
      break;
  }
  assert(false && "no single element");
}

void AppendNested(DType dtype, const int64_t* extents, size_t rank, const std::byte*& at,
                  const NonFinite& non_finite, std::string& out) {
  if (rank > 0) {
    out += '[';
    for (int64_t i = 0; i < *extents; ++i) {
      if (i > 0) out += ',';
      AppendNested(dtype, extents + 1, rank - 1, at, non_finite, out);
    }
    out += ']';
    return;
  }
  if (dtype == DType::kComplex64 || dtype == DType::kComplex128) {
    DType part = dtype == DType::kComplex64 ? DType::kFloat32 : DType::kFloat64;
    size_t size = dtype == DType::kComplex64 ? 4 : 8;
    out += '[';
    AppendElement(part, at, non_finite, "true", "false", out);
    out += ',';
    AppendElement(part, at + size, non_finite, "true", "false", out);
    out += ']';
    at += 2 * size;
    return;
  }
  AppendElement(dtype, at, non_finite, "true", "false", out);
  at += ItemSize(dtype);
}

void AppendJsonArray(DType dtype, const Shape& shape, std::span<const std::byte> bytes,
                     std::string& out) {
  const std::byte* at = bytes.data();
  AppendNested(dtype, shape.begin(), shape.rank(), at, kJsonNonFinite, out);
}

void AppendJsonString(std::string_view text, std::string& out) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (size_t i = 0; i < text.size();) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    if (c >= 0x80) {
      size_t length = Utf8Length(text.substr(i));
      if (length == 0) {
        out += "\xEF\xBF\xBD";
        ++i;
      } else {
        out += text.substr(i, length);
        i += length;
      }
      continue;
    }
    ++i;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (c < 0x20 || c == 0x7F) {
          out += "\\u00";
          out += kHex[c >> 4];
          out += kHex[c & 15];
        } else {
          out += static_cast<char>(c);
        }
    }
  }
  out += '"';
}

FrameRows::FrameRows(const FrameBatch& batch) : batch_(&batch) {
  first_atom_.reserve(batch.n_atoms.size() + 1);
  int64_t atoms = 0;
  for (int32_t n : batch.n_atoms) {
    first_atom_.push_back(atoms);
    atoms += n;
  }
  first_.resize(batch.columns.size());
  for (size_t c = 0; c < batch.columns.size(); ++c) {
    const Column& column = batch.columns[c];
    bool ragged = column.kind == FieldKind::kRagged;
    if (column.present.empty() && !ragged) continue;
    std::vector<int64_t>& first = first_[c];
    first.reserve(batch.n_atoms.size());
    int64_t row = 0;
    size_t present = 0;
    for (size_t f = 0; f < batch.n_atoms.size(); ++f) {
      first.push_back(row);
      if (!column.HasFrame(f)) continue;
      bool atom = column.kind == FieldKind::kAtom && column.dtype != DType::kJson;
      row += ragged && column.dtype != DType::kJson ? column.lengths[present]
             : atom                                 ? batch.n_atoms[f]
                                                    : 1;
      ++present;
    }
    first.push_back(row);
  }
}

int64_t FrameRows::Rows(size_t column, size_t frame) const {
  const Column& c = batch_->columns[column];
  if (c.kind == FieldKind::kAtom) return batch_->n_atoms[frame];
  if (c.kind == FieldKind::kRagged) return first_[column][frame + 1] - first_[column][frame];
  return 1;
}

std::span<const std::byte> FrameRows::Bytes(size_t column, size_t frame) const {
  const Column& c = batch_->columns[column];
  int64_t first = !first_[column].empty()      ? first_[column][frame]
                  : c.kind == FieldKind::kAtom ? first_atom_[frame]
                                               : static_cast<int64_t>(frame);
  size_t row_bytes = static_cast<size_t>(c.inner.Elements()) * ItemSize(c.dtype);
  return c.data.bytes().subspan(static_cast<size_t>(first) * row_bytes,
                                static_cast<size_t>(Rows(column, frame)) * row_bytes);
}

Shape FrameRows::ShapeOf(size_t column, size_t frame) const {
  const Column& c = batch_->columns[column];
  return c.kind == FieldKind::kFrame ? c.inner : c.inner.Behind(Rows(column, frame));
}

std::string_view FrameRows::Text(size_t column, size_t frame) const {
  size_t index = first_[column].empty() ? frame : static_cast<size_t>(first_[column][frame]);
  return batch_->columns[column].text[index];
}

void AppendJsonFrame(const FrameRows& rows, size_t frame, std::string& out) {
  out += '{';
  bool any = false;
  for (size_t c = 0; c < rows.batch().columns.size(); ++c) {
    if (!rows.Has(c, frame)) continue;
    const Column& column = rows.batch().columns[c];
    if (any) out += ',';
    any = true;
    AppendJsonString(column.name, out);
    out += ':';
    if (column.dtype == DType::kJson) {
      out += rows.Text(c, frame);
    } else {
      AppendJsonArray(column.dtype, rows.ShapeOf(c, frame), rows.Bytes(c, frame), out);
    }
  }
  out += '}';
}

void AppendJsonFrame(const FrameBatch& batch, size_t frame, std::string& out) {
  AppendJsonFrame(FrameRows(batch), frame, out);
}

}  // namespace zn::formats
