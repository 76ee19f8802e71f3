#include <algorithm>
#include <array>
#include <condition_variable>
#include <list>
#include <mutex>
#include <utility>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/memory_limit.h"
#include "cache/cache_folder.h"
#include "cache/chunk_cache.h"
#include "cache/chunk_table.h"
#include "cache/heap_blocks.h"
#include "cache/npy.h"

namespace zn {
namespace {

// A chunk up to this size is not worth a file (some 60 us, a map and two pages), and decoding all
// of it costs no more than decoding a row.
constexpr int64_t kSmallChunk = 32 << 10;
// Touches of a chunk are repeated when those in between would fit into this part of the cache. A
// chunk is then used some ten times before it goes, which pays for its file.
constexpr int64_t kRecentPart = 16;
constexpr int64_t kTouchUnit = kSmallChunk;
// Chunks that the requests of one reader are spread over.
constexpr uint32_t kOnePass = 16;
// Misses that do not try to make a file after one could not be made.
constexpr int kFileRetryAfter = 64;

// Memory kept for the chunks of readers to come.
constexpr size_t kIdleBlocks = 4 << 20;

constexpr size_t kPage = 4096;

int64_t BytesOf(DType dtype, const Shape& shape) {
  int64_t bytes = shape.Elements();
  if (bytes < 0 || __builtin_mul_overflow(bytes, static_cast<int64_t>(ItemSize(dtype)), &bytes))
    return -1;
  return bytes;
}

bool Covers(const Shape& shape, const Shape& wanted) {
  if (shape.rank() != wanted.rank()) return false;
  for (size_t i = 0; i < shape.rank(); ++i)
    if (shape[i] < wanted[i]) return false;
  return true;
}

uint64_t RecentBytes(const ChunkCache::Options& options) {
  // Half of the memory: the encoded bytes want their share of the page cache, too.
  const int64_t memory = options.memory_limit > 0 ? options.memory_limit : MemoryLimit();
  return static_cast<uint64_t>(std::min(options.bounds.max_bytes, memory / 2) / kRecentPart);
}

// The decode that a thread is doing and others wait for.
struct Flight {
  ChunkKey key;
  std::string codecs;
  bool done = false;
  Result<CachedChunk> result = Error{};
};

class LocalChunkCache final : public ChunkCache {
 public:
  explicit LocalChunkCache(const Options& options)
      : bounds_(options.bounds),
        folder_({options.directory, options.boot_id, options.unnamed_files, options.background}),
        recent_(RecentBytes(options)) {
    for (auto& touch : touches_) touch.store(0, std::memory_order_relaxed);
  }

  std::optional<CachedChunk> Find(const ChunkKey& key) override { return table_.Find(key, true); }

  Result<CachedChunk> GetOrDecode(const ChunkKey& key, const Shape& kept, const DecodeAll& decode,
                                  Promotion promotion) override {
    const int64_t bytes = BytesOf(key.dtype, kept);
    if (bytes < 0 || key.dtype == DType::kJson || !Covers(key.shape, kept))
      return {ErrorCode::kInvalidArgument, "cache: a chunk of " + kept.ToString() +
                                               " cannot be kept of one of " + key.shape.ToString()};
    return Share(key, kept, [&] { return Decode(key, kept, static_cast<size_t>(bytes), decode, promotion); });
  }

  Result<CachedChunk> GetOrDecodeVariable(
      const ChunkKey& key, const std::function<Result<std::vector<std::byte>>()>& decode) override {
    return Share(key, key.shape, [&]() -> Result<CachedChunk> {
      ZN_ASSIGN_OR_RETURN(std::vector<std::byte> decoded, decode());
      return KeepOnHeap(key, key.shape, Buffer::Own(std::move(decoded)));
    });
  }

