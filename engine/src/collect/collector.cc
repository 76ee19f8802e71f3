#include "collect/collector.h"

#include <algorithm>
#include <set>

#include "collect/leases.h"
#include "pack/pack_format.h"

namespace zn::internal {
namespace {

constexpr uint64_t kLeastGain =
    16;  // of a log file, to be given back in parts: one of so many parts of it

std::string LeaseFolder(const StoreCore& core) { return core.directory + "/leases"; }

/// The files that a collection may take something from; writers refer to nothing in them anew until
/// they are released.
class Claim {
 public:
  Claim(WriteScopes& writes, const std::function<std::vector<uint32_t>()>& list)
      : writes_(writes), files_(writes.Claim(list)) {}
  ~Claim() {
    for (const uint32_t file : files_)
      if (!kept_.contains(file)) writes_.Release(file);
  }
  const std::set<uint32_t>& kept() const { return kept_; }
  bool Has(uint32_t file) const {
    return std::find(files_.begin(), files_.end(), file) != files_.end();
  }
  /// Something was, or will be, taken from the file: it stays claimed.
  void Keep(uint32_t file) { kept_.insert(file); }

 private:
  WriteScopes& writes_;
  const std::vector<uint32_t> files_;
  std::set<uint32_t> kept_;
};

}  // namespace

/// From the roots to the last table.
class Collector::Round {
 public:
  Round(Collector& collector, const CollectOptions& options,
        const std::function<void(const CollectProgress&)>& progress, CollectSummary& summary)
      : collector_(collector),
        core_(collector.core_),
        options_(options),
        progress_(progress),
        summary_(summary),
        rate_(options.bytes_per_second),
        marker_(core_, [this](int64_t bytes) { return Pace("mark", bytes, 0); }) {}

  Result<> Run(const std::vector<std::shared_ptr<RoomImpl>>& rooms);
  uint64_t sequence() const { return sequence_; }

 private:
  Result<> Pace(std::string_view stage, int64_t bytes, int64_t total);
  Result<> MarkAll(const std::vector<std::shared_ptr<RoomImpl>>& rooms);
  Result<> SweepPacks(Claim& claim);
  Result<> Rewrite(const PackStore::Pack& pack);
  void SweepLogs(Claim& claim);
  Result<> SweepTables();

  Collector& collector_;
  StoreCore& core_;
  const CollectOptions& options_;
  const std::function<void(const CollectProgress&)>& progress_;
  CollectSummary& summary_;
  RateLimit rate_;
  std::string_view stage_;
  int64_t paced_ = 0, due_ = 0;
  Marker marker_;

  std::vector<PackStore::Pack> packs_;
  std::vector<Log::ClosedFile> logs_;
  uint64_t sequence_ = 0;  // of the log, that the roots were taken at
};

Result<> Collector::Round::Pace(std::string_view stage, int64_t bytes, int64_t total) {
  if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed))
    return Error{ErrorCode::kCancelled, "stopped"};
  if (stage != stage_) paced_ = due_ = 0;
  stage_ = stage;
  paced_ += bytes;
  due_ += bytes;
  if (due_ < collector_.pace_step_) return {};
  rate_.Take(std::exchange(due_, 0));
  if (progress_) progress_({stage, paced_, total});
  return {};
}

