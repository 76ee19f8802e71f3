#include "zn/engine/zarr_view.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "log/group.h"
#include "pack/pack_format.h"
#include "zarr/chunk_rows.h"
#include "zarr/view_parts.h"

namespace zn {

using internal::ChunkSpot;
using internal::EncodedChunks;
using internal::GridArray;
using internal::Piece;
using internal::RoomState;
using internal::ShardChunk;
using internal::ShardTable;
using internal::StoreCore;

namespace {

// On an I/O thread, a chunk made of more pieces than this is left to the pool.
constexpr size_t kReadyPieces = 64;
constexpr size_t kMaxShards = 32;  // tables remembered: at most 40 KiB each

ZarrValue ValueOf(std::string text) {
  ZarrValue value;
  value.bytes = Buffer::Own(std::vector<char>(text.begin(), text.end()));
  value.digest = HashSha256(value.bytes.bytes());
  return value;
}

Result<std::string> GroupAttributes(const Snapshot& snapshot, const std::string& given) {
  auto attributes = nlohmann::ordered_json::parse(given, nullptr, /*allow_exceptions=*/false);
  if (!attributes.is_object())
    return Error{ErrorCode::kInvalidArgument, "the attributes of a Zarr view are no JSON object"};
  attributes["znstore"] = {{"view", 1}, {"commit", snapshot.commit().ToString()}};
  return attributes.dump(-1, ' ', /*ensure_ascii=*/true,
                         nlohmann::ordered_json::error_handler_t::replace);
}

Result<std::vector<ZarrDocument>> MakeDocuments(const Snapshot& snapshot,
                                                const internal::Grid& grid,
                                                const ZarrViewOptions& options) {
  std::vector<ZarrDocument> documents, v2, v3;
  ZN_ASSIGN_OR_RETURN(const std::string attributes, GroupAttributes(snapshot, options.attributes));
  for (const ZarrArray& array : grid.arrays) {
    ZN_ASSIGN_OR_RETURN(std::string text, FormatZarrV3(array.metadata));
    documents.emplace_back(array.name + "/zarr.json", text);
    v3.emplace_back(array.name, std::move(text));
    if (options.sharded) continue;
    ZN_ASSIGN_OR_RETURN(std::string zarray, FormatZarrV2(array.metadata));
    ZN_ASSIGN_OR_RETURN(std::string zattrs, FormatZarrV2Attributes(array.metadata));
    v2.emplace_back(array.name + "/.zarray", std::move(zarray));
    v2.emplace_back(array.name + "/.zattrs", std::move(zattrs));
  }
  ZN_ASSIGN_OR_RETURN(std::string group, FormatZarrV3Group(attributes, &v3));
  documents.emplace_back("zarr.json", std::move(group));
  if (!options.sharded) {
    v2.emplace_back(".zgroup", FormatZarrV2Group());
    v2.emplace_back(".zattrs", attributes);
    ZN_ASSIGN_OR_RETURN(std::string consolidated, FormatZarrV2Consolidated(v2));
    documents.insert(documents.end(), v2.begin(), v2.end());
    documents.emplace_back(".zmetadata", std::move(consolidated));
  }
  std::sort(documents.begin(), documents.end());
  return documents;
}

/// One number of a chunk key: decimal, without leading zeros or sign.
std::optional<int64_t> ParseIndex(std::string_view digits) {
  int64_t index = 0;
  if (digits.empty() || (digits.size() > 1 && digits[0] == '0') || digits[0] == '-')
    return std::nullopt;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return index;
}

bool InGrid(std::span<const int64_t> chunk, const Shape& grid) {
  if (chunk.size() != grid.rank()) return false;
  for (size_t axis = 0; axis < grid.rank(); ++axis)
    if (chunk[axis] < 0 || chunk[axis] >= grid[axis]) return false;
  return true;
}

Shape GridOfChunks(const Shape& shape, const Shape& chunks) {
  Shape grid;
  for (size_t axis = 0; axis < shape.rank(); ++axis)
    grid.Append(shape[axis] / chunks[axis] + (shape[axis] % chunks[axis] != 0 ? 1 : 0));
  return grid;
}

Error NoChunk(const ZarrArray& array, std::span<const int64_t> chunk) {
  return {ErrorCode::kOutOfRange,
          "array " + array.name + " has no chunk " + Shape(chunk).ToString()};
}

class Shard final : public ZarrShard {
 public:
  Shard(std::shared_ptr<const ZarrView> view, const ZarrArray& array,
        std::shared_ptr<const ShardTable> table)
      : view_(std::move(view)), array_(array), table_(std::move(table)) {}

