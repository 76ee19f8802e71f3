// Opening, making and following stores; the table of rooms.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "base/bytes.h"
#include "base/file.h"
#include "collect/collector.h"
#include "collect/leases.h"
#include "room/open_store.h"
#include "room/room_impl.h"
#include "zn/engine/store.h"

namespace zn {

using internal::RecordTable;
using internal::RoomImpl;
using internal::StatePtr;
using internal::StoreCore;

namespace {

int64_t SystemClock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// Names the machine's current boot, so that caches of another one are known to be old.
std::string BootId() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string id;
  in >> id;
  return id.empty() ? "unknown" : id;
}

/// The same as a number; 0 when it is not known.
uint64_t BootNumber() {
  const std::string id = BootId();
  if (id == "unknown") return 0;
  uint64_t number;
  std::memcpy(&number, HashSha256(std::as_bytes(std::span(id))).bytes.data(), sizeof number);
  return number;
}

class StoreImpl final : public Store {
 public:
  ~StoreImpl() override;
  static Result<std::unique_ptr<Store>> Open(const std::string& directory, const StoreOptions& options,
                                             internal::StoreSeams seams);

  std::string directory() const override { return core_->directory; }
  std::string uuid() const override { return FormatUuid(core_->superblock.uuid); }
  uint64_t epoch() const override { return core_->epoch; }
  Position position() const override { return {core_->epoch, core_->log->durable_sequence()}; }

  std::vector<RoomInfo> ListRooms() const override;
  Result<std::shared_ptr<Room>> OpenRoom(const std::string& name) const override;
  Result<std::shared_ptr<Room>> CreateRoom(const std::string& name, const RoomModel& model,
                                           const CommitContext& context) override;
  Result<std::unique_ptr<BulkAppender>> CreateRoomByImport(const std::string& name, const RoomModel& model,
                                                           const std::string& base,
                                                           const BulkAppender::Options& options) override;
  Result<std::shared_ptr<Room>> ForkRoom(const std::string& base, std::optional<CommitId> at, const std::string& name,
                                         const CommitContext& context, const std::optional<RoomModel>& model) override;
  Result<> DeleteRoom(const std::string& name, const CommitContext& context) override;
  RecordView records() const override { return RecordView(core_->records); }
  Result<> Update(const RecordChanges& changes) override;
  void SetListener(Listener listener) override { core_->listener = std::move(listener); }
  Result<CollectSummary> Collect(const CollectOptions& options,
                                 const std::function<void(const CollectProgress&)>& progress) override;
  Result<> Refresh() override;
  Stats stats() const override;

  /// Takes a name for a room that is being made.
  Result<> Reserve(const std::string& name);
  void Release(const std::string& name);
  void Register(const std::shared_ptr<RoomImpl>& room);

 private:
  Result<std::shared_ptr<RoomImpl>> Find(const std::string& name) const;
  Result<std::shared_ptr<RoomImpl>> NewRoom(const std::string& name, const RoomModel& model, const std::string& base,
                                            const StatePtr& state);
  Result<> Replay();
  void Apply(const RefRecord& ref);
  Result<> OpenParts(const StoreOptions& options, internal::StoreSeams seams);

  std::shared_ptr<StoreCore> core_;
  std::unique_ptr<internal::Collector> collector_;
  File lock_;
  bool knows_rooms_ = false;  // open for writing, and the log was replayed

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<RoomImpl>> rooms_;      // guarded by mutex_: by name
  std::map<uint64_t, std::string> names_;                       // guarded by mutex_: by incarnation
  std::set<std::string> reserved_;                              // guarded by mutex_
  std::mutex refresh_mutex_;

  /// Tells the writer what this reader still needs.
  void HoldLease();
  std::unique_ptr<Lease> lease_;  // of a reader; null where the store's folder cannot be written

  /// Collects now and then, while the store is open for writing.
  void CollectNowAndThen();
  bool CollectionIsDue() const;
  int64_t BytesWritten() const;
  BackgroundCollection collection_;
  std::thread collecting_;
  std::atomic<bool> stop_collecting_{false};
  std::atomic<int64_t> deleted_rooms_{0};
  struct Collected {
    std::chrono::steady_clock::time_point at;
    uint64_t sequence = 0;
    int64_t written = 0, deleted_rooms = 0;
  } collected_;  // of the last one; only its thread's

