// A room at one commit as a Zarr hierarchy: metadata documents of v2 and v3 side by side, and key
// -> bytes.
//
//   zarr.json .zgroup .zattrs .zmetadata           the group; both consolidated forms
//   arrays.positions/{zarr.json,.zarray,.zattrs}   (frame, atom, 3), rows padded to the room's
//   largest frame arrays.positions/12.0.0                        a chunk, by the same key for v2
//   and v3 <field>.__present__                            (frame) bool, where some frames lack the
//   field <field>.__lengths__                            (frame) int64, the row counts of a ragged
//   field n_atoms                                        (frame) int32
//
// Frames stand in today's order. Where a chunk of the grid is one whole stored run, its bytes are
// the stored bytes; elsewhere (edits, inserts, the end of the array) its rows are read, padded,
// encoded, and kept in a bounded cache. Padding and frames without a field hold NaN, 0, false or an
// empty text; the v2 fill_value is null where that is not NaN, since xarray takes every element
// that equals the fill value for missing. docs/decisions/0010-zarr-view.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/buffer.h"
#include "zn/engine/error.h"
#include "zn/engine/snapshot.h"
#include "zn/engine/zarr_metadata.h"

namespace zn {

namespace internal {
class EncodedChunks;
struct GridArray;
struct ShardChunk;
struct ZarrParts;
}  // namespace internal

/// Chunks that views encoded, by what they are made of: forks and later commits share them.
/// Thread-safe.
class ZarrChunkCache {
 public:
  /// Encoded bytes kept; their names and sizes, about 100 bytes each, are kept longer.
  explicit ZarrChunkCache(int64_t max_bytes = 64 << 20);
  ~ZarrChunkCache();
  internal::EncodedChunks& chunks() const { return *chunks_; }

 private:
  std::unique_ptr<internal::EncodedChunks> chunks_;
};

struct ZarrViewOptions {
  /// v3 arrays of shards (sharding_indexed) that hold the same chunks; no v2 documents.
  bool sharded = false;
  /// Attributes of the group: a JSON object. "znstore" is added, with the commit.
  std::string attributes = "{}";
  /// Further names of a field, for the attribute "aliases"; may be empty.
  std::function<std::vector<std::string>(std::string_view field)> aliases;
  /// Shared among views; nullptr: the view has a small one of its own.
  std::shared_ptr<ZarrChunkCache> cache;
};

struct ZarrArray {
  enum class Content : uint8_t { kField, kPresent, kLengths, kAtomCounts };
  std::string name;   // of the node: ZarrNodeName of the field, with .__present__ or .__lengths__
  std::string field;  // "n_atoms" for kAtomCounts
  Content content = Content::kField;
  ZarrArrayMetadata metadata;
};

/// Bytes under a key.
struct ZarrValue {
  Buffer bytes;   // stored bytes in the pack's map, or a block of the cache
  Sha256 digest;  // of bytes
};

/// What a chunk of the grid is, without reading it.
struct ZarrChunkPlace {
  enum class Kind : uint8_t {
    kMissing,    // all fill; there is no such key
    kStored,     // the bytes at `offset` of `file`
    kAssembled,  // rows from several places: only Read tells the bytes (or that it is missing)
  };
  Kind kind = Kind::kMissing;
  // kStored:
  Sha256 digest;
  std::string
      file;  // below the store's directory, "packs/000001.pack"; where the chunk was written
  uint64_t offset = 0, length = 0;
};

/// One shard: its chunks' bytes in the order of the index, then the index. Immutable; thread-safe.
class ZarrShard {
 public:
  virtual ~ZarrShard() = default;
  virtual uint64_t size() const = 0;
  /// Changes whenever a byte does, computed from the chunks' names alone.
  virtual const Sha256& tag() const = 0;
  /// Appends bytes [offset, offset + count) in order, reading only the chunks that overlap; at most
  /// up to the end of the chunk in which `count` passes `enough` bytes. Returns how many bytes were
  /// appended.
  virtual Result<uint64_t> Read(uint64_t offset, uint64_t count, uint64_t enough,
                                std::vector<Buffer>* pieces) const = 0;
};

/// Immutable; all members may be called from any thread. It must not outlive the snapshot's store.
class ZarrView : public std::enable_shared_from_this<ZarrView> {
 public:
  /// Looks at the runs of every field once: O(runs), not O(frames).
  static Result<std::shared_ptr<const ZarrView>> Create(const Snapshot& snapshot,
                                                        const ZarrViewOptions& options);
  ~ZarrView();

  const Snapshot& snapshot() const;
  const std::vector<ZarrArray>& arrays() const;
  /// By node name; nullptr when there is none.
  const ZarrArray* Find(std::string_view name) const;

  /// Every metadata document, sorted by key.
  const std::vector<ZarrDocument>& documents() const;
  /// nullptr when there is none under `key`. The value lives as long as the view.
  const ZarrValue* Document(std::string_view key) const;

  /// A chunk's (or shard's) place in its array's grid.
  struct ChunkKey {
    const ZarrArray* array = nullptr;
    std::vector<int64_t> chunk;
  };
  /// nullopt unless `key` is "<array>/<chunk>" within the grid.
  std::optional<ChunkKey> ParseChunkKey(std::string_view key) const;
  /// Chunks along each axis; shards where there are shards.
  static Shape GridOf(const ZarrArray& array);

  /// Of an array of this view, chunk within the grid of its *chunks* (those inside shards): nullopt
  /// when missing.
  Result<std::optional<ZarrValue>> ReadChunk(const ZarrArray& array,
                                             std::span<const int64_t> chunk) const;
  /// As ReadChunk, but only when its bytes were read or encoded before: nothing is decoded. nullopt
  /// otherwise. Meant for I/O threads.
  std::optional<ZarrValue> ReadyChunk(const ZarrArray& array, std::span<const int64_t> chunk) const;
  Result<ZarrChunkPlace> Locate(const ZarrArray& array, std::span<const int64_t> chunk) const;

  /// options.sharded only: nullptr when every chunk of the shard is missing. Encodes what has to be
  /// assembled, since the index holds its size; remembers the last shards.
  Result<std::shared_ptr<const ZarrShard>> OpenShard(const ZarrArray& array,
                                                     std::span<const int64_t> shard) const;

 private:
  explicit ZarrView(std::unique_ptr<internal::ZarrParts> parts);
  const internal::GridArray& GridArrayOf(const ZarrArray& array) const;
  /// Size and digest of a chunk, read only where it has to be assembled.
  Result<> MeasureChunk(const ZarrArray& array, std::span<const int64_t> chunk,
                        internal::ShardChunk* size) const;
  std::unique_ptr<internal::ZarrParts> parts_;
};

}  // namespace zn