Result<> Collector::Round::MarkAll(const std::vector<std::shared_ptr<RoomImpl>>& rooms) {
  std::vector<RefRecord> refs;
  RecordsAt records;
  const auto take_roots = [&] {
    for (const auto& [room, ref] : core_.sequenced.by_room) refs.push_back(ref);
    records = core_.records->Checkpoint();
  };
  if (core_.read_only) {
    take_roots();
    sequence_ = core_.log->durable_sequence();
  } else {
    ZN_ASSIGN_OR_RETURN(const Ticket ticket,
                        core_.log->Append([&](const Log::AppendRecord&) -> Result<> {
                          take_roots();
                          return {};
                        }));
    ZN_RETURN_IF_ERROR(core_.log->Wait(ticket));
    sequence_ = core_.log->SequenceOf(ticket);
  }
  // After the roots: whatever state comes to be from now on is one of a commit that is kept, or of
  // a state that is alive now.
  const std::vector<StatePtr> states = core_.live.states();
  const std::vector<RecordRef> pins = core_.live.pins();
  if (options_.dry_run) {
    // As if what retention lets go of were gone.
    for (const auto& room : rooms) {
      for (RefRecord& ref : refs) {
        if (ref.room != room->ref().room) continue;
        const auto given = options_.as_if.find(ref.name);
        const Retention retention =
            given == options_.as_if.end() ? room->retention() : given->second;
        ZN_ASSIGN_OR_RETURN(const uint64_t oldest,
                            room->OldestToKeep(ref, retention, core_.clock()));
        summary_.commits_pruned += static_cast<int64_t>(oldest - ref.oldest);
        ref.oldest = oldest;
      }
    }
  }
  std::stable_sort(refs.begin(), refs.end(), [](const RefRecord& a, const RefRecord& b) {
    return (a.oldest > 1) < (b.oldest > 1);
  });
  for (const RefRecord& ref : refs) {
    if (auto marked = marker_.Room(ref); !marked)
      return std::move(marked).error().Context("room " + ref.name);
  }
  for (const RecordRef& pin : pins) {
    ZN_ASSIGN_OR_RETURN(const RoomState state, LoadState(core_, core_.pipelines, pin));
    ZN_RETURN_IF_ERROR(marker_.State(state));
  }
  for (const StatePtr& state : states) ZN_RETURN_IF_ERROR(marker_.Held(*state));
  for (const auto& room : rooms)
    if (const auto trees = room->fold_trees()) ZN_RETURN_IF_ERROR(marker_.Fold(*trees));
  ZN_RETURN_IF_ERROR(marker_.Records(records, core_.records->Alive()));
  summary_.commits_followed = marker_.commits();
  summary_.nodes_followed = marker_.nodes();
  return {};
}

Result<> Collector::Round::Run(const std::vector<std::shared_ptr<RoomImpl>>& rooms) {
  if (!options_.dry_run) {
    for (const auto& room : rooms) {
      auto gone = room->LetGo(room->retention(), core_.clock());
      if (!gone && gone.error().code == ErrorCode::kNotFound) continue;  // deleted just now
      if (!gone) return std::move(gone).error().Context("room " + room->ref().name);
      summary_.commits_pruned += *gone;
    }
  }
  // So that what was deleted while this process runs comes back before the pack is full.
  constexpr uint64_t kWorthClosing = 8 << 20;
  if (!options_.dry_run) ZN_RETURN_IF_ERROR(core_.packs->Close(kWorthClosing));
  // Before the roots: what is stored after this goes to other files, and what is alive in these is
  // so by then.
  Result<> listed;
  Claim claim(core_.writes, [&] {
    std::vector<uint32_t> files;
    auto packs = core_.packs->ListClosed();
    auto logs = core_.log->ListClosed();
    if (!packs || !logs) {
      listed = packs ? logs.error() : packs.error();
      return files;
    }
    packs_ = std::move(*packs);
    logs_ = std::move(*logs);
    for (const auto& pack : packs_)
      if (!pack.collected) files.push_back(pack.number);
    // What waits to be taken from a log file is claimed until it is.
    std::set<uint32_t> waiting;
    for (const Condemned& item : collector_.condemned_) waiting.insert(item.file);
    std::erase_if(
        logs_, [&](const auto& log) { return waiting.contains(log.number | RecordRef::kLogBit); });
    for (const auto& log : logs_) files.push_back(log.number | RecordRef::kLogBit);
    return files;
  });
  ZN_RETURN_IF_ERROR(listed);
  ZN_RETURN_IF_ERROR(MarkAll(rooms));
  ZN_RETURN_IF_ERROR(SweepPacks(claim));
  SweepLogs(claim);
  if (progress_) progress_({"copy", summary_.copied_bytes, summary_.copied_bytes});
  if (options_.dry_run) return {};
  ZN_RETURN_IF_ERROR(collector_.Finish(summary_));
  return SweepTables();
}