  /// Merges what edits and appends leave in pieces, while the store is open for writing.
  void Maintain();
  std::mutex maintenance_mutex_;
  std::condition_variable maintenance_wake_;
  bool closing_ = false;  // guarded by maintenance_mutex_
  std::thread maintenance_;
};

/// The appender of a room that appears with its first commit.
class CreatingAppender final : public BulkAppender {
 public:
  CreatingAppender(StoreImpl& store, std::shared_ptr<RoomImpl> room, std::unique_ptr<BulkAppender> inner)
      : store_(store), name_(room->ref().name), room_(std::move(room)), inner_(std::move(inner)) {}
  ~CreatingAppender() override {
    inner_.reset();
    store_.Release(name_);
  }
  Result<> Append(const FrameBatch& batch) override { return inner_->Append(batch); }
  Result<CommitInfo> Finish(const CommitContext& given) override {
    CommitContext context = given;  // the room is listed once it is in the store
    context.pending = nullptr;
    ZN_ASSIGN_OR_RETURN(CommitInfo info, inner_->Finish(context));
    if (!info.changed) {
      // No frames: the room is made all the same.
      ZN_RETURN_IF_ERROR(room_->Begin(Operation::kCreate, context));
      const Snapshot head = room_->Head();
      info.changed = true;
      info.commit = head.commit();
      info.position = head.position();
    }
    store_.Register(room_);
    return info;
  }
  Stats stats() const override { return inner_->stats(); }

