// What the API's parts share: the store, the options, and what is remembered between requests.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/problem.h"
#include "http/server.h"
#include "zn/engine/store.h"

namespace zn::server {

struct ApiOptions {
  int64_t max_reply = int64_t{1} << 30;      // bytes of a body
  std::vector<std::string> allowed_hosts;    // besides loopback's names, without port
  std::vector<std::string> allowed_origins;  // CORS: "https://example.org", or "*"
  bool read_only = false;
};

/// Hashes of frames that were computed, newest kept: a bounded, direct-mapped table. Thread-safe.
class HashCache {
 public:
  /// About 64 bytes an entry.
  explicit HashCache(size_t entries = 1 << 15);
  std::optional<Sha256> Find(uint64_t incarnation, FrameId id, uint32_t version) const;
  void Put(uint64_t incarnation, FrameId id, uint32_t version, const Sha256& hash);

 private:
  struct Entry {
    uint64_t incarnation = 0;
    FrameId id = -1;
    uint32_t version = 0;
    Sha256 hash;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::vector<Entry> entries;  // guarded by mutex
  };
  size_t Slot(uint64_t incarnation, FrameId id, size_t* shard) const;
  static constexpr size_t kShards = 16;
  std::array<Shard, kShards> shards_;
};

struct Service {
  Store* store = nullptr;
  ApiOptions options;
  HashCache hashes;
  std::function<HttpStats()> http_stats;
  std::atomic<bool> stopping{false};

  /// The room, or 404 with near misses.
  Answer<std::shared_ptr<Room>> FindRoom(std::string_view name) const;
  /// sha256 of the frame, from the cache or computed (which reads all its fields).
  Result<Sha256> FrameHash(const Snapshot& snapshot, FrameId id, uint32_t version);
};

/// "Zn-Commit: ...\r\nZn-Position: ...\r\n"
std::string PlaceHeaders(const Snapshot& snapshot);
/// 16 hex digits.
std::string IncarnationText(uint64_t incarnation);
/// "sha256:..."
std::string HashText(const Sha256& hash);
/// RFC 3339 in UTC; "" for 0.
std::string TimeText(int64_t time_ns);
/// FNV-1a, as 8 hex digits: the part of an ETag that names a representation.
std::string RepresentationTag(std::string_view description);

}  // namespace zn::server
