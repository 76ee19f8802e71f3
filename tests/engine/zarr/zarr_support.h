// Rooms to look at as Zarr, and a reader of views that shares nothing with them but the codecs.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <optional>

#include "support/temp_dir.h"
#include "zn/engine/codec.h"
#include "zn/engine/store.h"
#include "zn/engine/zarr_view.h"

namespace zn {

/// A store in a folder of its own, with whole chunks of 4 frames and up to 4 atoms where imports
/// make them.
class ZarrRooms {
 public:
  ZarrRooms() {
    StoreOptions options;
    options.create = true;
    options.background_maintenance = false;
    auto opened = Store::Open(dir_.path() + "/s", options);
    EXPECT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
  }
  Store& store() { return *store_; }

  std::shared_ptr<Room> Import(const std::string& name, const FrameBatch& batch,
                               const std::string& codecs = "") {
    BulkAppender::Options options;
    options.layout.frames_per_chunk = 4;
    options.layout.atoms_per_chunk = 4;
    options.layout.codecs = codecs;
    auto appender = store_->CreateRoomByImport(name, {}, "", options);
    EXPECT_TRUE(appender);
    auto appended = (*appender)->Append(batch);
    EXPECT_TRUE(appended) << appended.error().message;
    auto made = (*appender)->Finish({"tester", ""});
    EXPECT_TRUE(made) << made.error().message;
    return *store_->OpenRoom(name);
  }

 private:
  TempDir dir_;
  std::unique_ptr<Store> store_;
};

/// Frames of `sizes` atoms: positions (float32), numbers (int64), flags (bool) per atom; energy in
/// even frames, cell; a text; bonds, ragged (int32, 2): as many as atoms less one. Everything
/// depends on `salt`.
inline FrameBatch MixedFrames(const std::vector<int32_t>& sizes, int salt = 0) {
  FrameBatch batch;
  batch.n_atoms = sizes;
  std::vector<float> positions;
  std::vector<int64_t> numbers;
  std::vector<uint8_t> flags;
  std::vector<double> energies, cells;
  std::vector<int32_t> bonds;
  Column energy{"calc.energy"}, text{"info.note"}, bond{"connectivity"};
  for (size_t f = 0; f < sizes.size(); ++f) {
    for (int32_t a = 0; a < sizes[f]; ++a) {
      for (int k = 0; k < 3; ++k)
        positions.push_back(static_cast<float>(salt) +
                            0.125f * static_cast<float>(f * 100 + 3 * a + k));
      numbers.push_back(salt + a + 1);
      flags.push_back((a + salt) % 2 == 0);
    }
    for (int k = 0; k < 9; ++k) cells.push_back(salt + k);
    energy.present.push_back(f % 2 == 0);
    if (f % 2 == 0) energies.push_back(static_cast<double>(f) + 0.5 * salt);
    text.text.push_back("\"note " + std::to_string(salt) + " of " + std::to_string(f) + "\"");
    bond.lengths.push_back(std::max(0, sizes[f] - 1));
    for (int32_t b = 0; b + 1 < sizes[f]; ++b) bonds.insert(bonds.end(), {b, b + 1 + salt});
  }
  energy.data = Buffer::Own(energies);
  text.dtype = DType::kJson;
  bond.kind = FieldKind::kRagged;
  bond.dtype = DType::kInt32;
  bond.inner = Shape{2};
  bond.data = Buffer::Own(bonds);
  batch.columns.push_back(
      {"arrays.positions", FieldKind::kAtom, DType::kFloat32, Shape{3}, Buffer::Own(positions)});
  batch.columns.push_back(
      {"arrays.numbers", FieldKind::kAtom, DType::kInt64, Shape{}, Buffer::Own(numbers)});
  batch.columns.push_back(
      {"arrays.flags", FieldKind::kAtom, DType::kBool, Shape{}, Buffer::Own(flags)});
  batch.columns.push_back(
      {"cell", FieldKind::kFrame, DType::kFloat64, Shape{3, 3}, Buffer::Own(cells)});
  batch.columns.push_back(std::move(energy));
  batch.columns.push_back(std::move(text));
  batch.columns.push_back(std::move(bond));
  return batch;
}

inline std::shared_ptr<const ZarrView> ViewOf(const Snapshot& snapshot, bool sharded = false,
                                              std::shared_ptr<ZarrChunkCache> cache = nullptr) {
  ZarrViewOptions options;
  options.sharded = sharded;
  options.cache = std::move(cache);
  auto view = ZarrView::Create(snapshot, options);
  EXPECT_TRUE(view) << (view ? "" : view.error().message);
  return view ? *view : nullptr;
}

/// An array read whole, as a Zarr reader does it.
struct ReadArray {
  Shape shape;
  std::vector<std::byte> bytes;  // C order; unused for texts
  std::vector<std::string> texts;

