// BatchBuilder's connectivity, and positions unwrapped by images.
#include <algorithm>

#include "h5md/batch_builder.h"
#include "h5md/batch_context.h"
#include "h5md/convert.h"

namespace zn::formats {
namespace {

size_t Count(const std::vector<uint8_t>& present) {
  return static_cast<size_t>(std::count(present.begin(), present.end(), 1));
}

}  // namespace

Result<bool> BatchBuilder::MakeBonds(const Field& field, Context& context, Column& column) const {
  const size_t count = context.frames.size();
  const size_t tuples = static_cast<size_t>(field.inner[0]),
               size = static_cast<size_t>(field.inner[1]);
  Buffer source = field.fixed_bytes, order_bytes = field.fixed_orders;
  std::vector<int64_t> rows;
  column.present.assign(count, 1);
  if (!field.fixed) {
    ZN_ASSIGN_OR_RETURN(source, Rows(field, context, column.present));
    for (int64_t frame : context.frames)
      if (int64_t row = field.rows.Row(frame); row >= 0) rows.push_back(row);
    if (field.orders && !rows.empty()) {
      ZN_ASSIGN_OR_RETURN(order_bytes, field.orders->ReadRows(rows));
    }
  }
  const size_t sources = field.fixed ? 1 : Count(column.present);
  if (Count(column.present) == 0) return false;
  auto atoms = WidenIntegers(source, sources * tuples * size, field.data->dtype());
  std::vector<double> orders;
  if (field.orders) {
    ZN_ASSIGN_OR_RETURN(orders, ToDoubles(order_bytes, sources * tuples, field.orders->dtype()));
  }
  std::vector<int64_t> kept;
  std::vector<double> kept_orders;
  size_t at = 0;
  // The same list in every frame is made once.
  const bool constant = field.fixed && (!plan_.ids || plan_.ids_fixed);
  for (size_t f = 0; f < (constant ? 1 : count); ++f) {
    if (!column.present[f]) continue;
    const size_t base = field.fixed ? 0 : at++;
    int64_t length = 0;
    for (size_t t = 0; t < tuples; ++t) {
      const int64_t* tuple = atoms.data() + (base * tuples + t) * size;
      if (std::any_of(tuple, tuple + size, [](int64_t a) { return a < 0; })) continue;  // padding
      int64_t mapped[8];
      bool known = true;
      for (size_t i = 0; i < size && known; ++i) {
        mapped[i] = tuple[i];
        if (plan_.ids) {
          // Bonds name ids; atoms are sorted by them.
          auto begin = context.ids.begin() + static_cast<std::ptrdiff_t>(context.order_starts[f]);
          auto end = begin + context.n_atoms[f];
          auto found = std::lower_bound(begin, end, tuple[i]);
          known = found != end && *found == tuple[i];
          mapped[i] = found - begin;
        } else {
          known = tuple[i] < context.n_atoms[f];
        }
      }
      if (!known) {
        context.Warn(field.source, "names atoms that frame " + std::to_string(context.frames[f]) +
                                       " does not have: such tuples are left out");
        continue;
      }
      if (field.orders) {
        for (size_t i = 0; i < size; ++i) kept_orders.push_back(static_cast<double>(mapped[i]));
        kept_orders.push_back(orders[base * tuples + t]);
      } else {
        kept.insert(kept.end(), mapped, mapped + size);
      }
      ++length;
    }
    column.lengths.push_back(length);
  }
  column.kind = FieldKind::kRagged;
  column.inner = Shape{static_cast<int64_t>(size) + (field.orders ? 1 : 0)};
  column.dtype = field.orders ? DType::kFloat64 : DType::kInt64;
  column.data = field.orders ? Buffer::Own(std::move(kept_orders)) : Buffer::Own(std::move(kept));
  if (constant) {
    column.lengths.resize(count, column.lengths[0]);
    ZN_ASSIGN_OR_RETURN(column.data, Repeat(field, column.data, count));
  }
  return true;
}

// position + image·L, in double precision.
Result<> BatchBuilder::Unwrap(Context& context, FrameBatch& batch) const {
  auto column = [&](int index) -> Column* {
    for (Column& c : batch.columns)
      if (c.name == plan_.fields[static_cast<size_t>(index)].name) return &c;
    return nullptr;
  };
  Column *positions = column(plan_.positions), *image = column(plan_.image),
         *cell = column(plan_.cell);
  if (!positions || !image || !cell || positions->inner != Shape{3} || image->inner != Shape{3})
    return {};
  const size_t values = positions->data.size() / ItemSize(positions->dtype);
  ZN_ASSIGN_OR_RETURN(auto x, ToDoubles(positions->data, values, positions->dtype));
  ZN_ASSIGN_OR_RETURN(
      auto images,
      ToDoubles(image->data, image->data.size() / ItemSize(image->dtype), image->dtype));
  ZN_ASSIGN_OR_RETURN(
      auto cells, ToDoubles(cell->data, cell->data.size() / ItemSize(cell->dtype), cell->dtype));
  size_t x_at = 0, image_at = 0, cell_at = 0;
  for (size_t f = 0; f < context.frames.size(); ++f) {
    const size_t n = 3 * static_cast<size_t>(context.n_atoms[f]);
    const bool has = positions->HasFrame(f), has_image = image->HasFrame(f),
               has_cell = cell->HasFrame(f);
    if (has && has_image && has_cell) {
      for (size_t i = 0; i < n; ++i) {
        for (size_t a = 0; a < 3; ++a)
          x[x_at + i] += images[image_at + i / 3 * 3 + a] * cells[cell_at + a * 3 + i % 3];
      }
    } else if (has) {
      context.Warn(plan_.fields[static_cast<size_t>(plan_.image)].source,
                   "or the box is missing in frame " + std::to_string(context.frames[f]) +
                       ": not unwrapped there");
    }
    if (has) x_at += n;
    if (has_image) image_at += n;
    if (has_cell) cell_at += 9;
  }
  if (positions->dtype == DType::kFloat32) {
    positions->data = Buffer::Own(std::vector<float>(x.begin(), x.end()));
  } else {
    positions->dtype = DType::kFloat64;
    positions->data = Buffer::Own(std::move(x));
  }
  std::erase_if(batch.columns, [&](const Column& c) {
    return c.name == plan_.fields[static_cast<size_t>(plan_.image)].name;
  });
  return {};
}

}  // namespace zn::formats