 private:
  StoreImpl& store_;
  const std::string name_;
  const std::shared_ptr<RoomImpl> room_;
  std::unique_ptr<BulkAppender> inner_;
};

Result<std::unique_ptr<Store>> StoreImpl::Open(const std::string& directory, const StoreOptions& options,
                                               internal::StoreSeams seams) {
  auto store = std::make_unique<StoreImpl>();
  store->core_ = std::make_shared<StoreCore>();
  StoreCore& core = *store->core_;
  core.directory = directory;
  core.read_only = options.read_only;
  core.clock = options.clock ? options.clock : SystemClock;
  core.fold_policy = seams.fold_policy;
  const std::string superblock_path = directory + "/superblock";

  if (!PathExists(superblock_path)) {
    if (!options.create || options.read_only)
      return Error{ErrorCode::kNotFound, directory + " is not a ZnStore (it has no superblock)"};
    ZN_RETURN_IF_ERROR(MakeDirectoryDurably(directory));
    ZN_ASSIGN_OR_RETURN(const auto entries, ListDirectory(directory));
    // What a process that was killed while it made the store leaves behind.
    const std::set<std::string, std::less<>> own = {"lock",     "log",   "packs",
                                                      "incoming", "cache", "quarantine", "leases"};
    for (const std::string& entry : entries)
      if (!own.contains(entry) && entry.rfind("superblock", 0) != 0)
        return Error{ErrorCode::kInvalidArgument,
                     directory + " is not empty and not a ZnStore; name another directory"};
  }
  if (!options.read_only) {
    const std::string lock_path = directory + "/lock";
    auto lock = File::Open(lock_path, PathExists(lock_path) ? File::kReadWrite : File::kCreateNew);
    if (!lock && PathExists(lock_path)) lock = File::Open(lock_path, File::kReadWrite);  // another made it just now
    if (!lock && lock.error().code == ErrorCode::kReadOnly)
      return Error{ErrorCode::kReadOnly, "the store " + directory +
                                             " is on a file system that cannot be written; it can be opened for reading"};
    if (!lock) return std::move(lock).error();
    if (auto locked = lock->TryLock(true); !locked) {
      if (locked.error().code != ErrorCode::kBusy) return std::move(locked).error();
      return Error{ErrorCode::kBusy, "the store " + directory +
                                         " is in use by another process that writes to it (a zn-server or zn-import); "
                                         "stop it, or import through the server"};
    }
    store->lock_ = std::move(*lock);
    if (!PathExists(superblock_path)) {
      // Directories first: the superblock says that the store is whole.
      for (const char* part : {"log", "packs", "incoming", "cache", "quarantine"})
        ZN_RETURN_IF_ERROR(MakeDirectory(directory + "/" + part));
      ZN_RETURN_IF_ERROR(SyncDirectory(directory));
      ZN_RETURN_IF_ERROR(WriteFileAtomically(superblock_path, EncodeSuperblock(NewSuperblock(core.clock()))));
    }
  }
  ZN_ASSIGN_OR_RETURN(const auto bytes, ReadWholeFile(superblock_path, 1 << 20));
  auto superblock = DecodeSuperblock(bytes);
  if (!superblock) return std::move(superblock).error().Context(superblock_path);
  core.superblock = *superblock;
  if (!options.read_only && core.superblock.read_only_features != 0)
    return Error{ErrorCode::kReadOnly, directory + " was written by a later version; this one may only read it"};
  ZN_RETURN_IF_ERROR(store->OpenParts(options, std::move(seams)));
  return std::unique_ptr<Store>(std::move(store));
}

Result<> StoreImpl::OpenParts(const StoreOptions& options, internal::StoreSeams seams) {
  StoreCore& core = *core_;
  const std::shared_ptr<FileSystem> disk = seams.disk ? std::move(seams.disk) : LocalFileSystem();
  core.pool = std::make_unique<ThreadPool>(options.threads);

  LogOptions log_options;
  log_options.directory = core.directory + "/log";
  log_options.head_path = core.directory + "/head";
  log_options.quarantine = core.directory + "/quarantine";
  log_options.salt = core.superblock.record_salt;
  log_options.read_only = options.read_only;
  log_options.boot = BootNumber();
  log_options.max_file_bytes = seams.sizes.log_file_bytes;
  ZN_ASSIGN_OR_RETURN(core.log, OpenLog(disk, log_options));

  core.packs = std::move(seams.packs);
  if (!core.packs) {
    PackStoreOptions pack_options;
    pack_options.directory = core.directory + "/packs";
    pack_options.quarantine = log_options.quarantine;
    pack_options.salt = core.superblock.record_salt;
    pack_options.read_only = options.read_only;
    pack_options.seal_bytes = seams.sizes.pack_bytes;
    ZN_ASSIGN_OR_RETURN(core.packs, OpenPackStore(disk, pack_options));
  }

  ChunkCache::Options cache_options;
  cache_options.directory = core.directory + "/cache";
  cache_options.boot_id = BootId();
  cache_options.bounds = options.cache;
  cache_options.unnamed_files = options.read_only;
  ZN_ASSIGN_OR_RETURN(core.cache, ChunkCache::Open(cache_options));
  core.chunks = std::make_unique<ChunkIo>(*core.log, *core.packs, *core.cache);
  core.records = std::make_shared<RecordTable>(core, options.audit_lines);
  core.default_retention = options.default_retention;
  core.space.Start([directory = core.directory] { return FreeBytes(directory); }, options.reserve_bytes);
  collector_ = std::make_unique<internal::Collector>(core, seams.sizes.collect_step);

  if (options.read_only) {
    // Before the first look, so that what is seen then stays. Without one (a disk or folder that cannot be written) the
    // writer does not know of this reader.
    if (auto lease = Lease::Take(core.directory + "/leases")) lease_ = std::move(*lease);
  }
  ZN_RETURN_IF_ERROR(Replay());
  HoldLease();
  if (options.read_only) return {};

  knows_rooms_ = true;
  core.log->SetCheckpointWriter([&core] {
    CheckpointRecord checkpoint;
    checkpoint.epoch = core.epoch;
    checkpoint.next_room = core.sequenced.next_room;
    for (const auto& [room, ref] : core.sequenced.by_room) checkpoint.rooms.push_back(ref);
    checkpoint.records = core.records->Checkpoint();
    return EncodeCheckpoint(checkpoint);
  });
  // Fences and positions given out from now on are of a new epoch, also after a crash.
  core.epoch += seams.epoch_step;
  ZN_ASSIGN_OR_RETURN(const Ticket ticket, core.log->Append([&core](const Log::AppendRecord& append) -> Result<> {
    ByteWriter epoch;
    epoch.Put(core.epoch);
    append(RecordType::kEpoch, epoch.Take());
    return {};
  }));
  ZN_RETURN_IF_ERROR(core.log->Wait(ticket));
  collection_ = options.collection;
  if (collection_.bytes_per_second > 0) collecting_ = std::thread([this] { CollectNowAndThen(); });
  if (options.background_maintenance) maintenance_ = std::thread([this] { Maintain(); });
  return {};
}

void StoreImpl::Maintain() {
  // Rarely enough to cost little, often enough that reads stay short of many pieces.
  constexpr std::chrono::milliseconds kPause(500);
  constexpr size_t kTouchedRows = 64;
  constexpr int64_t kChunksAtOnce = 16;
  for (;;) {
    {
      std::unique_lock lock(maintenance_mutex_);
      if (maintenance_wake_.wait_for(lock, kPause, [&] { return closing_; })) return;
    }
    std::vector<std::shared_ptr<RoomImpl>> rooms;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [name, room] : rooms_)
        if (room->touched_rows() >= kTouchedRows) rooms.push_back(room);
    }
    // What fails here fails the next commit too, and is reported there.
    for (const auto& room : rooms) (void)room->CompactTouched(kChunksAtOnce);
  }
}