  uint64_t size() const override { return table_->size; }
  const Sha256& tag() const override { return table_->tag; }

  Result<uint64_t> Read(uint64_t offset, uint64_t count, uint64_t enough,
                        std::vector<Buffer>* pieces) const override {
    const uint64_t end = offset + std::min(count, table_->size - std::min(offset, table_->size));
    uint64_t at = offset;
    const auto& parts = table_->parts;
    auto part = std::upper_bound(
        parts.begin(), parts.end(), offset,
        [](uint64_t x, const ShardTable::Part& p) { return x < p.offset + p.size; });
    const auto take = [&](const Buffer& bytes, uint64_t first) {
      const uint64_t skip = at - first, n = std::min(bytes.size() - skip, end - at);
      pieces->push_back(bytes.Slice(skip, n));
      at += n;
    };
    for (; part != parts.end() && at < end && at - offset < enough; ++part) {
      ZN_ASSIGN_OR_RETURN(const auto value, view_->ReadChunk(array_, part->chunk));
      if (!value || value->bytes.size() != part->size)
        return Error{ErrorCode::kInternal,
                     "array " + array_.name + ": chunk " + Shape(part->chunk).ToString() +
                         " does not have the size that its shard's index says"};
      take(value->bytes, part->offset);
    }
    if (part == parts.end() && at < end && at - offset < enough)
      take(table_->index, table_->size - table_->index.size());
    return at - offset;
  }