  Promotion OnMiss(const ChunkKey& key, int64_t row, int64_t count) override {
    if (const int64_t bytes = BytesOf(key.dtype, key.shape); bytes >= 0 && bytes <= kSmallChunk)
      return Promotion::kFile;
    const int64_t rows = key.shape.rank() > 0 ? key.shape[0] : 1;
    const bool passing = 2 * count >= rows || (row == 0 && rows >= kSequentialRows);
    const std::optional<uint32_t> between = Touch(key);
    // Several requests of one reader may overtake one another: that is not a second pass yet.
    if (between && !(passing && *between <= kOnePass * UnitsOf(key))) return Promotion::kFile;
    return passing ? Promotion::kPassing : Promotion::kRows;
  }

  Stats stats() const override {
    Stats stats;
    stats.bytes = file_bytes_ + folder_.dormant_bytes();
    stats.files = files_ + folder_.dormant_files();
    stats.heap_bytes = heap_bytes_;
    stats.hits = table_.hits() + shared_hits_;
    stats.misses = table_.misses();
    stats.promoted = promoted_;
    stats.evicted = evicted_;
    stats.adopted = adopted_;
    stats.file_errors = file_errors_;
    return stats;
  }

 private:
  static uint32_t UnitsOf(const ChunkKey& key) {
    return static_cast<uint32_t>(BytesOf(key.dtype, key.shape) / kTouchUnit);
  }

  // Counts a touch of the chunk. What was touched since its last one, if that is little.
  std::optional<uint32_t> Touch(const ChunkKey& key) {
    // Two touches of a chunk are compared by how many bytes of other chunks were touched in
    // between. Where readers jump about in more than memory holds that is much, and a file would be
    // written only to be evicted before anybody uses it.
    uint64_t name;
    std::memcpy(&name, key.chunk.bytes.data(), sizeof name);
    const uint64_t tag = name | uint64_t{1} << 63;  // 0 is an unused place
    std::atomic<uint64_t>& touch = touches_[name % touches_.size()];
    const uint64_t before = touch.load(std::memory_order_relaxed);
    const auto clock = touched_.load(std::memory_order_relaxed);
    const uint32_t units = UnitsOf(key);
    touched_.fetch_add(units, std::memory_order_relaxed);
    touch.store(tag >> 32 << 32 | uint32_t{clock + units}, std::memory_order_relaxed);
    const uint32_t between = clock - static_cast<uint32_t>(before);
    if (before >> 32 == tag >> 32 && between <= recent_ / kTouchUnit) return between;
    return std::nullopt;
  }

  // The resident chunk, or another thread's result, or make's.
  template <class Make>
  Result<CachedChunk> Share(const ChunkKey& key, const Shape& kept, const Make& make) {
    std::shared_ptr<Flight> flight;
    while (!flight) {
      std::unique_lock lock(flights_mutex_);
      // Under the mutex: whoever leaves the list has inserted its chunk before.
      if (auto found = table_.Find(key, false); found && Covers(found->shape, kept))
        return *std::move(found);
      const auto other = std::find_if(flights_.begin(), flights_.end(), [&](const auto& candidate) {
        return candidate->key.chunk == key.chunk && candidate->key.dtype == key.dtype &&
               candidate->key.shape == key.shape && candidate->codecs == *key.codecs;
      });
      if (other == flights_.end()) {
        flight = std::make_shared<Flight>(Flight{key, *key.codecs});
        flights_.push_back(flight);
        break;
      }
      const std::shared_ptr<Flight> waited_for = *other;
      landed_.wait(lock, [&] { return waited_for->done; });
      if (!waited_for->result || Covers(waited_for->result->shape, kept)) {
        if (waited_for->result) ++shared_hits_;
        return waited_for->result;
      }
    }
    Result<CachedChunk> result = make();
    {
      std::lock_guard lock(flights_mutex_);
      flight->result = result;
      flight->done = true;
      flights_.remove(flight);
    }
    landed_.notify_all();
    return result;
  }