  /// `count` elements of `row` along the first axis, from its start.
  template <class T>
  std::vector<T> Row(int64_t row, size_t count) const {
    const size_t stride = bytes.size() / static_cast<size_t>(shape[0]);
    std::vector<T> values(count);
    EXPECT_LE(count * sizeof(T), stride);
    std::memcpy(values.data(), bytes.data() + static_cast<size_t>(row) * stride, count * sizeof(T));
    return values;
  }
};

using ChunkReader =
    std::function<std::optional<Buffer>(const ZarrArray&, std::span<const int64_t>)>;

inline ReadArray ReadZarr(const ZarrArray& array, const ChunkReader& read) {
  const ZarrArrayMetadata& m = array.metadata;
  ReadArray result;
  result.shape = m.shape;
  const size_t item = ItemSize(m.dtype);
  result.bytes.resize(static_cast<size_t>(m.shape.Elements()) * item);
  result.texts.resize(item == 0 ? static_cast<size_t>(m.shape[0]) : 0);
  for (size_t at = 0; item > 0 && at < result.bytes.size(); at += item) {
    if (m.fill) std::memcpy(result.bytes.data() + at, m.fill->data(), item);
  }
  auto pipeline = CodecPipeline::Create(m.codecs, m.dtype);
  EXPECT_TRUE(pipeline);
  Shape grid;
  for (size_t axis = 0; axis < m.shape.rank(); ++axis)
    grid.Append((m.shape[axis] + m.chunks[axis] - 1) / m.chunks[axis]);
  std::vector<int64_t> chunk(grid.rank(), 0);
  for (int64_t n = 0; n < grid.Elements(); ++n) {
    int64_t rest = n;
    for (size_t axis = grid.rank(); axis-- > 0; rest /= grid[axis]) chunk[axis] = rest % grid[axis];
    const auto encoded = read(array, chunk);
    if (!encoded) {
      EXPECT_TRUE(m.fill) << array.name << " lacks a chunk, but readers of v2 know no fill value";
      continue;
    }
    if (item == 0) {
      const auto raw = (*pipeline)->DecodeVariable(encoded->bytes(), SIZE_MAX);
      EXPECT_TRUE(raw) << array.name;
      const auto texts = DecodeText(*raw);
      EXPECT_TRUE(texts && static_cast<int64_t>(texts->size()) == m.chunks[0]) << array.name;
      for (size_t i = 0; i < texts->size(); ++i) {
        const size_t row = static_cast<size_t>(chunk[0] * m.chunks[0]) + i;
        if (row < result.texts.size()) result.texts[row] = std::string((*texts)[i]);
      }
      continue;
    }
    std::vector<std::byte> raw(static_cast<size_t>(m.chunks.Elements()) * item);
    const auto decoded = (*pipeline)->Decode(encoded->bytes(), m.chunks, raw);
    EXPECT_TRUE(decoded) << array.name << ": " << (decoded ? "" : decoded.error().message);
    // Element by element: slow and plain.
    for (int64_t e = 0; e < m.chunks.Elements(); ++e) {
      int64_t left = e;
      size_t to = 0, stride = 1;
      bool inside = true;
      for (size_t axis = m.shape.rank(); axis-- > 0; left /= m.chunks[axis]) {
        const int64_t index = chunk[axis] * m.chunks[axis] + left % m.chunks[axis];
        inside &= index < m.shape[axis];
        to += static_cast<size_t>(index) * stride;
        stride *= static_cast<size_t>(m.shape[axis]);
      }
      if (inside)
        std::memcpy(result.bytes.data() + to * item, raw.data() + static_cast<size_t>(e) * item,
                    item);
    }
  }
  return result;
}

inline ReadArray ReadZarr(const ZarrView& view, const std::string& name) {
  const ZarrArray* array = view.Find(name);
  EXPECT_NE(array, nullptr) << name;
  return ReadZarr(*array,
                  [&](const ZarrArray& a, std::span<const int64_t> chunk) -> std::optional<Buffer> {
                    const auto value = view.ReadChunk(a, chunk);
                    EXPECT_TRUE(value) << a.name << ": " << (value ? "" : value.error().message);
                    if (!value || !*value) return std::nullopt;
                    EXPECT_EQ((*value)->bytes.size() > 0, true);
                    return (*value)->bytes;
                  });
}

/// Every field of every frame equals what the snapshot reads; padding is fill; absence is where it
/// says.
inline void ExpectViewEquals(const ZarrView& view, const Snapshot& snapshot) {
  const ReadArray counts = ReadZarr(view, "n_atoms");
  for (size_t f = 0; f < snapshot.fields().size(); ++f) {
    const FieldDescriptor& field = snapshot.fields()[f];
    SCOPED_TRACE(field.name);
    const std::string name = ZarrNodeName(field.name);
    const ReadArray array = ReadZarr(view, name);
    ASSERT_EQ(array.shape[0], snapshot.frames());
    std::optional<ReadArray> present, lengths;
    if (view.Find(name + ".__present__")) present = ReadZarr(view, name + ".__present__");
    if (field.kind == FieldKind::kRagged) lengths = ReadZarr(view, name + ".__lengths__");
    std::vector<std::byte> fill(std::max<size_t>(ItemSize(field.dtype), 1));
    if (field.dtype != DType::kJson) WriteFillValue(field.dtype, fill.data());
    bool some_absent = false;
    for (int64_t i = 0; i < snapshot.frames(); ++i) {
      const FrameId id = *snapshot.IdAt(i);
      const auto row = snapshot.ReadRow(static_cast<FieldIndex>(f), id);
      ASSERT_TRUE(row) << row.error().message;
      EXPECT_EQ(counts.Row<int32_t>(i, 1)[0], *snapshot.AtomCount(id));
      some_absent |= !*row;
      if (present) {
        EXPECT_EQ(present->Row<uint8_t>(i, 1)[0], row->has_value()) << "frame " << i;
      }
      if (field.dtype == DType::kJson) {
        EXPECT_EQ(array.texts[static_cast<size_t>(i)], *row ? (*row)->text : "") << "frame " << i;
        continue;
      }
      const size_t have = *row ? (*row)->bytes.size() : 0;
      if (lengths) {
        EXPECT_EQ(lengths->Row<int64_t>(i, 1)[0], *row ? (*row)->shape[0] : 0) << "frame " << i;
      }
      const size_t stride = array.bytes.size() / static_cast<size_t>(snapshot.frames());
      ASSERT_LE(have, stride);
      const std::byte* at = array.bytes.data() + static_cast<size_t>(i) * stride;
      if (have > 0) {
        EXPECT_EQ(std::memcmp(at, (*row)->bytes.data(), have), 0) << "frame " << i;
      }
      for (size_t b = have; b < stride; b += fill.size())
        ASSERT_EQ(std::memcmp(at + b, fill.data(), fill.size()), 0) << "padding of frame " << i;
    }
    EXPECT_EQ(present.has_value(), some_absent);
  }
}

}  // namespace zn