Result<> Collector::Round::SweepPacks(Claim& claim) {
  std::set<uint32_t> condemned;
  for (const Condemned& item : collector_.condemned_) condemned.insert(item.file);
  const Marks& marks = marker_.marks();
  std::vector<PackStore::Pack> rewrite;
  for (const PackStore::Pack& pack : packs_) {
    if (pack.collected) {
      // Left by a process that ended before it could remove it, or waiting. Nobody of this process
      // reads it by name.
      if (options_.dry_run || condemned.contains(pack.number)) continue;
      collector_.condemned_.push_back(
          {sequence_, pack.number, static_cast<int64_t>(pack.size), true, {}});
      continue;
    }
    if (!claim.Has(pack.number)) continue;
    ++summary_.packs;
    const auto live = static_cast<int64_t>(marks.BytesOf(pack.number));
    summary_.pack_bytes += static_cast<int64_t>(pack.size);
    summary_.pack_live_bytes += live;
    if (static_cast<double>(live) >= options_.live_below * static_cast<double>(pack.size) &&
        live > 0)
      continue;
    if (live == 0) {
      ++summary_.packs_removed;
    } else {
      ++summary_.packs_rewritten;
      summary_.copied_bytes += live;
    }
    if (options_.dry_run) {
      summary_.freed_bytes += static_cast<int64_t>(pack.size) - live;
    } else {
      rewrite.push_back(pack);
    }
  }
  // What gives most for least first, and its space is free before the next takes some: so it works
  // on a full disk, too.
  std::stable_sort(rewrite.begin(), rewrite.end(),
                   [&](const PackStore::Pack& a, const PackStore::Pack& b) {
                     return marks.BytesOf(a.number) < marks.BytesOf(b.number);
                   });
  for (const PackStore::Pack& pack : rewrite) {
    const auto live = static_cast<int64_t>(marks.BytesOf(pack.number));
    if (live > 0 && !core_.space.AdmitToReserve(live)) {
      summary_.copied_bytes -= live;
      --summary_.packs_rewritten;
      continue;
    }
    claim.Keep(pack.number);  // also if its table is written and no more is known: nothing new may
                              // refer to it then
    ZN_RETURN_IF_ERROR(Rewrite(pack));
    collector_.condemned_.push_back(
        {sequence_, pack.number, static_cast<int64_t>(pack.size), true, {}});
    ZN_RETURN_IF_ERROR(collector_.Finish(summary_));
  }
  return {};
}

Result<> Collector::Round::Rewrite(const PackStore::Pack& pack) {
  constexpr int64_t kSyncStep = 32 << 20;  // so that a commit's sync does not wait behind much
  const OffsetSet* const alive = marker_.marks().records.In(pack.number);
  std::vector<Move> moves;
  if (alive != nullptr) {
    ZN_ASSIGN_OR_RETURN(const PackScan scan, core_.packs->Scan(pack.number));
    uint64_t found = 0;
    int64_t unsynced = 0;
    for (const PackEntry& entry : scan.entries) {
      if (!alive->Has(entry.offset)) continue;
      const RecordRef ref{entry.name, entry.offset, pack.number, entry.length};
      const auto size = static_cast<int64_t>(PackRecordSize(entry.length));
      ZN_RETURN_IF_ERROR(Pace("copy", size, summary_.copied_bytes));
      // Every block is checked on the way: damage is told of, not copied.
      ZN_ASSIGN_OR_RETURN(const Buffer payload, core_.packs->Read(ref));
      ZN_ASSIGN_OR_RETURN(const RecordRef moved,
                          core_.packs->Put(entry.type, entry.name, payload.bytes()));
      moves.push_back({entry.offset, moved.offset, moved.file, moved.length});
      found += static_cast<uint64_t>(size);
      unsynced += size;
      if (unsynced >= kSyncStep) {
        ZN_RETURN_IF_ERROR(core_.packs->Sync());
        unsynced = 0;
      }
    }
    if (found != marker_.marks().BytesOf(pack.number)) {
      return Error{
          ErrorCode::kCorrupt,
          "packs/" + PackFileName(pack.number, ".pack") +
              " does not have every record that is referred to; it is left as it is. Run zn-fsck"};
    }
    ZN_RETURN_IF_ERROR(core_.packs->Sync());
  }
  return core_.packs->Replace(pack.number, std::move(moves));
}