  Result<CachedChunk> Decode(const ChunkKey& key, const Shape& kept, size_t size, const DecodeAll& decode,
                             Promotion promotion) {
    if (size <= static_cast<size_t>(kSmallChunk)) return DecodeToHeap(key, kept, size, decode);
    if (static_cast<int64_t>(size) > bounds_.max_bytes / 2 || bounds_.max_maps < 1)
      return DecodeToHeap(key, kept, size, decode);  // a file that would push out all others
    const Sha256 name = CacheFileNameOf(key);
    if (auto adopted = folder_.Adopt(name, key.dtype, kept, key.shape)) {
      ++adopted_;
      return KeepFile(key, name, *std::move(adopted));
    }
    if (promotion == Promotion::kFile && ShouldTryFile()) {
      // Decoded first and written then, so that a damaged chunk leaves no file.
      thread_local std::vector<std::byte> kept_scratch;
      // Taken, so that a decode that reads another chunk cannot write into it.
      std::vector<std::byte> scratch = std::exchange(kept_scratch, {});
      if (scratch.size() < size) {
        scratch.clear();
        scratch.resize(size);
      }
      const std::span<std::byte> out(scratch.data(), size);
      Result<> decoded = decode(out);
      Result<CachedChunk> result = Error{};
      if (!decoded) {
        result = std::move(decoded).error();
      } else if (auto made = folder_.Make(name, key.dtype, kept, out)) {
        ++promoted_;
        result = KeepFile(key, name, *std::move(made));
      } else {
        ++file_errors_;
        files_off_.store(kFileRetryAfter, std::memory_order_relaxed);
        ++promoted_;
        result = KeepOnHeap(key, kept, Buffer::Copy(out));
      }
      // A thread keeps room for usual chunks only.
      if (scratch.size() <= (4 << 20)) kept_scratch = std::move(scratch);
      return result;
    }
    return DecodeToHeap(key, kept, size, decode);
  }

  Result<CachedChunk> DecodeToHeap(const ChunkKey& key, const Shape& kept, size_t size,
                                   const DecodeAll& decode) {
    HeapBlocks::Block block = blocks_.Take(size);
    ZN_RETURN_IF_ERROR(decode(block.bytes));
    ++promoted_;
    return KeepOnHeap(key, kept, std::move(block.buffer));
  }

  bool ShouldTryFile() {
    int left = files_off_.load(std::memory_order_relaxed);
    while (left > 0)
      if (files_off_.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) return false;
    return true;
  }

  static std::unique_ptr<CacheEntry> MakeEntry(const ChunkKey& key, CachedChunk value) {
    auto entry = std::make_unique<CacheEntry>();
    entry->chunk = key.chunk;
    entry->dtype = key.dtype;
    entry->key_shape = key.shape;
    entry->value = std::move(value);
    return entry;
  }

  CachedChunk KeepFile(const ChunkKey& key, const Sha256& name, CacheFolder::Made made) {
    CachedChunk chunk{std::move(made.data), made.shape};
    auto entry = MakeEntry(key, chunk);
    entry->codecs = Intern(*key.codecs);
    entry->bytes =
        static_cast<int64_t>((static_cast<size_t>(made.file_bytes) + kPage - 1) / kPage * kPage);
    entry->file_name = name;
    file_bytes_ += entry->bytes;
    ++files_;
    // What it replaces had the same name, so the file is already the new one.
    const CacheEntry* const added = entry.get();
    if (auto replaced = table_.Insert(std::move(entry))) Account(*replaced);
    while (file_bytes_ + folder_.dormant_bytes() > bounds_.max_bytes ||
           files_ + folder_.dormant_files() > bounds_.max_maps) {
      if (folder_.RemoveDormant()) {
        ++evicted_;
      } else if (auto evicted = table_.Evict(false, added)) {
        Account(*evicted);
        folder_.Remove(evicted->file_name);
        ++evicted_;
      } else {
        break;
      }
    }
    return chunk;
  }

