#include "zarr/grid.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "room/reader.h"
#include "zarr/live_ids.h"

namespace zn::internal {
namespace {

using Json = nlohmann::ordered_json;

// Arrays of flags have one byte a frame: 16 KiB, which pack to almost nothing.
constexpr int64_t kFlagsPerChunk = 16384;
// A shard's raw bytes, since all of it is encoded before its index is known when its frames were
// moved, and its chunks, since readers fetch the whole index.
constexpr int64_t kShardBytes = 64 << 20;
constexpr int64_t kShardChunks = 512;
// What a chunk of texts is taken for.
constexpr int64_t kTextChunkBytes = 1 << 20;
constexpr std::string_view kIndexCodecs =
    R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"crc32c"}])";

/// What the trees say about a field's live frames.
struct FieldSummary {
  int64_t present = 0;
  std::vector<int64_t> whole_rows;  // by geometry: rows in chunks of F rows, and A atoms
};

Result<FieldSummary> Summarise(const StoreCore& core, const RoomState& state, uint32_t field,
                               const std::vector<IdRun>& live) {
  const FieldDescriptor& d = state.table->all[field]->descriptor;
  FieldSummary summary;
  summary.whole_rows.resize(d.geometries.size());
  ZN_RETURN_IF_ERROR(ForEachPresent(
      core, state.rows[field], live,
      [&](uint64_t, uint64_t span, const FieldEntry& entry) -> Result<> {
        summary.present += static_cast<int64_t>(span);
        if (entry.geometry >= d.geometries.size()) return {};
        const Geometry& g = d.geometries[entry.geometry];
        const bool whole =
            entry.chunk_rows == g.frames_per_chunk && entry.chunk_atoms == g.atoms_per_chunk;
        if (whole) summary.whole_rows[entry.geometry] += static_cast<int64_t>(span);
        return {};
      }));
  return summary;
}

/// The largest of a kFrame integer field's values among the live frames; 0 when there are none.
template <class T>
Result<int64_t> Largest(const StoreCore& core, const RoomState& state, uint32_t field,
                        const std::vector<IdRun>& live) {
  const FieldInfo& info = *state.table->all[field];
  int64_t largest = 0;
  ZN_RETURN_IF_ERROR(ForEachPresent(
      core, state.rows[field], live,
      [&](uint64_t, uint64_t span, const FieldEntry& entry) -> Result<> {
        const Geometry& g = info.descriptor.geometries[entry.geometry];
        ZN_ASSIGN_OR_RETURN(const Buffer bytes,
                            core.chunks->ReadRows(g, *info.pipelines[entry.geometry], entry, 0,
                                                  entry.row, static_cast<int64_t>(span)));
        for (size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
          T value;
          std::memcpy(&value, bytes.data() + i, sizeof value);
          largest = std::max(largest, static_cast<int64_t>(value));
        }
        return {};
      }));
  return largest;
}

/// The most rows that any live frame has of a ragged field.
Result<int64_t> LargestLength(const StoreCore& core, const RoomState& state, uint32_t field,
                              const std::vector<IdRun>& live) {
  const FieldInfo& info = *state.table->all[field];
  int64_t largest = 0;
  if (info.lengths >= 0) {
    ZN_ASSIGN_OR_RETURN(largest,
                        Largest<int64_t>(core, state, static_cast<uint32_t>(info.lengths), live));
  }
  ZN_RETURN_IF_ERROR(ForEachPresent(
      core, state.rows[field], live, [&](uint64_t, uint64_t, const FieldEntry& entry) -> Result<> {
        const Geometry& g = info.descriptor.geometries[entry.geometry];
        if (g.kind == FieldKind::kFrame)
          largest = std::max(largest, g.inner.rank() > 0 ? g.inner[0] : 1);
        return {};
      }));
  return largest;
}

/// The geometry of the field's own type with the most rows in whole chunks; the newest of its type
/// when there are none.
Result<uint16_t> ChooseGrid(const FieldDescriptor& d, const FieldSummary& summary) {
  std::optional<size_t> best;
  for (size_t i = d.geometries.size(); i-- > 0;) {
    const Geometry& g = d.geometries[i];
    if (g.dtype != d.dtype || g.kind != d.kind || !(g.inner == d.inner)) continue;
    if (!best || summary.whole_rows[i] > summary.whole_rows[*best]) best = i;
  }
  if (!best)
    return Error{ErrorCode::kCorrupt,
                 "field " + d.name + " has no geometry of its own type; run zn-fsck"};
  return static_cast<uint16_t>(*best);
}