void Collector::Round::SweepLogs(Claim& claim) {
  const Marks& marks = marker_.marks();
  for (const Log::ClosedFile& log : logs_) {
    const uint32_t file = log.number | RecordRef::kLogBit;
    if (!claim.Has(file)) continue;
    ++summary_.log_files;
    const auto live = static_cast<int64_t>(marks.BytesOf(file));
    summary_.log_bytes += log.allocated;
    summary_.log_live_bytes += live;
    if (live == 0 && log.removable) {
      ++summary_.log_files_removed;
      if (options_.dry_run) {
        summary_.freed_bytes += log.allocated;
        continue;
      }
      claim.Keep(file);
      collector_.condemned_.push_back({sequence_, file, log.allocated, true, {}});
      continue;
    }
    if (static_cast<double>(live) >= options_.live_below * static_cast<double>(log.allocated))
      continue;
    // The blocks that no living record touches.
    Condemned item{sequence_, file, 0, false, {}};
    const OffsetSet* const alive = marks.log_blocks.In(file);
    uint64_t gain = 0;
    for (uint64_t at = 0; at + kLogBlock <= log.size; at += kLogBlock) {
      if (alive != nullptr && alive->Has(Marks::BlockOf(at))) continue;
      if (!item.dead.empty() && item.dead.back().second == at) {
        item.dead.back().second += kLogBlock;
      } else {
        item.dead.emplace_back(at, at + kLogBlock);
      }
      gain += kLogBlock;
    }
    const uint64_t holes =
        log.size - std::min<uint64_t>(log.size, static_cast<uint64_t>(log.allocated));
    if (gain < holes + log.size / kLeastGain) continue;
    item.bytes = static_cast<int64_t>(gain - holes);
    if (options_.dry_run) {
      summary_.freed_bytes += item.bytes;
      continue;
    }
    claim.Keep(file);
    collector_.condemned_.push_back(std::move(item));
  }
}

Result<> Collector::Round::SweepTables() {
  const Marks& marks = marker_.marks();
  // A table is needed as long as a reference names its pack; its number stays taken by any greater
  // one.
  ZN_ASSIGN_OR_RETURN(const std::vector<uint32_t> tables, core_.packs->ListMoved());
  const uint32_t newest = packs_.empty() ? 0 : packs_.back().number;
  std::set<uint32_t> waiting;
  for (const Condemned& item : collector_.condemned_) waiting.insert(item.file);
  ZN_ASSIGN_OR_RETURN(const Leases leases, LookAtLeases(LeaseFolder(core_)));
  if (leases.oldest < sequence_) return {};
  for (const uint32_t table : tables) {
    const OffsetSet* const used = marks.moved.In(table);
    // Those of this collection's own packs were not on anybody's way yet.
    if (marks.records.In(table) != nullptr || waiting.contains(table)) continue;
    ZN_ASSIGN_OR_RETURN(std::vector<Move> moves, core_.packs->Moves(table));
    if (used == nullptr) {
      if (table < newest) ZN_RETURN_IF_ERROR(core_.packs->RemoveMoves(table));
      continue;
    }
    // Straight to where its records are now, and without those that nobody asks for.
    std::vector<Move> shorter;
    bool changed = false;
    for (const Move& move : moves) {
      if (!used->Has(move.old_offset)) {
        changed = true;
        continue;
      }
      ZN_ASSIGN_OR_RETURN(const RecordRef now,
                          core_.packs->Locate({{}, move.offset, move.file, move.length}, nullptr));
      changed |= now.file != move.file;
      shorter.push_back({move.old_offset, now.offset, now.file, now.length});
    }
    if (changed) ZN_RETURN_IF_ERROR(core_.packs->Replace(table, std::move(shorter)));
  }
  return {};
}