  CachedChunk KeepOnHeap(const ChunkKey& key, const Shape& shape, Buffer bytes) {
    CachedChunk chunk{std::move(bytes), shape};
    // Beyond the bound nobody but the caller keeps it.
    const auto size = static_cast<int64_t>(chunk.bytes.size());
    if (size > bounds_.max_heap_bytes) return chunk;
    auto entry = MakeEntry(key, chunk);
    entry->codecs = Intern(*key.codecs);
    entry->bytes = size;
    entry->on_heap = true;
    heap_bytes_ += size;
    const CacheEntry* const added = entry.get();
    if (auto replaced = table_.Insert(std::move(entry))) {
      Account(*replaced);
      if (!replaced->on_heap) folder_.Remove(replaced->file_name);
    }
    while (heap_bytes_ > bounds_.max_heap_bytes) {
      const auto evicted = table_.Evict(true, added);
      if (!evicted) break;
      Account(*evicted);
      ++evicted_;
    }
    return chunk;
  }

  // Takes an entry that has left the table out of the sums.
  void Account(const CacheEntry& gone) {
    if (gone.on_heap) {
      heap_bytes_ -= gone.bytes;
    } else {
      file_bytes_ -= gone.bytes;
      --files_;
    }
  }

  // Entries of one geometry share one copy of its codecs.
  std::shared_ptr<const std::string> Intern(const std::string& codecs) {
    std::lock_guard lock(codecs_mutex_);
    for (const auto& known : codecs_)
      if (known && *known == codecs) return known;
    auto shared = std::make_shared<const std::string>(codecs);
    codecs_[next_codecs_++ % codecs_.size()] = shared;
    return shared;
  }

  const CacheOptions bounds_;
  ChunkTable table_;
  CacheFolder folder_;
  HeapBlocks blocks_{kIdleBlocks};

  std::mutex flights_mutex_;
  std::condition_variable landed_;
  std::list<std::shared_ptr<Flight>> flights_;  // guarded by flights_mutex_

  std::mutex codecs_mutex_;
  std::array<std::shared_ptr<const std::string>, 16> codecs_;  // guarded by codecs_mutex_
  size_t next_codecs_ = 0;                                     // guarded by codecs_mutex_

  // Chunks touched lately: 32 bits of the name, and touched_ behind the touch. Forgetful, and it
  // does not matter.
  std::array<std::atomic<uint64_t>, 8192> touches_;
  std::atomic<uint32_t> touched_ = 0;  // bytes of chunks touched, in kTouchUnit; wraps around
  const uint64_t recent_;  // bytes: touches of a chunk with no more in between are repeated
  std::atomic<int> files_off_ = 0;
  std::atomic<int64_t> file_bytes_ = 0, files_ = 0, heap_bytes_ = 0;
  std::atomic<int64_t> shared_hits_ = 0, promoted_ = 0, evicted_ = 0, adopted_ = 0,
                       file_errors_ = 0;
};

}  // namespace

Result<std::unique_ptr<ChunkCache>> ChunkCache::Open(const Options& options) {
  if (options.boot_id.empty() || options.boot_id.find('/') != std::string::npos ||
      options.boot_id.front() == '.')
    return {ErrorCode::kInvalidArgument, "cache: \"" + options.boot_id + "\" cannot name a folder"};
  return std::make_unique<LocalChunkCache>(options);
}

Sha256 CacheFileNameOf(const ChunkKey& key) {
  ByteWriter writer;
  writer.PutBytes(key.chunk.bytes);
  writer.Put(key.dtype);
  writer.Put(static_cast<uint8_t>(key.shape.rank()));
  for (int64_t extent : key.shape) writer.Put(extent);
  writer.PutString(*key.codecs);
  return HashSha256(writer.bytes());
}

}  // namespace zn
