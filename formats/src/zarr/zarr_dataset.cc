#include "zarr/zarr_dataset.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "zarr/zarr_hierarchy.h"
#include "zn/engine/region.h"

namespace zn::formats::zarr {
namespace {

constexpr size_t kMaxText = size_t{512} << 20;  // of one chunk, decoded
// Larger chunks are slow to read a frame from, and slow to edit.
constexpr int64_t kMaxGridBytes = int64_t{64} << 20;
// So many chunks as small as this are better joined.
constexpr int64_t kTinyBytes = 4096, kManyChunks = 10'000;
// What an array may claim without having a chunk for it.
constexpr int64_t kAlwaysAllowed = int64_t{1} << 30, kMaxSparsity = 1000;

Shape Zeros(size_t rank) {
  Shape zeros;
  for (size_t axis = 0; axis < rank; ++axis) zeros.Append(0);
  return zeros;
}

Shape Tail(const Shape& shape, size_t from) {
  Shape tail;
  for (size_t axis = from; axis < shape.rank(); ++axis) tail.Append(shape[axis]);
  return tail;
}

/// The next chunk behind the first axis, in C order; false behind the last.
bool Advance(Shape& chunk, const Shape& grid, size_t first_axis) {
  for (size_t axis = grid.rank(); axis-- > first_axis;) {
    if (++chunk[axis] < grid[axis]) return true;
    chunk[axis] = 0;
  }
  return false;
}

/// Chunks (or shards) below `folder`, at most `enough` of them.
Result<int64_t> CountValues(const Store& store, const std::string& folder, int64_t enough,
                            int depth) {
  ZN_ASSIGN_OR_RETURN(const auto children, store.List(folder));
  int64_t count = 0;
  for (const Store::Child& child : children) {
    if (count >= enough) break;
    if (!child.is_folder) {
      count += child.name != "zarr.json" && child.name[0] != '.';
    } else if (depth < 10) {
      ZN_ASSIGN_OR_RETURN(
          const int64_t below,
          CountValues(store, folder.empty() ? child.name : folder + "/" + child.name,
                      enough - count, depth + 1));
      count += below;
    }
  }
  return count;
}

}  // namespace

bool AreRoomCodecs(std::string_view codecs, DType dtype) {
  const auto list = nlohmann::json::parse(codecs, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) return false;
  for (const auto& codec : list) {
    const bool named = codec.is_object() && codec.contains("name");
    const std::string name = codec.is_string() ? codec.get<std::string>()
                             : named           ? codec["name"].get<std::string>()
                                               : "";
    const auto configuration =
        named && codec.contains("configuration") ? codec["configuration"] : nlohmann::json();
    if (name == "bytes") {
      if (ItemSize(dtype) > 1 && configuration.value("endian", "") != "little") return false;
    } else if (name != "vlen-utf8" && name != "blosc" && name != "zstd" && name != "lz4" &&
               name != "numcodecs.lz4" && name != "gzip" && name != "crc32c") {
      return false;
    }
  }
  const auto pipeline = CodecPipeline::Create(codecs, dtype);
  return pipeline && (*pipeline)->CanEncode();
}

ZarrDataset::ZarrDataset(std::shared_ptr<const ZarrHierarchy> hierarchy, const Object& object,
                         std::string key, ZarrArrayMetadata metadata)
    : hierarchy_(std::move(hierarchy)),
      key_(std::move(key)),
      metadata_(std::move(metadata)),
      decoded_(32 << 20),
      texts_(32 << 20),
      shards_(64 << 20) {
  object_ = object;
  shape_.assign(metadata_.shape.begin(), metadata_.shape.end());
  if (metadata_.chunks.rank() > 0) chunk_.assign(metadata_.chunks.begin(), metadata_.chunks.end());
  readable_ = true;
  dtype_ = metadata_.dtype;
  text_ = dtype_ == DType::kJson;
  row_elements_ = shape_.empty() ? 1 : Tail(metadata_.shape, 1).Elements();
  row_bytes_ = text_ ? 0 : row_elements_ * static_cast<int64_t>(ItemSize(dtype_));
  if (!text_) fill_ = metadata_.fill;
}

Result<std::shared_ptr<Dataset>> ZarrDataset::Open(std::shared_ptr<const ZarrHierarchy> hierarchy,
                                                   const Object& object, std::string key,
                                                   ZarrArrayMetadata metadata) {
  std::shared_ptr<ZarrDataset> dataset(
      new ZarrDataset(std::move(hierarchy), object, std::move(key), std::move(metadata)));
  const ZarrArrayMetadata& m = dataset->metadata_;
  dataset->fill_element_.resize(ItemSize(m.dtype));
  if (m.fill) dataset->fill_element_ = *m.fill;
  const std::span<const std::byte> fill =
      dataset->text_ ? std::span<const std::byte>() : dataset->fill_element_;
  ZN_ASSIGN_OR_RETURN(dataset->pipeline_, CodecPipeline::Create(m.codecs, m.dtype, fill));
  if (m.sharding) {
    ZN_ASSIGN_OR_RETURN(dataset->index_format_, ShardIndexFormat::Create(m.sharding->index_codecs));
  }
  for (size_t axis = 0; axis < m.shape.rank(); ++axis)
    dataset->grid_.Append(m.shape[axis] / m.chunks[axis] + (m.shape[axis] % m.chunks[axis] != 0));
  dataset->chunk_bytes_ = static_cast<size_t>(m.chunks.Elements()) * ItemSize(m.dtype);
  dataset->keeps_chunks_ = !dataset->text_ && AreRoomCodecs(m.codecs, m.dtype);
  ZN_RETURN_IF_ERROR(dataset->CheckStored());
  return std::shared_ptr<Dataset>(std::move(dataset));
}

const Hierarchy& ZarrDataset::file() const { return *hierarchy_; }

Result<> ZarrDataset::CheckStored() const {
  // Every row is a frame, also of what was never written: a shape of a million million of them is a
  // mistake or worse.
  const Shape& unit = metadata_.sharding ? metadata_.sharding->shard : metadata_.chunks;
  int64_t bytes = metadata_.shape.Elements();
  const bool overflow = __builtin_mul_overflow(bytes, int64_t{16}, &bytes);
  const bool large =
      overflow || bytes > kAlwaysAllowed || (shape_.size() > 0 && shape_[0] > (int64_t{1} << 31));
  if (!large) return {};
  int64_t chunks = 1;
  for (size_t axis = 0; axis < unit.rank(); ++axis) {
    const int64_t along =
        metadata_.shape[axis] / unit[axis] + (metadata_.shape[axis] % unit[axis] != 0);
    if (__builtin_mul_overflow(chunks, along, &chunks)) chunks = INT64_MAX;
  }
  const int64_t needed = chunks / kMaxSparsity;
  ZN_ASSIGN_OR_RETURN(const int64_t stored, CountValues(hierarchy_->store(), key_, needed + 4, 0));
  if (stored >= needed) return {};
  return Fail(
      ErrorCode::kTooLarge,
      "claims a shape of " + metadata_.shape.ToString() + ", but has " + std::to_string(stored) +
          " of its " + std::to_string(chunks) + " chunks",
      "check its shape with " + std::string(hierarchy_->tool()) + ", or read a part with --stop");
}

std::string ZarrDataset::KeyOf(const Shape& chunk) const {
  const std::string key = ZarrChunkKey(metadata_, {chunk.begin(), chunk.rank()});
  return key_.empty() ? key : key_ + "/" + key;
}

Error ZarrDataset::ChunkError(const Shape& chunk, Error error) const {
  Shape stored = chunk;
  if (metadata_.sharding)
    for (size_t axis = 0; axis < chunk.rank(); ++axis)
      stored[axis] = chunk[axis] / (metadata_.sharding->shard[axis] / metadata_.chunks[axis]);
  // The code: a chunk is never the caller's argument.
  const ErrorCode code =
      error.code == ErrorCode::kInvalidArgument ? ErrorCode::kCorrupt : error.code;
  const std::string key = ZarrChunkKey(metadata_, {stored.begin(), stored.rank()});
  return Fail(code,
              "chunk " + key +
                  (metadata_.sharding ? " (a shard, of which " + chunk.ToString() + ")" : "") +
                  ": " + error.message,
              "copy it again from its source");
}

Result<std::optional<Buffer>> ZarrDataset::Encoded(const Shape& chunk) const {
  if (metadata_.sharding) return FromShard(chunk);
  auto encoded =
      hierarchy_->store().Get(KeyOf(chunk), text_ ? kMaxText : 2 * chunk_bytes_ + (64 << 10));
  if (!encoded) return ChunkError(chunk, std::move(encoded).error());
  return encoded;
}

Result<std::optional<Buffer>> ZarrDataset::FromShard(const Shape& chunk) const {
  Shape shard = chunk, within = chunk, per_shard = chunk;
  for (size_t axis = 0; axis < chunk.rank(); ++axis) {
    per_shard[axis] = metadata_.sharding->shard[axis] / metadata_.chunks[axis];
    shard[axis] = chunk[axis] / per_shard[axis];
    within[axis] = chunk[axis] % per_shard[axis];
  }
  const std::string key = KeyOf(shard);
  std::shared_ptr<const Shard> known = shards_.Find(key);
  if (!known) {
    auto loaded = std::make_shared<Shard>();
    auto size = hierarchy_->store().Size(key);
    if (!size) return ChunkError(chunk, std::move(size).error());
    if (*size) {
      const int64_t count = per_shard.Elements();
      ZN_ASSIGN_OR_RETURN(const size_t index_size, index_format_.Size(count));
      if (**size < index_size)
        return ChunkError(chunk, {ErrorCode::kCorrupt, "has " + std::to_string(**size) +
                                                           " bytes, fewer than its index"});
      auto index = hierarchy_->store().GetRange(
          key, metadata_.sharding->index_at_end ? **size - index_size : 0, index_size);
      if (!index) return ChunkError(chunk, std::move(index).error());
      auto entries = index_format_.Decode(index->bytes(), count, **size);
      if (!entries) return ChunkError(chunk, std::move(entries).error());
      loaded->entries = std::move(*entries);
    } else {
      loaded->missing = true;
    }
    shards_.Add(key, loaded, loaded->entries.size() * sizeof(ShardEntry) + 64);
    known = loaded;
  }
  if (known->missing) return std::optional<Buffer>();
  size_t index = 0;
  for (size_t axis = 0; axis < within.rank(); ++axis)
    index = index * static_cast<size_t>(per_shard[axis]) + static_cast<size_t>(within[axis]);
  const ShardEntry& entry = known->entries[index];
  if (entry.empty()) return std::optional<Buffer>();
  const size_t limit = text_ ? kMaxText : 2 * chunk_bytes_ + (64 << 10);
  if (entry.length > limit)
    return ChunkError(chunk, {ErrorCode::kCorrupt, "has " + std::to_string(entry.length) +
                                                       " bytes, more than its shape can need"});
  auto encoded = hierarchy_->store().GetRange(key, entry.offset, static_cast<size_t>(entry.length));
  if (!encoded) return ChunkError(chunk, std::move(encoded).error());
  return std::optional<Buffer>(std::move(*encoded));
}

Result<> ZarrDataset::DecodeInto(const Shape& chunk, const std::optional<Buffer>& encoded,
                                 std::span<std::byte> out) const {
  if (!encoded) {
    RepeatElement(fill_element_, out);
    return {};
  }
  auto decoded = pipeline_->Decode(encoded->bytes(), metadata_.chunks, out);
  if (!decoded) return ChunkError(chunk, std::move(decoded).error());
  return {};
}

Result<std::shared_ptr<const std::vector<std::byte>>> ZarrDataset::Decoded(
    const Shape& chunk) const {
  const std::string key = chunk.ToString();
  if (auto known = decoded_.Find(key)) return known;
  auto bytes = std::make_shared<std::vector<std::byte>>(chunk_bytes_);
  ZN_ASSIGN_OR_RETURN(const auto encoded, Encoded(chunk));
  ZN_RETURN_IF_ERROR(DecodeInto(chunk, encoded, *bytes));
  decoded_.Add(key, bytes, bytes->size());
  return std::shared_ptr<const std::vector<std::byte>>(std::move(bytes));
}

Result<Buffer> ZarrDataset::ReadRows(std::span<const int64_t> rows) const {
  std::vector<SourceChunk> none;
  return ReadRowsAndChunks(rows, none);
}

Result<> ZarrDataset::ReadRows(std::span<const int64_t> rows, std::byte* out) const {
  return Read(rows, nullptr, out, nullptr);
}

Result<Buffer> ZarrDataset::ReadRowsAndChunks(std::span<const int64_t> rows,
                                              std::vector<SourceChunk>& chunks) const {
  auto block = Block::Allocate(static_cast<int64_t>(rows.size()), row_bytes_);
  if (!block) return Fail(block.error().code, block.error().message, "read fewer frames at once");
  ZN_RETURN_IF_ERROR(Read(rows, block->bytes, block->data(), keeps_chunks_ ? &chunks : nullptr));
  return std::move(*block).Take(rows.size() * static_cast<size_t>(row_bytes_));
}

Result<> ZarrDataset::Read(std::span<const int64_t> rows, const std::shared_ptr<std::byte[]>& owner,
                           std::byte* out, std::vector<SourceChunk>* chunks) const {
  if (row_bytes_ == 0 || rows.empty()) return {};
  if (shape_.empty()) {
    ZN_ASSIGN_OR_RETURN(const auto scalar, Decoded(Shape()));
    for (size_t i = 0; i < rows.size(); ++i)
      std::memcpy(out + i * scalar->size(), scalar->data(), scalar->size());
    return {};
  }
  for (size_t begin = 0; begin < rows.size();) {
    const int64_t chunk_row = rows[begin] / chunk_[0];
    size_t end = begin + 1;
    while (end < rows.size() && rows[end] / chunk_[0] == chunk_row) ++end;
    ZN_RETURN_IF_ERROR(ReadChunkRow(chunk_row, rows.subspan(begin, end - begin), owner,
                                    out + begin * static_cast<size_t>(row_bytes_), chunks));
    begin = end;
  }
  return {};
}

Result<> ZarrDataset::ReadChunkRow(int64_t chunk_row, std::span<const int64_t> wanted,
                                   const std::shared_ptr<std::byte[]>& owner, std::byte* out,
                                   std::vector<SourceChunk>* chunks) const {
  const int64_t first = chunk_row * chunk_[0];
  const bool in_order = Consecutive(wanted);
  const bool all = in_order && static_cast<int64_t>(wanted.size()) == chunk_[0];
  const size_t rank = grid_.rank();
  Shape chunk = Zeros(rank);
  chunk[0] = chunk_row;

  const bool whole_rows = Tail(metadata_.shape, 1) == Tail(metadata_.chunks, 1);
  if (whole_rows && all) {
    // Straight into its place, where it can be stored from.
    ZN_ASSIGN_OR_RETURN(auto encoded, Encoded(chunk));
    ZN_RETURN_IF_ERROR(DecodeInto(chunk, encoded, {out, chunk_bytes_}));
    if (chunks != nullptr && owner && encoded)
      chunks->push_back(
          {first, 0, std::move(*encoded),
           Buffer(std::shared_ptr<const void>(owner, owner.get()), {out, chunk_bytes_})});
    return {};
  }
  const size_t item = ItemSize(dtype_);
  Shape target = metadata_.shape;
  target[0] = static_cast<int64_t>(wanted.size());
  // Blocks of a room are along the second axis only.
  const bool blocks = rank >= 2 && Tail(metadata_.shape, 2) == Tail(metadata_.chunks, 2);
  do {
    std::shared_ptr<const std::vector<std::byte>> decoded;
    if (all && chunks != nullptr && blocks) {
      auto bytes = std::make_shared<std::vector<std::byte>>(chunk_bytes_);
      ZN_ASSIGN_OR_RETURN(auto encoded, Encoded(chunk));
      ZN_RETURN_IF_ERROR(DecodeInto(chunk, encoded, *bytes));
      decoded = bytes;
      if (encoded)
        chunks->push_back({first, static_cast<uint32_t>(chunk[1]), std::move(*encoded),
                           Buffer(decoded, *decoded)});
    } else {
      ZN_ASSIGN_OR_RETURN(decoded, Decoded(chunk));
    }
    Shape from = Zeros(rank), to = Zeros(rank), extent = metadata_.chunks;
    for (size_t axis = 1; axis < rank; ++axis) {
      to[axis] = chunk[axis] * chunk_[axis];
      extent[axis] = std::min(chunk_[axis], shape_[axis] - to[axis]);
    }
    extent[0] = in_order ? static_cast<int64_t>(wanted.size()) : 1;
    for (size_t r = 0; r < wanted.size(); r += static_cast<size_t>(extent[0])) {
      from[0] = wanted[r] - first;
      to[0] = static_cast<int64_t>(r);
      CopyRegion(decoded->data(), metadata_.chunks, from, out, target, to, extent, item);
    }
  } while (Advance(chunk, grid_, 1));
  return {};
}

Result<std::shared_ptr<const std::vector<std::string>>> ZarrDataset::Texts(
    const Shape& chunk) const {
  const std::string key = chunk.ToString();
  if (auto known = texts_.Find(key)) return known;
  auto texts = std::make_shared<std::vector<std::string>>();
  const auto count = static_cast<size_t>(metadata_.chunks.Elements());
  ZN_ASSIGN_OR_RETURN(const auto encoded, Encoded(chunk));
  size_t bytes = 0;
  if (encoded) {
    auto decoded = pipeline_->DecodeVariable(encoded->bytes(), kMaxText);
    if (!decoded) return ChunkError(chunk, std::move(decoded).error());
    auto views = DecodeText(*decoded);
    if (!views) return ChunkError(chunk, std::move(views).error());
    // Writers may leave out what lies beyond the end of the array.
    if (views->size() > count)
      return ChunkError(
          chunk, {ErrorCode::kCorrupt,
                  std::to_string(views->size()) + " texts in a chunk of " + std::to_string(count)});
    texts->assign(views->begin(), views->end());
    bytes = decoded->size();
  }
  const std::string fill(
      reinterpret_cast<const char*>(metadata_.fill ? metadata_.fill->data() : nullptr),
      metadata_.fill ? metadata_.fill->size() : 0);
  texts->resize(count, fill);
  texts_.Add(key, texts, bytes + count * sizeof(std::string));
  return std::shared_ptr<const std::vector<std::string>>(std::move(texts));
}

Result<std::vector<std::string>> ZarrDataset::ReadText(std::span<const int64_t> rows,
                                                       int64_t limit) const {
  std::vector<std::string> texts;
  int64_t bytes = 0;
  const size_t rank = grid_.rank();
  for (const int64_t row : rows) {
    Shape element = Zeros(rank);
    if (rank > 0) element[0] = row;
    for (int64_t i = 0; i < row_elements_; ++i) {
      Shape chunk = element;
      int64_t within = 0;
      for (size_t axis = 0; axis < rank; ++axis) {
        chunk[axis] = element[axis] / chunk_[axis];
        within = within * chunk_[axis] + element[axis] % chunk_[axis];
      }
      ZN_ASSIGN_OR_RETURN(const auto of_chunk, Texts(chunk));
      texts.push_back((*of_chunk)[static_cast<size_t>(within)]);
      bytes += static_cast<int64_t>(texts.back().size());
      if (bytes > limit)
        return Fail(ErrorCode::kTooLarge,
                    "has more than " + std::to_string(limit) + " bytes of text in one batch",
                    "read fewer frames, or smaller batches");
      Advance(element, metadata_.shape, 1);
    }
  }
  return texts;
}

std::shared_ptr<const Geometry> ZarrDataset::Grid(FieldKind kind) const {
  const Shape& shape = metadata_.shape;
  const Shape& chunks = metadata_.chunks;
  const size_t outer = kind == FieldKind::kFrame ? 1 : 2;
  if (shape.rank() < outer || Tail(shape, outer) != Tail(chunks, outer)) return nullptr;
  auto grid = std::make_shared<Geometry>();
  grid->dtype = dtype_;
  grid->kind = kind;
  grid->inner = Tail(shape, outer);
  grid->frames_per_chunk = chunks[0];
  grid->atoms_per_chunk = outer == 2 ? chunks[1] : 0;
  grid->codecs = text_ || keeps_chunks_ ? metadata_.codecs : DefaultCodecs(dtype_);
  if (text_ && !AreRoomCodecs(metadata_.codecs, dtype_)) grid->codecs = DefaultCodecs(dtype_);
  const int64_t bytes = text_ ? chunks[0] * 64 : static_cast<int64_t>(chunk_bytes_);
  const bool tiny = bytes < kTinyBytes && grid_[0] > kManyChunks;
  const bool many_blocks = outer == 2 && grid_[1] > 1000;
  if (bytes > kMaxGridBytes || chunks[0] > UINT32_MAX || tiny || many_blocks) return nullptr;
  return grid;
}

}  // namespace zn::formats::zarr