std::vector<std::byte> FillOf(DType dtype) {
  std::vector<std::byte> fill(ItemSize(dtype));
  if (!fill.empty()) WriteFillValue(dtype, fill.data());
  return fill;
}

/// Names that stand for one size all over the hierarchy, as xarray demands: "dim3", and "dim3_2"
/// for a second such axis.
void NameInnerAxes(const Shape& inner, std::vector<std::string>& names) {
  std::map<int64_t, int> seen;
  for (const int64_t extent : inner) {
    const int nth = ++seen[extent];
    names.push_back("dim" + std::to_string(extent) + (nth > 1 ? "_" + std::to_string(nth) : ""));
  }
}

Json ParseAttributes(const std::string& text) {
  Json attributes = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return attributes.is_object() ? attributes : Json::object();
}

std::string Print(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ZarrSharding ChooseShards(const Geometry& g, const Shape& shape, const Shape& chunks) {
  ZarrSharding sharding;
  sharding.index_codecs = kIndexCodecs;
  const int64_t blocks = g.kind == FieldKind::kFrame
                             ? 1
                             : std::max<int64_t>(1, (shape[1] + chunks[1] - 1) / chunks[1]);
  const int64_t wide = std::min(blocks, kShardChunks);
  const int64_t chunk_bytes = g.dtype == DType::kJson
                                  ? kTextChunkBytes
                                  : std::max<int64_t>(1, g.RowBytes() * g.frames_per_chunk);
  const int64_t long_ =
      std::clamp<int64_t>(kShardBytes / chunk_bytes / wide, 1, kShardChunks / wide);
  sharding.shard = chunks;
  sharding.shard[0] *= long_;
  if (g.kind != FieldKind::kFrame) sharding.shard[1] *= wide;
  return sharding;
}

class GridMaker {
 public:
  GridMaker(StoreCore& core, const RoomState& state, const ZarrViewOptions& options)
      : core_(core), state_(state), options_(options) {}

  Result<Grid> Make() {
    ZN_ASSIGN_OR_RETURN(live_, LiveIds(core_, state_));
    ZN_ASSIGN_OR_RETURN(atoms_, Largest<int32_t>(core_, state_, kAtomCountField, live_));
    ZN_ASSIGN_OR_RETURN(FieldSummary counts, Summarise(core_, state_, kAtomCountField, live_));
    if (!state_.table->all[kAtomCountField]->descriptor.geometries.empty())
      ZN_RETURN_IF_ERROR(AddField(kAtomCountField, ZarrArray::Content::kAtomCounts, counts));
    for (const uint32_t field : state_.table->listed_to_all) {
      ZN_ASSIGN_OR_RETURN(const FieldSummary summary, Summarise(core_, state_, field, live_));
      ZN_RETURN_IF_ERROR(AddField(field, ZarrArray::Content::kField, summary));
      const FieldInfo& info = *state_.table->all[field];
      if (info.descriptor.kind == FieldKind::kRagged) ZN_RETURN_IF_ERROR(AddLengths(field));
      if (summary.present < state_.frames()) ZN_RETURN_IF_ERROR(AddPresent(field));
    }
    return std::move(grid_);
  }

 private:
  Result<> AddField(uint32_t field, ZarrArray::Content content, const FieldSummary& summary) {
    const FieldDescriptor& d = state_.table->all[field]->descriptor;
    ZarrArray array;
    array.field = d.name;
    array.content = content;
    array.name = ZarrNodeName(d.name);
    Json attributes = ParseAttributes(d.attributes);
    if (content == ZarrArray::Content::kField) {
      attributes["kind"] = FieldKindName(d.kind);
      if (array.name != d.name) attributes["field"] = d.name;
      if (d.dtype == DType::kJson) attributes["encoding"] = "json";
      if (options_.aliases) {
        const std::vector<std::string> aliases = options_.aliases(d.name);
        if (!aliases.empty()) attributes["aliases"] = aliases;
      }
    }
    GridArray part;
    part.field = field;
    ZN_ASSIGN_OR_RETURN(part.geometry_index, ChooseGrid(d, summary));
    part.geometry = d.geometries[part.geometry_index];
    array.metadata.dimension_names = {"frame"};
    int64_t rows = 0;
    if (d.kind == FieldKind::kAtom) {
      rows = atoms_;
      array.metadata.dimension_names.push_back("atom");
    } else if (d.kind == FieldKind::kRagged) {
      ZN_ASSIGN_OR_RETURN(rows, LargestLength(core_, state_, field, live_));
      array.metadata.dimension_names.push_back(array.name + ".row");
    }
    part.from_stored = true;
    return Add(std::move(array), std::move(part), rows, std::move(attributes));
  }

  Result<> AddLengths(uint32_t field) {
    const FieldInfo& info = *state_.table->all[field];
    ZarrArray array;
    array.field = info.descriptor.name;
    array.content = ZarrArray::Content::kLengths;
    array.name = ZarrNodeName(array.field) + std::string(kZarrLengths);
    array.metadata.dimension_names = {"frame"};
    GridArray part;
    part.field = field;
    part.geometry = FlagGeometry(DType::kInt64);
    return Add(std::move(array), std::move(part), 0, Json::object());
  }

  Result<> AddPresent(uint32_t field) {
    ZarrArray array;
    array.field = state_.table->all[field]->descriptor.name;
    array.content = ZarrArray::Content::kPresent;
    array.name = ZarrNodeName(array.field) + std::string(kZarrPresent);
    array.metadata.dimension_names = {"frame"};
    GridArray part;
    part.field = field;
    part.geometry = FlagGeometry(DType::kBool);
    return Add(std::move(array), std::move(part), 0, Json::object());
  }

  static Geometry FlagGeometry(DType dtype) {
    Geometry geometry;
    geometry.dtype = dtype;
    geometry.frames_per_chunk = kFlagsPerChunk;
    geometry.codecs = DefaultCodecs(dtype);
    return geometry;
  }

  Result<> Add(ZarrArray array, GridArray part, int64_t rows, Json attributes) {
    Geometry& g = part.geometry;
    ZarrArrayMetadata& m = array.metadata;
    m.shape = g.kind == FieldKind::kFrame ? g.inner.Behind(state_.frames())
                                          : g.inner.Behind(rows).Behind(state_.frames());
    // Zarr has no chunks without extent.
    Shape inner = g.inner;
    for (size_t axis = 0; axis < inner.rank(); ++axis)
      inner[axis] = std::max<int64_t>(inner[axis], 1);
    m.chunks = g.kind == FieldKind::kFrame
                   ? inner.Behind(g.frames_per_chunk)
                   : inner.Behind(g.atoms_per_chunk).Behind(g.frames_per_chunk);
    m.dtype = g.dtype;
    // What only this engine decodes, only one version can say, or is only ever read, is encoded
    // anew.
    ZN_ASSIGN_OR_RETURN(part.pipeline, core_.pipelines.Get(g.codecs, g.dtype));
    if (!part.pipeline->CanEncode() || !CheckPortableCodecs(g.codecs, g.dtype, m.shape.rank())) {
      g.codecs = DefaultCodecs(g.dtype);
      part.from_stored = false;
      ZN_ASSIGN_OR_RETURN(part.pipeline, core_.pipelines.Get(g.codecs, g.dtype));
    }
    m.codecs = g.codecs;
    part.may_miss = IsFloating(g.dtype);
    if (part.may_miss) m.fill = FillOf(g.dtype);
    NameInnerAxes(g.inner, m.dimension_names);
    m.attributes = Print(attributes);
    if (options_.sharded) m.sharding = ChooseShards(g, m.shape, m.chunks);
    grid_.arrays.push_back(std::move(array));
    grid_.parts.push_back(std::move(part));
    return {};
  }

  StoreCore& core_;
  const RoomState& state_;
  const ZarrViewOptions& options_;
  std::vector<IdRun> live_;
  int64_t atoms_ = 0;
  Grid grid_;
};

}  // namespace

Result<Grid> MakeGrid(StoreCore& core, const RoomState& state, const ZarrViewOptions& options) {
  return GridMaker(core, state, options).Make();
}

}  // namespace zn::internal
