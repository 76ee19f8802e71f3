// BatchBuilder's columns, one function a role.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "h5md/batch_builder.h"
#include "h5md/batch_context.h"
#include "h5md/convert.h"

namespace zn::formats {
namespace {


int64_t Product(const std::vector<int64_t>& extents) {
  int64_t n = 1;
  for (int64_t extent : extents) n *= extent;
  return n;
}

size_t Count(const std::vector<uint8_t>& present) {
  return static_cast<size_t>(std::count(present.begin(), present.end(), 1));
}

// A JSON array of texts in the shape of `inner`.
void NestTexts(const std::vector<std::string>& texts, size_t& at, const std::vector<int64_t>& inner,
               size_t axis, bool plain, std::string& out) {
  if (axis == inner.size()) {
    out += TextAsJson(texts[at++], plain);
    return;
  }
  out += '[';
  for (int64_t i = 0; i < inner[axis]; ++i) {
    if (i > 0) out += ',';
    NestTexts(texts, at, inner, axis + 1, plain, out);
  }
  out += ']';
}

}  // namespace

Result<bool> BatchBuilder::MakeAtoms(int index, Context& context, Column& column) const {
  const Field& field = plan_.fields[static_cast<size_t>(index)];
  const size_t count = context.frames.size();
  column.kind = FieldKind::kAtom;
  column.dtype = field.data->dtype();
  for (int64_t extent : field.inner) column.inner.Append(extent);
  const size_t atom_values = static_cast<size_t>(Product(field.inner));
  const size_t atom_bytes = atom_values * ItemSize(column.dtype);

  if (field.flat) {
    std::vector<int64_t> rows;
    column.present.assign(count, 0);
    for (size_t f = 0; f < count; ++f) {
      int64_t first = plan_.first_rows[static_cast<size_t>(context.frames[f])];
      if (first + context.n_atoms[f] > field.data->rows()) {
        // A key that later frames do not have ends early; positions and numbers every frame has.
        bool needed = field.name == "arrays.positions" || field.name == "arrays.numbers";
        if (context.n_atoms[f] > 0 && (needed || first < field.data->rows())) {
          return Fail(ErrorCode::kCorrupt, field,
                      "has " + std::to_string(field.data->rows()) + " rows, but frame " +
                          std::to_string(context.frames[f]) + " should be in rows " +
                          std::to_string(first) + " to " +
                          std::to_string(first + context.n_atoms[f] - 1),
                      "write the file again");
        }
        continue;
      }
      column.present[f] = 1;
      for (int32_t i = 0; i < context.n_atoms[f]; ++i) rows.push_back(first + i);
    }
    if (Count(column.present) == 0) return false;
    if (!rows.empty()) {
      ZN_ASSIGN_OR_RETURN(column.data, field.data->ReadRows(rows));
    }
    if (field.nan_is_absent) {
      std::vector<std::byte> kept;
      bool all = true;
      std::vector<std::pair<size_t, size_t>> runs;
      size_t at = 0;
      for (size_t f = 0; f < count; ++f) {
        if (!column.present[f]) continue;
        size_t n = static_cast<size_t>(context.n_atoms[f]);
        if (AllNan(column.data.data() + at, n * atom_values, column.dtype)) {
          column.present[f] = 0;
          all = false;
        } else {
          runs.emplace_back(at, n * atom_bytes);
        }
        at += n * atom_bytes;
      }
      if (!all) {
        for (auto [from, size] : runs)
          kept.insert(kept.end(), column.data.data() + from, column.data.data() + from + size);
        column.data = Buffer::Own(std::move(kept));
        if (Count(column.present) == 0) return false;
      }
    }
    ZN_RETURN_IF_ERROR(Finish(field, context, column));
    return true;
  }

  const size_t source_row = static_cast<size_t>(field.atoms) * atom_bytes;
  Buffer source = field.fixed_bytes;
  if (field.fixed) {
    column.present.assign(count, 1);
  } else {
    Context::Raw& raw = context.raw[static_cast<size_t>(index)];
    if (raw.read) {
      source = std::move(raw.bytes);
      column.present = std::move(raw.present);
    } else {
      ZN_ASSIGN_OR_RETURN(source, Rows(field, context, column.present));
    }
  }
  // Which of the source's frames to take, and whether they can be taken as they lie.
  bool as_is = !field.fixed, one_frame = field.fixed;
  int64_t rows = 0;
  const std::byte* row = source.data();
  for (size_t f = 0; f < count; ++f) {
    if (!column.present[f]) continue;
    const int32_t n = context.n_atoms[f];
    bool own_order = context.ordered && !(field.fixed && !plan_.ids_fixed && n == field.atoms);
    bool skip = false;
    if (n > field.atoms) {
      bool nothing = AllNan(row, static_cast<size_t>(field.atoms) * atom_values, column.dtype);
      if (!nothing) {
        context.Warn(field.source, "has " + std::to_string(field.atoms) + " atoms where frame " +
                                       std::to_string(context.frames[f]) + " has " +
                                       std::to_string(n) + ": left out there");
      }
      skip = true;
    } else if (field.nan_is_absent && n > 0) {
      skip = AllNan(row, static_cast<size_t>(n) * atom_values, column.dtype);
    }
    if (skip) {
      column.present[f] = 0;
    } else {
      rows += n;
    }
    as_is = as_is && !skip && !own_order && n == field.atoms;
    one_frame = one_frame && !skip && !own_order && n == field.atoms;
    if (!field.fixed) row += source_row;
  }
  if (Count(column.present) == 0) return false;
  if (as_is) {
    column.data = std::move(source);
  } else if (one_frame) {
    Column single = column;
    single.data = source;
    ZN_RETURN_IF_ERROR(Finish(field, context, single));
    column.dtype = single.dtype;
    column.inner = single.inner;
    ZN_ASSIGN_OR_RETURN(column.data, Repeat(field, single.data, count));
    return true;
  } else {
    auto block = Block::Allocate(rows, static_cast<int64_t>(atom_bytes));
    if (!block)
      return Fail(block.error().code, field, block.error().message, "read smaller batches");
    std::byte* out = block->data();
    row = source.data();
    size_t at = 0;  // of the rows that were read
    std::vector<uint8_t> read(count, 1);
    if (!field.fixed) {
      for (size_t f = 0; f < count; ++f) read[f] = field.rows.Row(context.frames[f]) >= 0;
    }
    for (size_t f = 0; f < count; ++f) {
      if (!read[f]) continue;
      const std::byte* from = source.data() + (field.fixed ? 0 : at++ * source_row);
      if (!column.present[f]) continue;
      const size_t n = static_cast<size_t>(context.n_atoms[f]);
      bool own_order = context.ordered &&
                       !(field.fixed && !plan_.ids_fixed && context.n_atoms[f] == field.atoms);
      if (!own_order) {
        std::memcpy(out, from, n * atom_bytes);
      } else {
        const int32_t* order = context.order.data() + context.order_starts[f];
        for (size_t i = 0; i < n; ++i)
          std::memcpy(out + i * atom_bytes, from + static_cast<size_t>(order[i]) * atom_bytes,
                      atom_bytes);
      }
      out += n * atom_bytes;
    }
    column.data = std::move(*block).Take(static_cast<size_t>(out - block->data()));
  }
  ZN_RETURN_IF_ERROR(Finish(field, context, column));
  return true;
}

// Conversions that do not care about frames: whole numbers, enumerations, dimensions, units.
Result<> BatchBuilder::Finish(const Field& field, const Context& context, Column& column) const {
  size_t values = column.data.size() / ItemSize(column.dtype);
  if (field.integral) {
    Integers integers = ToIntegers(column.data, values, column.dtype);
    if (integers.offending) {
      return Fail(ErrorCode::kTypeMismatch, field,
                  "has a value that is no whole number in frames " +
                      std::to_string(context.frames.front()) + " to " +
                      std::to_string(context.frames.back()),
                  "import it under another name: --map species=arrays.species_values");
    }
    column.data = Buffer::Own(std::move(integers.values));
    column.dtype = DType::kInt64;
  }
  if (!field.values.empty()) {
    auto integers = WidenIntegers(column.data, values, column.dtype);
    for (int64_t& value : integers) {
      auto found = field.values.find(value);
      value = found == field.values.end() ? 0 : found->second;
    }
    column.data = Buffer::Own(std::move(integers));
    column.dtype = DType::kInt64;
  }
  if (field.widen) {
    const size_t item = ItemSize(column.dtype), from = static_cast<size_t>(column.inner[0]) * item,
                 to = 3 * item;
    const size_t rows = column.data.size() / from;
    ZN_ASSIGN_OR_RETURN(auto block,
                        Block::Allocate(static_cast<int64_t>(rows), static_cast<int64_t>(to)));
    std::memset(block.data(), 0, rows * to);
    for (size_t i = 0; i < rows; ++i)
      std::memcpy(block.data() + i * to, column.data.data() + i * from, from);
    column.data = std::move(block).Take(rows * to);
    column.inner = Shape{3};
  }
  if (field.factor != 1) {
    values = column.data.size() / ItemSize(column.dtype);
    auto scaled = Scale(column.data, values, field.factor, column.dtype);
    if (!scaled)
      return Fail(scaled.error().code, field, scaled.error().message, "read smaller batches");
    column.data = std::move(*scaled);
  }
  return {};
}

Result<bool> BatchBuilder::MakeFrames(const Field& field, Context& context, Column& column) const {
  const size_t count = context.frames.size();
  column.kind = field.role == Role::kRagged ? FieldKind::kRagged : FieldKind::kFrame;
  column.dtype = field.data->dtype();
  for (int64_t extent : field.inner) column.inner.Append(extent);
  const size_t values = static_cast<size_t>(Product(field.inner));
  const size_t item = ItemSize(column.dtype);
  const size_t bytes = values * item;
  if (field.fixed) {
    Column single = column;
    single.data = field.fixed_bytes;
    ZN_RETURN_IF_ERROR(Finish(field, context, single));
    column.dtype = single.dtype;
    ZN_ASSIGN_OR_RETURN(column.data, Repeat(field, single.data, count));
    return true;
  }
  ZN_ASSIGN_OR_RETURN(column.data, Rows(field, context, column.present));
  if (Count(column.present) == 0) return false;

  if (field.role == Role::kRagged || field.nan_is_absent) {
    const size_t outer = field.inner.empty() ? 1 : static_cast<size_t>(field.inner[0]);
    const size_t rest = outer == 0 ? 0 : values / outer;
    std::vector<std::byte> kept;
    size_t at = 0;
    bool dropped = false;
    for (size_t f = 0; f < count; ++f) {
      if (!column.present[f]) continue;
      const std::byte* from = column.data.data() + bytes * at++;
      size_t rows = outer;
      if (field.nan_is_absent && AllNan(from, values, column.dtype)) {
        column.present[f] = 0;
        dropped = true;
        continue;
      }
      if (field.role == Role::kRagged) {
        if (field.lengths.empty()) {
          while (rows > 0 && AllNan(from + (rows - 1) * rest * item, rest, column.dtype)) --rows;
        } else {
          rows = static_cast<size_t>(field.lengths[static_cast<size_t>(context.frames[f])]);
        }
        column.lengths.push_back(static_cast<int64_t>(rows));
        dropped = dropped || rows < outer;
      }
      kept.insert(kept.end(), from, from + rows * rest * item);
    }
    if (dropped) column.data = Buffer::Own(std::move(kept));
    if (Count(column.present) == 0) return false;
  }
  if (field.role == Role::kRagged) {
    Shape rest;
    for (size_t i = 1; i < field.inner.size(); ++i) rest.Append(field.inner[i]);
    column.inner = rest;
  }
  if (field.voigt) {
    const size_t frames = Count(column.present);
    ZN_ASSIGN_OR_RETURN(auto full, ToDoubles(column.data, frames * 9, column.dtype));
    std::vector<double> voigt;
    for (size_t f = 0; f < frames; ++f) {
      const double* s = full.data() + f * 9;
      voigt.insert(voigt.end(),
                   {s[0], s[4], s[8], (s[5] + s[7]) / 2, (s[2] + s[6]) / 2, (s[1] + s[3]) / 2});
    }
    column.data = Buffer::Own(std::move(voigt));
    column.dtype = DType::kFloat64;
    column.inner = Shape{6};
  }
  ZN_RETURN_IF_ERROR(Finish(field, context, column));
  return true;
}

Result<bool> BatchBuilder::MakeJoined(const Field& field, Context& context, Column& column) const {
  column.kind = FieldKind::kRagged;
  column.dtype = field.data->dtype();
  for (int64_t extent : field.inner) column.inner.Append(extent);
  column.present.assign(context.frames.size(), 0);
  std::vector<int64_t> rows;
  for (size_t f = 0; f < context.frames.size(); ++f) {
    const int64_t row = field.rows.Row(context.frames[f]);
    if (row < 0) continue;
    column.present[f] = 1;
    const int64_t begin = field.starts[static_cast<size_t>(row)],
                  end = field.starts[static_cast<size_t>(row) + 1];
    column.lengths.push_back(end - begin);
    for (int64_t r = begin; r < end; ++r) rows.push_back(r);
  }
  if (!rows.empty()) {
    ZN_ASSIGN_OR_RETURN(column.data, field.data->ReadRows(rows));
  }
  return Count(column.present) > 0;
}

Result<bool> BatchBuilder::MakeText(const Field& field, Context& context, Column& column) const {
  column.kind = FieldKind::kFrame;
  column.dtype = DType::kJson;
  const size_t count = context.frames.size();
  const int64_t limit = std::max<int64_t>(64 << 20, 8 * options_.batch_bytes);
  std::vector<int64_t> rows;
  column.present.assign(count, 1);
  if (field.fixed) {
    int64_t all = field.data->shape().size() == field.inner.size() ? field.data->rows() : 1;
    for (int64_t row = 0; row < all; ++row) rows.push_back(row);
  } else {
    for (size_t f = 0; f < count; ++f) {
      int64_t row = field.rows.Row(context.frames[f]);
      column.present[f] = row >= 0;
      if (row >= 0) rows.push_back(row);
    }
  }
  if (rows.empty() && Count(column.present) == 0) return false;
  ZN_ASSIGN_OR_RETURN(auto texts, field.data->ReadText(rows, limit));
  if (field.fixed) {
    std::string text;
    size_t at = 0;
    NestTexts(texts, at, field.inner, 0, field.plain_text, text);
    if (static_cast<int64_t>(text.size()) > limit / static_cast<int64_t>(count)) {
      return Fail(ErrorCode::kTooLarge, field, "is too much text to give every frame",
                  "leave it out with --map");
    }
    column.text.assign(count, text);
    return true;
  }
  size_t at = 0;
  for (size_t f = 0; f < count; ++f) {
    if (!column.present[f]) continue;
    if (field.empty_is_absent && field.inner.empty() && texts[at].empty()) {
      column.present[f] = 0;
      ++at;
      continue;
    }
    std::string text;
    NestTexts(texts, at, field.inner, 0, field.plain_text, text);
    column.text.push_back(std::move(text));
  }
  return !column.text.empty();
}

Result<bool> BatchBuilder::MakeBox(const Field& field, Context& context, Column& column) const {
  const size_t count = context.frames.size();
  const DType from = field.data->dtype();
  Buffer source = field.fixed_bytes;
  if (field.fixed) {
    column.present.assign(count, 1);
  } else {
    ZN_ASSIGN_OR_RETURN(source, Rows(field, context, column.present));
  }
  const size_t values = static_cast<size_t>(Product(field.inner));
  const size_t frames = field.fixed ? 1 : Count(column.present);
  if (Count(column.present) == 0) return false;
  column.kind = FieldKind::kFrame;
  const bool pbc = field.role == Role::kPbc;
  const size_t side = static_cast<size_t>(field.inner[0]);
  ZN_ASSIGN_OR_RETURN(auto numbers, ToDoubles(source, frames * values, from));

  std::vector<uint8_t> flags;
  std::vector<double> cells;
  std::vector<size_t> at_frame;
  for (size_t f = 0; f < count && !field.fixed; ++f)
    if (column.present[f]) at_frame.push_back(f);
  for (size_t i = 0; i < frames; ++i) {
    const double* row = numbers.data() + i * values;
    if ((field.nan_is_absent || pbc) &&
        std::all_of(row, row + values, [](double v) { return std::isnan(v); })) {
      if (field.fixed) return false;
      column.present[at_frame[i]] = 0;
      continue;
    }
    if (pbc) {
      for (size_t a = 0; a < 3; ++a) {
        double value = a < values ? row[a] : 0;
        if (value != 0 && value != 1) {
          return Fail(ErrorCode::kTypeMismatch, field,
                      "has " + std::to_string(value) + " in frames " +
                          std::to_string(context.frames.front()) + " to " +
                          std::to_string(context.frames.back()) + ", neither 0 nor 1",
                      "leave it out with --map box/pbc=");
        }
        flags.push_back(value != 0);
      }
      continue;
    }
    double cell[9] = {};
    for (size_t a = 0; a < side; ++a) {
      if (field.inner.size() == 1) {
        cell[a * 4] = row[a];
      } else {
        for (size_t b = 0; b < side; ++b) cell[a * 3 + b] = row[a * side + b];
      }
    }
    for (double v : cell) cells.push_back(v * field.factor);
  }
  Buffer data;
  if (pbc) {
    column.dtype = DType::kBool;
    column.inner = Shape{3};
    data = Buffer::Own(std::move(flags));
  } else {
    column.inner = Shape{3, 3};
    column.dtype = from == DType::kFloat32 ? DType::kFloat32 : DType::kFloat64;
    if (column.dtype == DType::kFloat32) {
      data = Buffer::Own(std::vector<float>(cells.begin(), cells.end()));
    } else {
      data = Buffer::Own(std::move(cells));
    }
  }
  if (field.fixed) {
    ZN_ASSIGN_OR_RETURN(column.data, Repeat(field, data, count));
  } else {
    column.data = std::move(data);
  }
  return Count(column.present) > 0;
}

Result<bool> BatchBuilder::MakeAxis(const Field& field, Context& context, Column& column) const {
  column.kind = FieldKind::kFrame;
  column.dtype = field.dtype;
  const size_t count = context.frames.size();
  column.present.assign(count, 0);
  const bool step = field.role == Role::kStep;
  std::vector<int64_t> rows;
  for (int64_t frame : context.frames) {
    if (field.data && frame < std::min(field.rows.limit, field.extrapolate_from))
      rows.push_back(frame);
  }
  std::vector<int64_t> steps;
  std::vector<double> times;
  if (!rows.empty()) {
    ZN_ASSIGN_OR_RETURN(Buffer bytes, field.data->ReadRows(rows));
    if (step && IsFloating(field.data->dtype())) {
      Integers whole = ToIntegers(bytes, rows.size(), field.data->dtype());
      if (whole.offending) {
        return Fail(
            ErrorCode::kTypeMismatch, field,
            "has a step that is no whole number at frame " + std::to_string(rows[*whole.offending]),
            "leave it out with --map step=");
      }
      steps = std::move(whole.values);
    } else if (step) {
      steps = WidenIntegers(bytes, rows.size(), field.data->dtype());
    } else {
      auto values = ToDoubles(bytes, rows.size(), field.data->dtype());
      if (!values)
        return Fail(values.error().code, field, values.error().message,
                    "leave it out with --map time=");
      times = std::move(*values);
    }
  }
  for (size_t f = 0; f < count; ++f) {
    int64_t frame = context.frames[f];
    if (frame >= field.rows.limit) continue;
    column.present[f] = 1;
    if (field.data && frame < field.extrapolate_from)
      continue;  // read above: such frames come first
    uint64_t travelled = static_cast<uint64_t>(field.step_increment) * static_cast<uint64_t>(frame);
    if (step) {
      steps.push_back(static_cast<int64_t>(static_cast<uint64_t>(field.step_offset) + travelled));
    } else {
      times.push_back(field.offset + field.increment * static_cast<double>(frame));
    }
  }
  for (double& time : times) time *= field.factor;
  column.data = step ? Buffer::Own(std::move(steps)) : Buffer::Own(std::move(times));
  return Count(column.present) > 0;
}

}  // namespace zn::formats
