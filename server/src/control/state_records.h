// State records: small shared values with versions, (scope, target, key) -> value, kept as control records of the store.
//
// Versions of a record count 1, 2, ... and go on after it was erased, so a record that is gone leaves its version behind.
// The target of scope "frame" is a frame's id here; what stands in paths and bodies is for the routes to turn into one.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/locks.h"
#include "http/problem.h"
#include "zn/engine/store.h"

namespace zn::server {

inline constexpr std::string_view kFrameScope = "frame";
inline constexpr size_t kMaxStateName = 256;          // bytes of scope, target and key each
inline constexpr size_t kMaxStateValue = 64 << 10;    // bytes of JSON
inline constexpr size_t kMaxStateBatch = 1000;

struct StateName {
  std::string scope, target, key;
  friend auto operator<=>(const StateName&, const StateName&) = default;
};

struct StateRecord {
  StateName name;
  std::string value;  // JSON; "" when `deleted`
  uint64_t version = 0;
  bool deleted = false;
  std::string actor, origin;
  int64_t timestamp_ns = 0;
};

struct StateChange {
  StateName name;
  bool erase = false;
  std::string value;  // JSON
  /// What the record has to be at: 0 for "there is none". Absent: anything where there is none yet, else 428.
  std::optional<uint64_t> base;
  bool from_etag = false;  // `base` came from If-Match or If-None-Match: 412 instead of 409
};

/// Thread-safe.
class StateRecords {
 public:
  StateRecords(Store* store, std::function<int64_t()> wall_ns) : store_(*store), wall_ns_(std::move(wall_ns)) {}

  /// Told of every change once it is durable, in the order of the changes; must not call back. Before the first change.
  using Listener = std::function<void(const RoomKey&, const StateRecord&)>;
  void SetListener(Listener listener) { listener_ = std::move(listener); }

  struct Author {
    std::string actor, origin;
  };
  /// All or nothing, durable when it returns: the records as they are now. A value that is there already, and erasing what
  /// is not there, change nothing and need no base. 404 when one to be erased never was; 409, 412 or 428 with `latest`.
  Answer<std::vector<StateRecord>> Apply(const RoomKey& room, std::span<const StateChange> changes, const Author& author);

  /// Those that are there, by name; of a scope and of a target when they are given. `after`: the place of the last one that
  /// was seen, as Place gives it. At most `limit`.
  Result<std::vector<StateRecord>> List(uint64_t incarnation, std::string_view scope, std::string_view target, size_t limit,
                                        std::string_view after) const;
  static std::string Place(const StateName& name);
  /// nullopt when there is none.
  Result<std::optional<StateRecord>> Get(uint64_t incarnation, const StateName& name) const;

  /// Erases what rooms that are gone left behind: records and fences. Returns how many, at most about `limit`.
  Result<size_t> Sweep(size_t limit);

 private:
  /// A change that was sequenced, and waits for its turn to be told.
  struct Told {
    uint64_t number;
    RoomKey room;
    std::vector<StateRecord> records;
  };

  Store& store_;
  const std::function<int64_t()> wall_ns_;
  Listener listener_;
  std::mutex queue_mutex_;
  std::deque<Told> queue_;    // guarded by queue_mutex_: in the order of the log
  uint64_t numbered_ = 0;     // guarded by queue_mutex_
  std::mutex telling_mutex_;  // held while the listener is told
  void TellUpTo(uint64_t number);
};

}  // namespace zn::server
