// Decoded chunks as memory-mapped NPY files: cache/<boot id>/<key>.npy, bounded, deletable at any time.
//
// First touch of a chunk decodes just the rows asked for; repeated or sequential touches promote it to a file that is
// allocated under a temporary name, filled, then renamed. Concurrent misses decode once. Files are cut to the largest
// number of atoms in the chunk. What cannot be a file (texts; everything when the disk is full) is kept on the heap,
// within a bound. A pinned chunk (a Buffer of it alive) stays mapped even when evicted or deleted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "log/record.h"
#include "zn/engine/buffer.h"
#include "zn/engine/dtype.h"
#include "zn/engine/shape.h"
#include "zn/engine/store.h"

namespace zn {

/// What a decoded chunk is. Two chunks with equal bytes and different keys (dtype, shape, codecs) are two entries.
struct ChunkKey {
  Sha256 chunk;       // name of the encoded bytes
  DType dtype;
  Shape shape;        // (rows, inner...) or (rows, A, inner...) as encoded
  const std::string* codecs;  // the geometry's JSON; must outlive the call
};

/// A decoded chunk, pinned.
struct CachedChunk {
  Buffer bytes;       // C order
  Shape shape;        // as decoded and kept: its atom axis may be shorter than the key's
};

class ChunkCache {
 public:
  struct Options {
    std::string directory;  // STORE/cache; other boots' folders in it are removed
    std::string boot_id;
    CacheOptions bounds;
  };
  static Result<std::unique_ptr<ChunkCache>> Open(const Options& options);
  virtual ~ChunkCache() = default;

  /// The chunk if it is resident. Lock-free or nearly so: it is on the hot path of every read.
  virtual std::optional<CachedChunk> Find(const ChunkKey& key) = 0;

  /// Called to decode all of it into `out` (the kept shape's bytes).
  using DecodeAll = std::function<Result<>(std::span<std::byte> out)>;
  /// The chunk, decoding and inserting it if it is not there. `kept` is the shape to keep.
  virtual Result<CachedChunk> GetOrDecode(const ChunkKey& key, const Shape& kept, const DecodeAll& decode) = 0;

  /// Whether a row read of a chunk that is not resident should promote it now: true at the second touch, at once for
  /// small chunks and for sequential access. Counts the touch.
  virtual bool ShouldPromote(const ChunkKey& key, int64_t row) = 0;

  /// Variable-length chunks (texts): heap only.
  virtual Result<CachedChunk> GetOrDecodeVariable(const ChunkKey& key,
      const std::function<Result<std::vector<std::byte>>()>& decode) = 0;

  struct Stats {
    int64_t bytes = 0, files = 0, heap_bytes = 0, hits = 0, misses = 0, promoted = 0, evicted = 0;
  };
  virtual Stats stats() const = 0;
};

}  // namespace zn
