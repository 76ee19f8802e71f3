// A Zarr array as a Dataset: rows from chunks, of shards or alone, decoded on whichever thread
// asks.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hierarchy/hierarchy.h"
#include "zarr/store.h"
#include "zn/engine/codec.h"
#include "zn/engine/shard.h"
#include "zn/engine/zarr_metadata.h"

namespace zn::formats::zarr {

class ZarrHierarchy;

/// The last values made, up to so many bytes. Thread-safe.
template <class Value>
class RecentValues {
 public:
  explicit RecentValues(size_t limit) : limit_(limit) {}
  std::shared_ptr<const Value> Find(const std::string& key) {
    const std::lock_guard lock(mutex_);
    for (auto at = entries_.begin(); at != entries_.end(); ++at) {
      if (at->key != key) continue;
      entries_.splice(entries_.begin(), entries_, at);
      return at->value;
    }
    return nullptr;
  }
  void Add(const std::string& key, std::shared_ptr<const Value> value, size_t bytes) {
    const std::lock_guard lock(mutex_);
    entries_.push_front({key, std::move(value), bytes});
    bytes_ += bytes;
    while ((bytes_ > limit_ || entries_.size() > kMaxEntries) && entries_.size() > 1) {
      bytes_ -= entries_.back().bytes;
      entries_.pop_back();
    }
  }

 private:
  static constexpr size_t kMaxEntries = 64;
  struct Entry {
    std::string key;
    std::shared_ptr<const Value> value;
    size_t bytes;
  };
  const size_t limit_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // guarded by mutex_; the last used first
  size_t bytes_ = 0;          // guarded by mutex_
};

class ZarrDataset final : public Dataset {
 public:
  /// `key` is the array's path in the store. kTooLarge for shapes far beyond what the store has
  /// chunks of.
  static Result<std::shared_ptr<Dataset>> Open(std::shared_ptr<const ZarrHierarchy> hierarchy,
                                               const Object& object, std::string key,
                                               ZarrArrayMetadata metadata);

  const Hierarchy& file() const override;
  Result<Buffer> ReadRows(std::span<const int64_t> rows) const override;
  Result<> ReadRows(std::span<const int64_t> rows, std::byte* out) const override;
  Result<Buffer> ReadRowsAndChunks(std::span<const int64_t> rows,
                                   std::vector<SourceChunk>& chunks) const override;
  Result<std::vector<std::string>> ReadText(std::span<const int64_t> rows,
                                            int64_t limit) const override;
  std::shared_ptr<const Geometry> Grid(FieldKind kind) const override;

 private:
  ZarrDataset(std::shared_ptr<const ZarrHierarchy> hierarchy, const Object& object, std::string key,
              ZarrArrayMetadata metadata);
  Result<> CheckStored() const;
  Result<> Read(std::span<const int64_t> rows, const std::shared_ptr<std::byte[]>& owner,
                std::byte* out, std::vector<SourceChunk>* chunks) const;
  Result<> ReadChunkRow(int64_t chunk_row, std::span<const int64_t> wanted,
                        const std::shared_ptr<std::byte[]>& owner, std::byte* out,
                        std::vector<SourceChunk>* chunks) const;
  /// The encoded bytes of a chunk; an empty optional for one that is missing.
  Result<std::optional<Buffer>> Encoded(const Shape& chunk) const;
  Result<std::optional<Buffer>> FromShard(const Shape& chunk) const;
  Result<> DecodeInto(const Shape& chunk, const std::optional<Buffer>& encoded,
                      std::span<std::byte> out) const;
  Result<std::shared_ptr<const std::vector<std::byte>>> Decoded(const Shape& chunk) const;
  Result<std::shared_ptr<const std::vector<std::string>>> Texts(const Shape& chunk) const;
  Error ChunkError(const Shape& chunk, Error error) const;
  std::string KeyOf(const Shape& chunk) const;

  // Constant after Open.
  const std::shared_ptr<const ZarrHierarchy> hierarchy_;
  const std::string key_;
  const ZarrArrayMetadata metadata_;
  std::shared_ptr<const CodecPipeline> pipeline_;
  ShardIndexFormat index_format_;
  Shape grid_;  // chunks along each axis
  size_t chunk_bytes_ = 0;
  bool keeps_chunks_ = false;  // encoded by codecs that a room's own chunks may have
  std::vector<std::byte> fill_element_;

  struct Shard {
    bool missing = false;
    std::vector<ShardEntry> entries;
  };
  mutable RecentValues<std::vector<std::byte>> decoded_;
  mutable RecentValues<std::vector<std::string>> texts_;
  mutable RecentValues<Shard> shards_;
};

/// Are these codecs such as a room's own chunks may have: portable, and without filters, transposes
/// or byte swaps?
bool AreRoomCodecs(std::string_view codecs, DType dtype);

}  // namespace zn::formats::zarr