void StoreImpl::Apply(const RefRecord& ref) {
  const auto named = names_.find(ref.room);
  if (ref.deleted) {
    if (named != names_.end()) {
      const auto room = rooms_.extract(named->second);
      names_.erase(named);
      if (!room.empty()) room.mapped()->Retire();
    }
    core_->sequenced.by_room.erase(ref.room);
    return;
  }
  core_->sequenced.by_room[ref.room] = ref;
  core_->sequenced.next_room = std::max(core_->sequenced.next_room, ref.room + 1);
  auto& room = rooms_[ref.name];
  if (!room || room->ref().room != ref.room) {
    room = std::make_shared<RoomImpl>(core_, ref);
    names_[ref.room] = ref.name;
  } else {
    room->Follow(ref);
  }
}

Result<> StoreImpl::Replay() {
  const std::lock_guard refresh_lock(refresh_mutex_);
  return core_->log->Replay([&](uint64_t, const LoggedRecord& record) -> Result<> {
    const std::lock_guard lock(mutex_);
    switch (record.type) {
      case RecordType::kCheckpoint: {
        ZN_ASSIGN_OR_RETURN(const CheckpointRecord checkpoint, DecodeCheckpoint(record.payload));
        core_->epoch = std::max(core_->epoch, checkpoint.epoch);
        std::set<uint64_t> alive;
        for (const RefRecord& ref : checkpoint.rooms) {
          alive.insert(ref.room);
          Apply(ref);
        }
        for (auto at = names_.begin(); at != names_.end();) {
          const auto next = std::next(at);
          if (alive.count(at->first) == 0) Apply(RefRecord{at->first, true, at->second, "", {}, {}});
          at = next;
        }
        core_->sequenced.next_room = std::max(core_->sequenced.next_room, checkpoint.next_room);
        return core_->records->Restore(checkpoint.records);
      }
      case RecordType::kRef: {
        ZN_ASSIGN_OR_RETURN(const RefRecord ref, DecodeRef(record.payload));
        Apply(ref);
        return {};
      }
      case RecordType::kEpoch: {
        ByteReader in(record.payload);
        core_->epoch = std::max(core_->epoch, in.Get<uint64_t>());
        return {};
      }
      case RecordType::kState:
        return core_->records->Replay(record.payload);
      default:
        return {};
    }
  });
}

Result<> StoreImpl::Update(const RecordChanges& changes) {
  internal::RecordStatePtr next;
  ZN_ASSIGN_OR_RETURN(const Ticket ticket, core_->AppendRecords(changes, next));
  ZN_RETURN_IF_ERROR(core_->log->Wait(ticket));
  core_->records->Publish(std::move(next));
  return {};
}

