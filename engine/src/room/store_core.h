// What the rooms of a store share: its log, packs, cache, threads, and the table of refs.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/thread_pool.h"
#include "cache/chunk_cache.h"
#include "chunk/chunk_io.h"
#include "control/record_table.h"
#include "codec/pipeline_cache.h"
#include "log/log.h"
#include "pack/pack_store.h"
#include "room/dedup.h"
#include "room/disk_space.h"
#include "room/fold_policy.h"
#include "room/live_states.h"
#include "room/read_ahead.h"
#include "room/records.h"
#include "room/superblock.h"
#include "room/write_scopes.h"
#include "zn/engine/store.h"

namespace zn::internal {

/// Chunks of at least this many encoded bytes go to a pack, smaller ones into their commit's group.
inline constexpr size_t kPackThreshold = 256 << 10;

/// Constant after opening, but for what says otherwise. Destroyed after every room.
struct StoreCore : NodeSource {
  std::string directory;
  Superblock superblock;
  bool read_only = false;
  uint64_t epoch = 0;
  std::function<int64_t()> clock;
  FoldPolicy fold_policy;

  ~StoreCore() override {
    pool.reset();  // what was submitted uses the rest
  }

  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<ChunkCache> cache;
  std::unique_ptr<PackStore> packs;
  std::unique_ptr<Log> log;
  std::unique_ptr<ChunkIo> chunks;
  PipelineCache pipelines;
  mutable DedupIndex dedup;
  mutable LiveStates live;
  mutable WriteScopes writes{[this] { return packs->FirstWritable(); }};
  Retention default_retention;
  DiskSpace space;
  mutable ReadAhead read_ahead;
  std::shared_ptr<RecordTable> records;
  Store::Listener listener;  // set before the first write

  /// Refs as sequenced: touched only inside Log::Append's build and the checkpoint writer, both under the log's lock.
  struct SequencedRefs {
    std::map<uint64_t, RefRecord> by_room;
    uint64_t next_room = 1;
  } sequenced;

  std::atomic<int64_t> commits{0};

  /// A transaction that comes with no commit: takes its place in the log. `next` is to be published once it is durable.
  Result<Ticket> AppendRecords(const RecordChanges& changes, RecordStatePtr& next);

  Result<Buffer> ReadNode(const RecordRef& ref) const override {
    if (!ref.in_log()) return packs->Read(ref);
    return log->Read(ref);
  }
};

}  // namespace zn::internal