Result<CollectSummary> Collector::Run(const std::vector<std::shared_ptr<RoomImpl>>& rooms,
                                      const CollectOptions& options,
                                      const std::function<void(const CollectProgress&)>& progress) {
  const std::unique_lock running(run_mutex_, std::try_to_lock);
  if (!running) return Error{ErrorCode::kBusy, "a collection is under way"};
  if (core_.read_only && !options.dry_run)
    return Error{ErrorCode::kReadOnly, "the store is open for reading only"};
  {
    const std::lock_guard lock(totals_mutex_);
    totals_.running = 1;
  }
  CollectSummary summary;
  Round round(*this, options, progress, summary);
  auto done = round.Run(rooms);
  if (options.dry_run) summary.waiting_bytes = 0;
  Count(options.dry_run ? CollectSummary() : summary, !done, round.sequence());
  if (!done) return std::move(done).error();
  return summary;
}

void Collector::Count(const CollectSummary& summary, bool failed, uint64_t sequence) {
  int64_t waiting = 0;
  for (const Condemned& item : condemned_) waiting += item.bytes;
  const std::lock_guard lock(totals_mutex_);
  totals_.running = 0;
  ++(failed ? totals_.failed : totals_.collections);
  if (!failed) totals_.sequence = sequence;
  totals_.freed_bytes += summary.freed_bytes;
  totals_.copied_bytes += summary.copied_bytes;
  totals_.commits_pruned += summary.commits_pruned;
  totals_.waiting_bytes = waiting;
}

Collector::Totals Collector::totals() const {
  const std::lock_guard lock(totals_mutex_);
  return totals_;
}

Result<> Collector::FinishWaiting() {
  const std::unique_lock running(run_mutex_, std::try_to_lock);
  if (!running || condemned_.empty()) return {};
  CollectSummary summary;
  auto done = Finish(summary);
  const std::lock_guard lock(totals_mutex_);
  totals_.freed_bytes += summary.freed_bytes;
  totals_.waiting_bytes = summary.waiting_bytes;
  return done;
}

Result<> Collector::Finish(CollectSummary& summary) {
  ZN_ASSIGN_OR_RETURN(const Leases leases, LookAtLeases(LeaseFolder(core_)));
  summary.waiting_readers = leases.readers;
  summary.waiting_bytes = 0;
  std::deque<Condemned> waiting;
  Result<> failed;
  for (Condemned& item : condemned_) {
    if (failed && item.sequence <= leases.oldest) {
      const uint32_t log = item.file & ~RecordRef::kLogBit;
      Result<> done;
      if ((item.file & RecordRef::kLogBit) == 0) {
        done = core_.packs->Remove(item.file);
      } else {
        done = item.whole ? core_.log->Remove(log) : core_.log->GiveBack(log, item.dead);
        if (!done && done.error().code == ErrorCode::kUnsupported) {
          done = Result<>();
          item.bytes = 0;
        }
      }
      if (done) {
        summary.freed_bytes += item.bytes;
        // Parts of a log file can be used again by writers: what was dead there cannot be found any
        // more.
        if (!item.whole) core_.writes.Release(item.file);
        continue;
      }
      failed = std::move(done);
    }
    summary.waiting_bytes += item.bytes;
    waiting.push_back(std::move(item));
  }
  condemned_ = std::move(waiting);
  return failed;
}

}  // namespace zn::internal