Result<CollectSummary> StoreImpl::Collect(const CollectOptions& options,
                                          const std::function<void(const CollectProgress&)>& progress) {
  std::unique_lock following(refresh_mutex_, std::defer_lock);
  if (core_->read_only) following.lock();  // refs stay as they are meanwhile
  std::vector<std::shared_ptr<RoomImpl>> rooms;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, room] : rooms_) rooms.push_back(room);
  }
  return collector_->Run(rooms, options, progress);
}

Result<> StoreImpl::Refresh() {
  if (!core_->read_only) return {};
  ZN_RETURN_IF_ERROR(Replay());
  HoldLease();
  return {};
}

void StoreImpl::HoldLease() {
  if (!lease_) return;
  const std::lock_guard following(refresh_mutex_);
  uint64_t oldest = core_->log->durable_sequence();
  std::set<const internal::RoomState*> newest;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, room] : rooms_) newest.insert(room->loaded_head().get());
  }
  // What is a room's newest state now is needed from now on, however long ago it was read. What is just being loaded may
  // be of any moment before.
  if (!core_->live.pins().empty()) return;
  for (const StatePtr& state : core_->live.states())
    if (!newest.contains(state.get())) oldest = std::min(oldest, state->position.sequence);
  lease_->Hold(oldest);
}

int64_t StoreImpl::BytesWritten() const {
  return core_->log->stats().bytes_written + core_->packs->stats().bytes_written;
}

bool StoreImpl::CollectionIsDue() const {
  constexpr int64_t kMuch = 64 << 20;
  if (collected_.deleted_rooms != deleted_rooms_.load() || BytesWritten() - collected_.written >= kMuch) return true;
  if (std::chrono::steady_clock::now() - collected_.at < collection_.every) return false;
  if (core_->log->durable_sequence() != collected_.sequence) return true;
  // Nothing has changed, but time has passed.
  std::vector<std::shared_ptr<RoomImpl>> rooms;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, room] : rooms_) rooms.push_back(room);
  }
  const int64_t now = core_->clock();
  return std::any_of(rooms.begin(), rooms.end(), [now](const auto& room) {
    const Retention retention = room->retention();
    const auto oldest = room->OldestToKeep(room->ref(), retention, now);
    return retention.nanoseconds > 0 && oldest && *oldest > room->ref().oldest;
  });
}

void StoreImpl::CollectNowAndThen() {
  const auto pause = std::min<std::chrono::milliseconds>(collection_.every, std::chrono::seconds(5));
  CollectOptions options;
  options.bytes_per_second = collection_.bytes_per_second;
  options.cancel = &stop_collecting_;
  collected_.at = std::chrono::steady_clock::now();
  for (;;) {
    {
      std::unique_lock lock(maintenance_mutex_);
      if (maintenance_wake_.wait_for(lock, pause, [&] { return closing_; })) return;
    }
    (void)collector_->FinishWaiting();
    if (!CollectionIsDue()) continue;
    // What comes while it runs counts for the next one.
    collected_.deleted_rooms = deleted_rooms_.load();
    const int64_t written = BytesWritten(), copied = collector_->totals().copied_bytes;
    // What fails here is counted (stats), and tried again when the next one is due.
    (void)Collect(options, {});
    const auto totals = collector_->totals();
    collected_.at = std::chrono::steady_clock::now();
    collected_.sequence = totals.sequence;
    collected_.written = written + totals.copied_bytes - copied;
  }
}

StoreImpl::~StoreImpl() {
  if (!core_) return;
  {
    const std::lock_guard lock(maintenance_mutex_);
    closing_ = true;
  }
  stop_collecting_ = true;
  maintenance_wake_.notify_all();
  if (maintenance_.joinable()) maintenance_.join();
  if (collecting_.joinable()) collecting_.join();
  lease_.reset();
  {
    const std::lock_guard lock(mutex_);
    rooms_.clear();
  }
  // A checkpoint at the end makes the next opening read nothing else. Failing that, it replays.
  // Not of a store that could not be opened wholly: what it knows of its rooms is nothing.
  if (knows_rooms_) (void)core_->log->Checkpoint();
}

