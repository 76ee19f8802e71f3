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

#include "api/idempotency.h"
#include "api/limits.h"
#include "api/zarr_views.h"
#include "control/access.h"
#include "control/locks.h"
#include "control/state_records.h"
#include "events/hub.h"
#include "events/lock_audit.h"
#include "events/options.h"
#include "http/problem.h"
#include "http/server.h"
#include "zn/engine/store.h"

namespace zn::server {

struct ApiOptions {
  int64_t max_reply = int64_t{1} << 30;      // bytes of a body
  std::vector<std::string> allowed_hosts;    // besides loopback's names, without port
  std::vector<std::string> allowed_origins;  // CORS: "https://example.org", or "*"
  bool read_only = false;
  FollowOptions follow;
  uint64_t max_upload = uint64_t{500} << 20;  // bytes of a file to import
  std::string upload_folder = "/tmp";
  std::string import_program;  // zn-import; empty: there is none, and imports are refused
  int64_t import_memory = int64_t{4} << 30;  // bytes of address space of the program
  int64_t import_seconds = 3600;             // of its processor time
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

class Jobs;
class SocketServers;

struct Service {
  explicit Service(const RateLimit& rate_limit = {});
  ~Service();
  Store* store = nullptr;
  ApiOptions options;
  HashCache hashes;
  ZarrViews zarr;
  std::function<HttpStats()> http_stats;
  std::unique_ptr<EventHub> events = std::make_unique<EventHub>();
  std::unique_ptr<SocketServers> sockets;  // null: no Socket.IO
  RunningKeys running_keys;                // of requests with an Idempotency-Key
  std::unique_ptr<Jobs> jobs;              // null: no imports
  std::atomic<bool> stopping{false};
  std::atomic<bool> sweep{true};  // a room was deleted: what it left behind is to be erased
  std::unique_ptr<ControlState> control;
  std::unique_ptr<StateRecords> state;
  std::unique_ptr<Access> access;
  ControlClock clock = ControlClock::System();
  RequestLimits limits;
  LockAudit lock_audit;

  /// Told of every change of every room, in its order; see Store::Listener for what they may do.
  std::vector<Store::Listener> listeners;

  /// Makes control state, state records and access for `store`, and listens to it. Before the first request; whoever wants
  /// to listen is added to `listeners` before.
  Result<> Start(const AccessOptions& access_options);
  /// What is due by the clock; called every few milliseconds.
  void Tick();

  /// The room, or 404 with near misses: among all, or among those that `caller` may read.
  Answer<std::shared_ptr<Room>> FindRoom(std::string_view name, const Caller* caller = nullptr) const;
  Problem NoSuchRoom(std::string_view name, const Caller* caller) const;
  /// sha256 of a version of the frame, from the cache or computed (which reads all its fields).
  Result<Sha256> FrameHash(const Snapshot& snapshot, FrameId id, uint32_t version);
};

/// "Zn-Commit: ...\r\nZn-Position: ...\r\n". Read `position` before the snapshot is taken: then who follows
/// the room's events from there misses nothing that the snapshot does not have.
std::string PlaceHeaders(const EventPosition& position, const Snapshot& snapshot);
/// 16 hex digits.
std::string IncarnationText(uint64_t incarnation);
/// "sha256:..."
std::string HashText(const Sha256& hash);
/// RFC 3339 in UTC; "" for 0.
std::string TimeText(int64_t time_ns);
/// FNV-1a, as 8 hex digits: the part of an ETag that names a representation.
std::string RepresentationTag(std::string_view description);

}  // namespace zn::server
