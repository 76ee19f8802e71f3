#include "h5md/batch_builder.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "column_map.h"
#include "h5md/batch_context.h"
#include "h5md/convert.h"

namespace zn::formats {
namespace {

constexpr int64_t kMaxFrames = 1 << 16;  // of a batch

int64_t Product(const std::vector<int64_t>& extents) {
  int64_t n = 1;
  for (int64_t extent : extents) n *= extent;
  return n;
}

// Bytes that a frame of a field costs while its batch is made.
int64_t FrameBytes(const Field& field, const Plan& plan) {
  if (field.role == Role::kConstant) return static_cast<int64_t>(field.constant.size());
  if (!field.data) return 8;
  if (field.flat) return 0;  // counted by atoms
  if (field.data->is_text()) return 256 * std::max<int64_t>(1, field.data->row_elements());
  int64_t rows = field.fixed ? field.data->rows() : 1;
  if (field.role == Role::kJoined)
    rows = field.data->rows() / std::max<int64_t>(1, plan.frames) + 1;
  return rows * field.data->row_bytes();
}

}  // namespace

BatchBuilder::BatchBuilder(Plan plan, const ReadOptions& options)
    : plan_(std::move(plan)), options_(options) {
  wanted_ = CountWanted(options_, plan_.frames);
  repeated_.resize(plan_.fields.size());
  DivideFrames();
}

void BatchBuilder::DivideFrames() {
  const int64_t target = std::max<int64_t>(1, options_.batch_bytes);
  int64_t frame_bytes = 1, atom_bytes = 0;
  for (const Field& field : plan_.fields) {
    frame_bytes += FrameBytes(field, plan_);
    if (field.flat) atom_bytes += field.data->row_bytes();
  }
  starts_ = {0};
  if (atom_bytes > 0) {
    int64_t bytes = 0;
    for (int64_t i = 0; i < wanted_; ++i) {
      int64_t frame = options_.start + i * options_.step;
      int64_t cost = frame_bytes + plan_.n_atoms[static_cast<size_t>(frame)] * atom_bytes;
      if (i > starts_.back() && (bytes + cost > target || i - starts_.back() >= kMaxFrames)) {
        starts_.push_back(i);
        bytes = 0;
      }
      bytes += cost;
    }
  } else {
    int64_t count = std::clamp<int64_t>(target / frame_bytes, 1, kMaxFrames);
    // Ends of batches at ends of chunks: no chunk is inflated twice.
    int64_t chunk = options_.step == 1 ? plan_.chunk_rows : 1, shift = 0;
    if (chunk > 1 && chunk <= kMaxFrames && chunk <= 4 * count) {
      count = std::max(count / chunk, int64_t{1}) * chunk;
      shift = options_.start % chunk;
    }
    for (int64_t i = count - shift; i < wanted_; i += count) starts_.push_back(i);
  }
  if (wanted_ > 0) starts_.push_back(wanted_);
}

Result<BuiltBatch> BatchBuilder::Build(size_t index) const {
  Context context;
  for (int64_t i = starts_[index]; i < starts_[index + 1]; ++i)
    context.frames.push_back(options_.start + i * options_.step);
  context.raw.resize(plan_.fields.size());
  context.chunks.resize(plan_.fields.size());
  ZN_RETURN_IF_ERROR(CountAtoms(context));

  BuiltBatch built;
  for (size_t i = 0; i < plan_.fields.size(); ++i) {
    ZN_ASSIGN_OR_RETURN(auto column, Make(static_cast<int>(i), context));
    if (!column) continue;
    AddChunks(plan_.fields[i], context, std::move(context.chunks[i]), *column);
    built.batch.columns.push_back(std::move(*column));
  }
  built.batch.n_atoms = std::move(context.n_atoms);
  if (plan_.unwrap) {
    context.n_atoms = built.batch.n_atoms;
    ZN_RETURN_IF_ERROR(Unwrap(context, built.batch));
  }
  built.warnings = std::move(context.warnings);
  return built;
}

Result<> BatchBuilder::CountAtoms(Context& context) const {
  const size_t count = context.frames.size();
  if (!plan_.n_atoms.empty()) {
    for (int64_t frame : context.frames)
      context.n_atoms.push_back(plan_.n_atoms[static_cast<size_t>(frame)]);
  } else if (plan_.padded) {
    // As many as are not NaN to the end: by species where there are any, but no fewer than have a
    // position.
    context.n_atoms.assign(count, 0);
    for (int index : {plan_.species, plan_.positions}) {
      if (index < 0) continue;
      const Field& field = plan_.fields[static_cast<size_t>(index)];
      Context::Raw& raw = context.raw[static_cast<size_t>(index)];
      if (field.fixed) continue;
      ZN_ASSIGN_OR_RETURN(raw.bytes, Rows(field, context, raw.present));
      raw.read = true;
      const DType dtype = field.data->dtype();
      const size_t atom_values = static_cast<size_t>(Product(field.inner));
      const size_t atom_bytes = atom_values * ItemSize(dtype);
      const std::byte* row = raw.bytes.data();
      for (size_t f = 0; f < count; ++f) {
        if (!raw.present[f]) continue;
        int64_t n = field.atoms;
        while (n > 0 && AllNan(row + static_cast<size_t>(n - 1) * atom_bytes, atom_values, dtype))
          --n;
        context.n_atoms[f] = std::max(context.n_atoms[f], static_cast<int32_t>(n));
        row += field.data->row_bytes();
      }
    }
  } else {
    context.n_atoms.assign(count, static_cast<int32_t>(plan_.atoms));
  }
  if (plan_.ids) ZN_RETURN_IF_ERROR(SortAtoms(context));
  return {};
}

Result<> BatchBuilder::SortAtoms(Context& context) const {
  const size_t atoms = static_cast<size_t>(plan_.atoms);
  const size_t item = ItemSize(plan_.ids->dtype());
  Buffer bytes = plan_.fixed_ids;
  std::vector<uint8_t> present(context.frames.size(), 1);
  if (!plan_.ids_fixed) {
    std::vector<int64_t> rows;
    for (size_t f = 0; f < present.size(); ++f) {
      int64_t row = plan_.id_rows.Row(context.frames[f]);
      present[f] = row >= 0;
      if (row >= 0) rows.push_back(row);
    }
    ZN_ASSIGN_OR_RETURN(bytes, plan_.ids->ReadRows(rows));
  }
  bool sorted_already = true;
  size_t at = 0;
  context.order_starts.reserve(present.size() + 1);
  for (size_t f = 0; f < present.size(); ++f) {
    context.order_starts.push_back(context.order.size());
    const size_t start = context.order.size();
    if (!present[f]) {
      for (size_t i = 0; i < atoms; ++i) context.order.push_back(static_cast<int32_t>(i));
      for (size_t i = 0; i < atoms; ++i) context.ids.push_back(static_cast<int64_t>(i));
      continue;
    }
    auto ids =
        WidenIntegers(bytes.Slice(at * atoms * item, atoms * item), atoms, plan_.ids->dtype());
    if (!plan_.ids_fixed) ++at;
    for (size_t i = 0; i < atoms; ++i) {
      if (ids[i] >= 0 && !(plan_.absent_id && ids[i] == *plan_.absent_id))
        context.order.push_back(static_cast<int32_t>(i));
    }
    auto begin = context.order.begin() + static_cast<std::ptrdiff_t>(start);
    auto less = [&](int32_t a, int32_t b) {
      return ids[static_cast<size_t>(a)] < ids[static_cast<size_t>(b)];
    };
    if (!std::is_sorted(begin, context.order.end(), less)) {
      std::stable_sort(begin, context.order.end(), less);
      sorted_already = false;
    }
    for (auto i = begin; i != context.order.end(); ++i) {
      int64_t id = ids[static_cast<size_t>(*i)];
      if (context.ids.size() > start && context.ids.back() == id) {
        context.Warn(plan_.ids->path(),
                     "has id " + std::to_string(id) + " more than once in frame " +
                         std::to_string(context.frames[f]) + ": both rows are kept");
      }
      context.ids.push_back(id);
    }
    context.n_atoms[f] = static_cast<int32_t>(context.order.size() - start);
    sorted_already = sorted_already && context.n_atoms[f] == static_cast<int32_t>(atoms);
  }
  context.order_starts.push_back(context.order.size());
  context.ordered = !sorted_already;
  return {};
}

Result<std::optional<Column>> BatchBuilder::Make(int index, Context& context) const {
  const Field& field = plan_.fields[static_cast<size_t>(index)];
  Column column;
  column.name = field.name;
  column.attributes = field.attributes;
  bool any = false;
  switch (field.role) {
    case Role::kAtoms: {
      ZN_ASSIGN_OR_RETURN(any, MakeAtoms(index, context, column));
      break;
    }
    case Role::kFrame:
    case Role::kRagged: {
      ZN_ASSIGN_OR_RETURN(any, MakeFrames(field, context, column));
      break;
    }
    case Role::kText: {
      ZN_ASSIGN_OR_RETURN(any, MakeText(field, context, column));
      break;
    }
    case Role::kCell:
    case Role::kPbc: {
      ZN_ASSIGN_OR_RETURN(any, MakeBox(field, context, column));
      break;
    }
    case Role::kConstant: {
      column.dtype = field.dtype;
      for (int64_t extent : field.inner) column.inner.Append(extent);
      Buffer frame(nullptr, field.constant);
      ZN_ASSIGN_OR_RETURN(column.data, Repeat(field, frame, context.frames.size()));
      any = true;
      break;
    }
    case Role::kStep:
    case Role::kTime: {
      ZN_ASSIGN_OR_RETURN(any, MakeAxis(field, context, column));
      break;
    }
    case Role::kJoined: {
      ZN_ASSIGN_OR_RETURN(any, MakeJoined(field, context, column));
      break;
    }
    case Role::kBonds: {
      ZN_ASSIGN_OR_RETURN(any, MakeBonds(field, context, column));
      break;
    }
  }
  if (!any) return std::optional<Column>();
  if (std::all_of(column.present.begin(), column.present.end(), [](uint8_t p) { return p != 0; }))
    column.present.clear();
  return std::optional<Column>(std::move(column));
}

void BatchBuilder::AddChunks(const Field& field, const Context& context,
                             std::vector<SourceChunk> chunks, Column& column) const {
  if (!field.data || field.fixed || field.flat) return;
  std::shared_ptr<const Geometry> grid = field.data->Grid(column.kind);
  // Units, integers from floats and the like make other values of them.
  if (!grid || grid->dtype != column.dtype || grid->kind != column.kind ||
      grid->inner != column.inner)
    return;
  const int64_t first = context.frames.front(),
                frames = static_cast<int64_t>(context.frames.size());
  const int64_t rows = grid->frames_per_chunk;
  column.grid = std::move(grid);
  if (context.frames.back() - first != frames - 1) return;
  for (size_t f = 0; f < context.frames.size(); ++f) {
    const int64_t row = field.rows.Row(context.frames[f]);
    if (row >= 0 && row != context.frames[f]) return;
  }
  for (SourceChunk& chunk : chunks) {
    const int64_t frame = chunk.first_row - first;
    if (frame >= 0 && frame + rows <= frames)
      column.encoded.push_back(
          {frame, chunk.block, std::move(chunk.encoded), std::move(chunk.decoded)});
  }
}

Result<Buffer> BatchBuilder::Rows(const Field& field, Context& context,
                                  std::vector<uint8_t>& present) const {
  std::vector<int64_t> rows;
  rows.reserve(context.frames.size());
  present.assign(context.frames.size(), 0);
  for (size_t f = 0; f < present.size(); ++f) {
    int64_t row = field.rows.Row(context.frames[f]);
    if (row < 0) continue;
    present[f] = 1;
    rows.push_back(row);
  }
  if (rows.empty()) return Buffer();
  const size_t index = static_cast<size_t>(&field - plan_.fields.data());
  return field.data->ReadRowsAndChunks(rows, context.chunks[index]);
}

Result<Buffer> BatchBuilder::Repeat(const Field& field, const Buffer& frame, size_t frames) const {
  const size_t index = static_cast<size_t>(&field - plan_.fields.data());
  std::lock_guard lock(mutex_);
  Buffer& kept = repeated_[index];
  if (kept.size() < frame.size() * frames) {
    auto block = Block::Allocate(static_cast<int64_t>(frames), static_cast<int64_t>(frame.size()));
    if (!block)
      return Fail(block.error().code, field, block.error().message, "read smaller batches");
    for (size_t f = 0; f < frames; ++f)
      std::memcpy(block->data() + f * frame.size(), frame.data(), frame.size());
    kept = std::move(*block).Take(frame.size() * frames);
  }
  return kept.Slice(0, frame.size() * frames);
}

}  // namespace zn::formats