std::vector<RoomInfo> StoreImpl::ListRooms() const {
  std::vector<std::shared_ptr<RoomImpl>> rooms;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, room] : rooms_) rooms.push_back(room);
  }
  std::vector<RoomInfo> infos;
  infos.reserve(rooms.size());
  for (const auto& room : rooms) infos.push_back(room->info());
  return infos;
}

Result<std::shared_ptr<RoomImpl>> StoreImpl::Find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto at = rooms_.find(name);
  if (at == rooms_.end()) return Error{ErrorCode::kNotFound, "there is no room " + name};
  return at->second;
}

Result<std::shared_ptr<Room>> StoreImpl::OpenRoom(const std::string& name) const {
  ZN_ASSIGN_OR_RETURN(auto room, Find(name));
  return std::shared_ptr<Room>(std::move(room));
}

Result<> StoreImpl::Reserve(const std::string& name) {
  ZN_RETURN_IF_ERROR(ValidateRoomName(name));
  if (core_->read_only) return Error{ErrorCode::kReadOnly, "the store is open for reading only"};
  const std::lock_guard lock(mutex_);
  if (rooms_.count(name) != 0) return Error{ErrorCode::kAlreadyExists, "there is a room " + name + " already"};
  if (!reserved_.insert(name).second)
    return Error{ErrorCode::kAlreadyExists, "a room " + name + " is just being made"};
  return {};
}

void StoreImpl::Release(const std::string& name) {
  const std::lock_guard lock(mutex_);
  reserved_.erase(name);
}

void StoreImpl::Register(const std::shared_ptr<RoomImpl>& room) {
  const RefRecord ref = room->ref();
  const std::lock_guard lock(mutex_);
  rooms_[ref.name] = room;
  names_[ref.room] = ref.name;
  reserved_.erase(ref.name);
  room->Announce();
}

Result<std::shared_ptr<RoomImpl>> StoreImpl::NewRoom(const std::string& name, const RoomModel& model,
                                                     const std::string& base, const StatePtr& state) {
  ZN_RETURN_IF_ERROR(Reserve(name));
  RefRecord ref;
  ref.name = name;
  ref.base = base;
  auto room = std::make_shared<RoomImpl>(core_, std::move(ref));
  room->PrepareFirstCommit(model, state);
  return room;
}

Result<std::shared_ptr<Room>> StoreImpl::CreateRoom(const std::string& name, const RoomModel& model,
                                                    const CommitContext& context) {
  ZN_ASSIGN_OR_RETURN(auto room, NewRoom(name, model, "", nullptr));
  if (auto begun = room->Begin(Operation::kCreate, context); !begun) {
    Release(name);
    return std::move(begun).error();
  }
  Register(room);
  return std::shared_ptr<Room>(std::move(room));
}

Result<std::shared_ptr<Room>> StoreImpl::ForkRoom(const std::string& base, std::optional<CommitId> at,
                                                  const std::string& name, const CommitContext& context,
                                                  const std::optional<RoomModel>& given) {
  ZN_ASSIGN_OR_RETURN(const auto base_room, Find(base));
  ZN_ASSIGN_OR_RETURN(const StatePtr state, at ? base_room->StateAt(*at) : base_room->HeadState());
  RoomModel model = given.value_or(RoomModel());
  if (!given) model.description = base_room->info().model.description;
  ZN_ASSIGN_OR_RETURN(auto room, NewRoom(name, model, base + "@" + state->commit.ToString(), state));
  if (auto begun = room->Begin(Operation::kFork, context); !begun) {
    Release(name);
    return std::move(begun).error();
  }
  Register(room);
  return std::shared_ptr<Room>(std::move(room));
}