 private:
  const std::shared_ptr<const ZarrView> view_;
  const ZarrArray& array_;
  const std::shared_ptr<const ShardTable> table_;
};

}  // namespace

ZarrChunkCache::ZarrChunkCache(int64_t max_bytes)
    : chunks_(std::make_unique<EncodedChunks>(max_bytes)) {}
ZarrChunkCache::~ZarrChunkCache() = default;

ZarrView::ZarrView(std::unique_ptr<internal::ZarrParts> parts) : parts_(std::move(parts)) {}
ZarrView::~ZarrView() = default;

Result<std::shared_ptr<const ZarrView>> ZarrView::Create(const Snapshot& snapshot,
                                                         const ZarrViewOptions& options) {
  auto parts = std::make_unique<internal::ZarrParts>();
  parts->snapshot = snapshot;
  parts->cache =
      options.cache ? options.cache : std::make_shared<ZarrChunkCache>(int64_t{16} << 20);
  ZN_ASSIGN_OR_RETURN(parts->grid, MakeGrid(*snapshot.store(), snapshot.state(), options));
  ZN_ASSIGN_OR_RETURN(parts->documents, MakeDocuments(snapshot, parts->grid, options));
  for (const auto& [key, text] : parts->documents) parts->values.push_back(ValueOf(text));
  return std::shared_ptr<const ZarrView>(new ZarrView(std::move(parts)));
}

const Snapshot& ZarrView::snapshot() const { return parts_->snapshot; }
const std::vector<ZarrArray>& ZarrView::arrays() const { return parts_->grid.arrays; }
const std::vector<ZarrDocument>& ZarrView::documents() const { return parts_->documents; }

const ZarrArray* ZarrView::Find(std::string_view name) const {
  for (const ZarrArray& array : arrays())
    if (array.name == name) return &array;
  return nullptr;
}

const ZarrValue* ZarrView::Document(std::string_view key) const {
  const auto& documents = parts_->documents;
  const auto at = std::lower_bound(
      documents.begin(), documents.end(), key,
      [](const ZarrDocument& document, std::string_view k) { return document.first < k; });
  if (at == documents.end() || at->first != key) return nullptr;
  return &parts_->values[static_cast<size_t>(at - documents.begin())];
}

std::optional<ZarrView::ChunkKey> ZarrView::ParseChunkKey(std::string_view key) const {
  const size_t slash = key.find('/');
  if (slash == key.npos) return std::nullopt;
  ChunkKey result;
  result.array = Find(key.substr(0, slash));
  if (result.array == nullptr) return std::nullopt;
  key.remove_prefix(slash + 1);
  for (;;) {
    const size_t dot = key.find('.');
    const auto index = ParseIndex(key.substr(0, dot));
    if (!index) return std::nullopt;
    result.chunk.push_back(*index);
    if (dot == key.npos) break;
    key.remove_prefix(dot + 1);
  }
  if (!InGrid(result.chunk, GridOf(*result.array))) return std::nullopt;
  return result;
}

Shape ZarrView::GridOf(const ZarrArray& array) {
  return GridOfChunks(array.metadata.shape, array.metadata.sharding ? array.metadata.sharding->shard
                                                                    : array.metadata.chunks);
}

const GridArray& ZarrView::GridArrayOf(const ZarrArray& array) const {
  return parts_->grid.parts[static_cast<size_t>(&array - arrays().data())];
}

Result<std::optional<ZarrValue>> ZarrView::ReadChunk(const ZarrArray& array,
                                                     std::span<const int64_t> chunk) const {
  if (!InGrid(chunk, GridOfChunks(array.metadata.shape, array.metadata.chunks)))
    return NoChunk(array, chunk);
  const StoreCore& core = *snapshot().store();
  const RoomState& state = snapshot().state();
  const GridArray& part = GridArrayOf(array);
  const ChunkSpot spot = SpotOf(array, part, chunk);
  ZN_ASSIGN_OR_RETURN(const auto pieces, PiecesOf(core, state, part.field, spot, SIZE_MAX));
  EncodedChunks& cache = parts_->cache->chunks();
  if (const RecordRef* stored = StoredBlock(part, spot, *pieces); stored != nullptr) {
    if (!*stored && part.may_miss) return std::optional<ZarrValue>();
    if (*stored) {
      ZN_ASSIGN_OR_RETURN(Buffer bytes, core.chunks->TakePayload(*stored));
      cache.Put(stored->name, {false, stored->name, bytes.size(), {}});  // for ReadyChunk
      return std::optional(ZarrValue{std::move(bytes), stored->name});
    }
  }
  const Sha256 name = ContentName(state, array, part, spot, *pieces);
  if (const auto known = cache.Find(name)) {
    if (known->missing) return std::optional<ZarrValue>();
    if (!known->bytes.empty()) return std::optional(ZarrValue{known->bytes, known->digest});
  }
  ZN_ASSIGN_OR_RETURN(auto encoded, EncodeChunk(core, state, array, part, spot, *pieces));
  if (!encoded) {
    cache.Put(name, {true, {}, 0, {}});
    return std::optional<ZarrValue>();
  }
  ZarrValue value;
  value.digest = HashSha256(*encoded);
  value.bytes = Buffer::Own(std::move(*encoded));
  cache.Put(name, {false, value.digest, value.bytes.size(), value.bytes});
  return std::optional(std::move(value));
}

std::optional<ZarrValue> ZarrView::ReadyChunk(const ZarrArray& array,
                                              std::span<const int64_t> chunk) const {
  if (!InGrid(chunk, GridOfChunks(array.metadata.shape, array.metadata.chunks)))
    return std::nullopt;
  const StoreCore& core = *snapshot().store();
  const RoomState& state = snapshot().state();
  const GridArray& part = GridArrayOf(array);
  const ChunkSpot spot = SpotOf(array, part, chunk);
  const auto pieces = PiecesOf(core, state, part.field, spot, kReadyPieces);
  if (!pieces || !*pieces) return std::nullopt;
  EncodedChunks& cache = parts_->cache->chunks();
  if (const RecordRef* stored = StoredBlock(part, spot, **pieces); stored != nullptr && *stored) {
    if (!cache.Find(stored->name)) return std::nullopt;
    auto bytes = core.chunks->TakePayload(*stored);
    if (!bytes) return std::nullopt;
    return ZarrValue{std::move(*bytes), stored->name};
  }
  const auto known = cache.Find(ContentName(state, array, part, spot, **pieces));
  if (!known || known->bytes.empty()) return std::nullopt;
  return ZarrValue{known->bytes, known->digest};
}

Result<ZarrChunkPlace> ZarrView::Locate(const ZarrArray& array,
                                        std::span<const int64_t> chunk) const {
  if (!InGrid(chunk, GridOfChunks(array.metadata.shape, array.metadata.chunks)))
    return NoChunk(array, chunk);
  const GridArray& part = GridArrayOf(array);
  const ChunkSpot spot = SpotOf(array, part, chunk);
  // Anything stored as it is has one piece, and what has none is fill.
  ZN_ASSIGN_OR_RETURN(const auto pieces,
                      PiecesOf(*snapshot().store(), snapshot().state(), part.field, spot, 1));
  ZarrChunkPlace place;
  if (pieces && pieces->empty() && part.may_miss) return place;
  place.kind = ZarrChunkPlace::Kind::kAssembled;
  if (!pieces) return place;
  const RecordRef* stored = StoredBlock(part, spot, *pieces);
  if (stored == nullptr || (!*stored && !part.may_miss)) return place;
  if (!*stored) {
    place.kind = ZarrChunkPlace::Kind::kMissing;
    return place;
  }
  place.kind = ZarrChunkPlace::Kind::kStored;
  place.digest = stored->name;
  place.file = stored->in_log() ? LogFileName(stored->file & ~RecordRef::kLogBit)
                                : "packs/" + PackFileName(stored->file, ".pack");
  place.offset = stored->offset;
  place.length = stored->length;
  return place;
}

Result<std::shared_ptr<const ZarrShard>> ZarrView::OpenShard(const ZarrArray& array,
                                                             std::span<const int64_t> shard) const {
  if (!array.metadata.sharding || !InGrid(shard, GridOf(array))) return NoChunk(array, shard);
  const auto opened =
      [&](std::shared_ptr<const ShardTable> table) -> std::shared_ptr<const ZarrShard> {
    if (table->parts.empty()) return nullptr;
    return std::make_shared<Shard>(shared_from_this(), array, std::move(table));
  };
  std::vector<int64_t> key(shard.begin(), shard.end());
  key.push_back(&array - arrays().data());
  {
    const std::lock_guard lock(parts_->shards_mutex);
    auto& shards = parts_->shards;
    const auto known = std::find_if(shards.begin(), shards.end(),
                                    [&](const auto& item) { return item.first == key; });
    if (known != shards.end()) {
      shards.splice(shards.begin(), shards, known);
      return opened(known->second);
    }
  }
  const std::vector<std::vector<int64_t>> chunks = internal::ChunksOfShard(array.metadata, shard);
  const Shape grid = GridOfChunks(array.metadata.shape, array.metadata.chunks);
  std::vector<ShardChunk> sizes(chunks.size());
  std::vector<Result<>> results(chunks.size());
  snapshot().store()->pool->ParallelFor(chunks.size(), [&](size_t i) {
    if (InGrid(chunks[i], grid)) results[i] = MeasureChunk(array, chunks[i], &sizes[i]);
  });
  for (auto& result : results) ZN_RETURN_IF_ERROR(std::move(result));
  auto table = std::make_shared<const ShardTable>(internal::MakeShardTable(chunks, sizes));
  const std::lock_guard lock(parts_->shards_mutex);
  parts_->shards.emplace_front(std::move(key), table);
  if (parts_->shards.size() > kMaxShards) parts_->shards.pop_back();
  return opened(std::move(table));
}

Result<> ZarrView::MeasureChunk(const ZarrArray& array, std::span<const int64_t> chunk,
                                ShardChunk* size) const {
  const StoreCore& core = *snapshot().store();
  const RoomState& state = snapshot().state();
  const GridArray& part = GridArrayOf(array);
  const ChunkSpot spot = SpotOf(array, part, chunk);
  ZN_ASSIGN_OR_RETURN(const auto pieces, PiecesOf(core, state, part.field, spot, SIZE_MAX));
  if (const RecordRef* stored = StoredBlock(part, spot, *pieces);
      stored != nullptr && (*stored || part.may_miss)) {
    *size = {!*stored, stored->name, stored->length};
    return {};
  }
  if (const auto known =
          parts_->cache->chunks().Find(ContentName(state, array, part, spot, *pieces))) {
    *size = {known->missing, known->digest, known->size};
    return {};
  }
  ZN_ASSIGN_OR_RETURN(const auto value, ReadChunk(array, chunk));
  if (value) *size = {false, value->digest, value->bytes.size()};
  return {};
}

}  // namespace zn
