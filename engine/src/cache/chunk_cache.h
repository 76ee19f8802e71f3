// Decoded chunks as memory-mapped NPY files: cache/<boot id>/<key>.npy, bounded, deletable at any
// time.
//
// First touch of a chunk decodes just the rows asked for; touches repeated soon promote it: all of it is
// decoded, written to a file under a temporary name, renamed and mapped. For a reader that goes through
// the rows in order all of it is decoded too, but stays in memory while the reader passes: a file pays
// from the second pass on. Concurrent misses decode once. Files are cut to the largest number of atoms in the chunk. What cannot be a file (texts;
// everything when the disk is full), and what is too small to be worth one, is kept on the heap,
// within a bound. A pinned chunk (a Buffer of it alive) stays mapped even when evicted or deleted.
//
// Files are never synced: a folder serves one boot of the machine. Within it the next process takes
// over what the last one left, whether that ended well or not: a file has its name only when it is
// complete, and what a process wrote is in the page cache whatever became of the process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "log/record.h"
#include "zn/engine/buffer.h"
#include "zn/engine/dtype.h"
#include "zn/engine/shape.h"
#include "zn/engine/store.h"

namespace zn {

/// What a decoded chunk is. Two chunks with equal bytes and different keys (dtype, shape, codecs)
/// are two entries.
struct ChunkKey {
  Sha256 chunk;  // name of the encoded bytes
  DType dtype;
  Shape shape;                // (rows, inner...) or (rows, A, inner...) as encoded
  const std::string* codecs;  // the geometry's JSON; must outlive the call
};

/// Names the file that keeps it decoded, cache/<boot id>/<hex>.npy.
Sha256 CacheFileNameOf(const ChunkKey& key);

/// A decoded chunk, pinned.
struct CachedChunk {
  Buffer bytes;  // C order
  /// As decoded and kept: its atom axis may be shorter than the key's. Equal bytes may serve frames
  /// with more atoms than those it was kept for (where padding and values look the same): check it,
  /// and call GetOrDecode when it is too short.
  Shape shape;
};

class ChunkCache {
 public:
  /// Fewer rows than this behind a chunk's first do not pay for promoting it unasked.
  static constexpr uint32_t kSequentialRows = 16;

  struct Options {
    std::string directory;  // STORE/cache; other boots' folders in it are removed
    std::string boot_id;
    CacheOptions bounds;
    /// What the process can count on, in bytes; 0 for MemoryLimit().
    int64_t memory_limit = 0;
    /// For processes that only read the store: the folder is the writer's, so files have no names
    /// and vanish with the process; where the directory cannot be written, everything is kept on
    /// the heap.
    bool unnamed_files = false;
    /// Take stock of what earlier processes left on a thread of its own, so that opening does not
    /// wait for it.
    bool background = true;
  };
  static Result<std::unique_ptr<ChunkCache>> Open(const Options& options);
  virtual ~ChunkCache() = default;

  /// The chunk if it is resident. Lock-free or nearly so: it is on the hot path of every read.
  virtual std::optional<CachedChunk> Find(const ChunkKey& key) = 0;

  /// What a miss is worth.
  enum class Promotion {
    kRows,     // decoding the rows asked for
    kPassing,  // decoding all of it into memory, for as long as there is room
    kFile,     // a file; on the heap where it is too small for one
  };

  /// Called to decode all of it into `out` (the kept shape's bytes).
  using DecodeAll = std::function<Result<>(std::span<std::byte> out)>;
  /// The chunk, decoding and inserting it if it is not there, or is there but shorter than `kept`,
  /// the shape to keep (extents at most the key's). An error of `decode` goes to all that wait for
  /// it and is not kept.
  virtual Result<CachedChunk> GetOrDecode(const ChunkKey& key, const Shape& kept, const DecodeAll& decode,
                                          Promotion promotion = Promotion::kFile) = 0;

  /// What to do about rows [row, row + count) of a chunk that is not resident. kFile at the second touch
  /// when little else was touched in between, so that the chunk will be used before it is evicted, and
  /// for small chunks at once. Otherwise kPassing for most of the rows and, where there are enough rows
  /// behind it to pay, for a chunk's first row, where sequential readers come in. Counts the touch.
  virtual Promotion OnMiss(const ChunkKey& key, int64_t row, int64_t count) = 0;

  /// Variable-length chunks (texts): heap only. The result's shape is the key's.
  virtual Result<CachedChunk> GetOrDecodeVariable(
      const ChunkKey& key, const std::function<Result<std::vector<std::byte>>()>& decode) = 0;

  struct Stats {
    int64_t bytes = 0, files = 0;  // on disk, including those of earlier processes
    int64_t heap_bytes = 0;
    int64_t hits = 0;      // chunks found by Find or GetOrDecode
    int64_t misses = 0;    // Finds that found nothing
    int64_t promoted = 0;  // chunks decoded and inserted
    int64_t evicted = 0;
    int64_t adopted = 0;      // chunks taken from an earlier process's file
    int64_t file_errors = 0;  // files that could not be made; the chunks went to the heap
  };
  virtual Stats stats() const = 0;
};

}  // namespace zn