Result<std::unique_ptr<BulkAppender>> StoreImpl::CreateRoomByImport(const std::string& name, const RoomModel& model,
                                                                    const std::string& base,
                                                                    const BulkAppender::Options& options) {
  StatePtr state;
  std::string base_text;
  if (!base.empty()) {
    const size_t at_sign = base.find('@');
    const std::string base_name = base.substr(0, at_sign);
    ZN_ASSIGN_OR_RETURN(const auto base_room, Find(base_name));
    if (at_sign == std::string::npos) {
      ZN_ASSIGN_OR_RETURN(state, base_room->HeadState());
    } else {
      ZN_ASSIGN_OR_RETURN(const CommitId commit, CommitId::Parse(base.substr(at_sign + 1)));
      ZN_ASSIGN_OR_RETURN(state, base_room->StateAt(commit));
    }
    base_text = base_name + "@" + state->commit.ToString();
  }
  ZN_ASSIGN_OR_RETURN(auto room, NewRoom(name, model, base_text, state));
  auto appender = room->StartBulkAppend(options);
  if (!appender) {
    Release(name);
    return std::move(appender).error();
  }
  return std::unique_ptr<BulkAppender>(std::make_unique<CreatingAppender>(*this, std::move(room), std::move(*appender)));
}

Result<> StoreImpl::DeleteRoom(const std::string& name, const CommitContext& context) {
  ZN_ASSIGN_OR_RETURN(const auto room, Find(name));
  ZN_RETURN_IF_ERROR(room->End(context));
  const std::lock_guard lock(mutex_);
  rooms_.erase(name);
  names_.erase(room->ref().room);
  room->Retire();
  room->Announce();
  ++deleted_rooms_;
  return {};
}

Store::Stats StoreImpl::stats() const {
  Stats stats;
  const auto cache = core_->cache->stats();
  stats.cache_bytes = cache.bytes;
  stats.cache_files = cache.files;
  stats.cache_hits = cache.hits;
  stats.cache_misses = cache.misses;
  const auto log = core_->log->stats();
  stats.log_bytes_written = log.bytes_written;
  stats.groups = log.groups;
  stats.log_files = log.files;
  const auto packs = core_->packs->stats();
  stats.pack_bytes_written = packs.bytes_written;
  stats.packs = packs.packs;
  const auto collected = collector_->totals();
  stats.collections = collected.collections;
  stats.collections_failed = collected.failed;
  stats.collecting = collected.running;
  stats.collected_bytes = collected.freed_bytes;
  stats.copied_bytes = collected.copied_bytes;
  stats.waiting_bytes = collected.waiting_bytes;
  stats.commits_pruned = collected.commits_pruned;
  stats.disk_free_bytes = core_->space.Free();
  stats.commits = core_->commits.load(std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  stats.rooms = static_cast<int64_t>(rooms_.size());
  return stats;
}

}  // namespace

Result<std::unique_ptr<Store>> Store::Open(const std::string& directory, const StoreOptions& options) {
  return StoreImpl::Open(directory, options, {});
}

namespace internal {

Result<std::unique_ptr<Store>> OpenStoreWith(StoreSeams seams, const std::string& directory, const StoreOptions& options) {
  return StoreImpl::Open(directory, options, std::move(seams));
}

Result<std::unique_ptr<Store>> OpenStoreOn(std::shared_ptr<FileSystem> disk, const std::string& directory,
                                           const StoreOptions& options, const internal::FoldPolicy& fold_policy,
                                           const StoreSizes& sizes) {
  StoreSeams seams;
  seams.disk = std::move(disk);
  seams.fold_policy = fold_policy;
  seams.sizes = sizes;
  return StoreImpl::Open(directory, options, std::move(seams));
}

}  // namespace internal

Result<> ValidateRoomName(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  static constexpr std::string_view kZarrNames[] = {"zarr.json"};  // the others begin with a dot
  if (name.empty() || name.size() > 128 || name[0] == '.' || !std::all_of(name.begin(), name.end(), allowed) ||
      std::find(std::begin(kZarrNames), std::end(kZarrNames), name) != std::end(kZarrNames))
    return Error{ErrorCode::kInvalidArgument,
                 "a room's name is 1 to 128 of A-Z a-z 0-9 . _ -, does not begin with a dot and is not zarr.json; "
                 "this is not one: '" + std::string(name.substr(0, 200)) + "'"};
  return {};
}

}  // namespace zn
