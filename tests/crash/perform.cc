#include "crash/perform.h"

#include <algorithm>
#include <set>

#include "pack/pack_store.h"
#include "room/open_store.h"
#include "room/superblock.h"

namespace zn::crash {
namespace {

using Kind = Step::Kind;

/// Packs that are sealed early need the store's salt; before there is a store it is opened with ordinary ones.
Result<std::unique_ptr<PackStore>> SmallPacks(const Workload& workload, const std::string& directory) {
  ZN_ASSIGN_OR_RETURN(const auto bytes, ReadWholeFile(directory + "/superblock", 1 << 20));
  ZN_ASSIGN_OR_RETURN(const Superblock superblock, DecodeSuperblock(bytes));
  PackStoreOptions options;
  options.directory = directory + "/packs";
  options.quarantine = directory + "/quarantine";
  options.salt = superblock.record_salt;
  options.seal_bytes = workload.seal_bytes;
  return OpenPackStore(LocalFileSystem(), options);
}

std::vector<FieldIndex> AllFields(const Snapshot& snapshot) {
  std::vector<FieldIndex> fields(snapshot.fields().size());
  for (size_t i = 0; i < fields.size(); ++i) fields[i] = static_cast<FieldIndex>(i);
  return fields;
}

/// Reads as a user does: rows here and there, so that chunks are promoted to the cache.
Result<> ReadAround(const Room& room) {
  const Snapshot head = room.Head();
  for (int round = 0; round < 3; ++round) {
    for (int64_t position = 0; position < head.frames(); ++position) {
      ZN_ASSIGN_OR_RETURN(const FrameId id, head.IdAt(position));
      for (const FieldIndex field : AllFields(head)) ZN_RETURN_IF_ERROR(head.ReadRow(field, id));
    }
  }
  return {};
}

Result<> BulkAppend(Room& room, const std::vector<model::Content>& contents) {
  BulkAppender::Options options;
  options.layout.frames_per_chunk = 3;
  options.histogram_frames = 4;
  ZN_ASSIGN_OR_RETURN(const auto appender, room.StartBulkAppend(options));
  for (const model::Content& content : contents) ZN_RETURN_IF_ERROR(appender->Append(model::ToBatch({content})));
  ZN_RETURN_IF_ERROR(appender->Finish({}));
  return {};
}

CommitContext ContextOf(const Step& step) {
  CommitContext context;
  context.actor = "crash";
  if (!step.records.empty()) {
    context.also = [&step](RecordTransaction& records, const CommitInfo&) -> Result<> {
      for (const auto& [key, value] : step.records)
        ZN_RETURN_IF_ERROR(value.empty() ? records.Erase(key) : records.Put(key, value));
      return {};
    };
  }
  return context;
}

template <class T>
Result<> Done(Result<T> result) {
  if (!result) return std::move(result).error();
  return {};
}

std::string Unread(const Error& error) { return std::string(kUnread) + error.message; }

std::string FrameDifference(const Snapshot& head, FrameId id, int64_t position, const model::Frame& frame,
                            const std::vector<FieldIndex>& fields) {
  const auto found_at = head.PositionOf(id);
  if (!found_at) return Unread(found_at.error());
  if (*found_at != position) return "its position is not " + std::to_string(position);
  const auto version = head.VersionOf(id);
  if (!version) return Unread(version.error());
  if (*version != frame.version)
    return "is at version " + std::to_string(*version) + " instead of " + std::to_string(frame.version);
  for (const auto& [number, content] : frame.versions) {
    const auto old = head.ReadVersion(id, number, fields);
    if (!old) return "version " + std::to_string(number) + ": " + Unread(old.error());
    if (!(model::FromBatch(*old, 0) == content)) return "version " + std::to_string(number) + " reads back wrong";
  }
  const auto hash = head.HashFrame(id);
  return hash ? "" : Unread(hash.error());
}

std::string RoomDifference(const Room& room, const model::Room& wanted) {
  const auto head = room.HeadOrError();
  if (!head) return Unread(head.error());
  if (head->frames() != static_cast<int64_t>(wanted.order.size()))
    return std::to_string(head->frames()) + " frames instead of " + std::to_string(wanted.order.size());
  const auto ids = head->IdsAt(0, head->frames());
  if (!ids) return Unread(ids.error());
  if (*ids != wanted.order) return "frames in another order";
  const auto fields = AllFields(*head);
  const auto batch = head->Read(*ids, fields);
  if (!batch) return Unread(batch.error());
  for (size_t i = 0; i < ids->size(); ++i) {
    const model::Frame& frame = wanted.frames.at((*ids)[i]);
    const std::string where = "frame " + std::to_string((*ids)[i]) + ": ";
    if (!(model::FromBatch(*batch, i) == frame.now())) return where + "reads back wrong";
    if (auto found = FrameDifference(*head, (*ids)[i], static_cast<int64_t>(i), frame, fields); !found.empty())
      return where + found;
  }
  const auto history = room.History({}, SIZE_MAX);
  return history ? "" : "history: " + Unread(history.error());
}

}  // namespace

Result<std::unique_ptr<Store>> OpenFor(const Workload& workload, const std::string& directory, bool read_only) {
  StoreOptions options;
  options.create = !read_only;
  options.read_only = read_only;
  options.threads = 1;
  options.background_maintenance = false;
  options.cache.max_bytes = 512 << 10;  // so that files come and go
  internal::StoreSeams seams;
  seams.fold_policy = workload.folds;
  seams.sizes.log_file_bytes = workload.log_file_bytes;
  if (!read_only && workload.seal_bytes < PackStoreOptions().seal_bytes && PathExists(directory + "/superblock")) {
    ZN_ASSIGN_OR_RETURN(seams.packs, SmallPacks(workload, directory));
  }
  return internal::OpenStoreWith(std::move(seams), directory, options);
}

Result<> Perform(Store& store, const Step& step, bool early) {
  CommitContext context = ContextOf(step);
  if (early) context.pending = std::make_shared<PendingCommit>();
  switch (step.kind) {
    case Kind::kCreate:
      return Done(store.CreateRoom(step.room, {}, context));
    case Kind::kFork:
      return Done(store.ForkRoom(step.room, {}, step.other, context));
    case Kind::kDrop:
      return store.DeleteRoom(step.room, context);
    case Kind::kRecords:
      return store.Update([&](RecordTransaction& records) { return ContextOf(step).also(records, {}); });
    case Kind::kReopen:
      return {};
    default:
      break;
  }
  ZN_ASSIGN_OR_RETURN(const auto room, store.OpenRoom(step.room));
  switch (step.kind) {
    case Kind::kAppend:
      return Done(room->Append(model::ToBatch(step.contents), context));
    case Kind::kBulk:
      return BulkAppend(*room, step.contents);
    case Kind::kInsert:
      return Done(room->Insert(step.begin, model::ToBatch(step.contents), context));
    case Kind::kDelete:
      return Done(room->Delete(step.ids, context));
    case Kind::kMove:
      return Done(room->Move(step.begin, step.count, step.to, context));
    case Kind::kReplace:
      return Done(room->Replace(step.ids[0], model::ToBatch(step.contents), context));
    case Kind::kEdit:
      return Done(room->Edit(step.ids[0], model::ToBatch(step.contents), {}, context));
    case Kind::kUndo:
      return Done(room->Undo(step.ids[0], context));
    case Kind::kRedo:
      return Done(room->Redo(step.ids[0], context));
    case Kind::kModel: {
      RoomModel described;
      described.description = step.other;
      return room->SetModel(described, context);
    }
    case Kind::kCompact:
      return Done(room->Compact(100));
    case Kind::kRead:
      return ReadAround(*room);
    default:
      return {};
  }
}

std::string Difference(Store& store, const std::string& prefix, const LaneState& state) {
  std::set<std::string> found;
  for (const RoomInfo& info : store.ListRooms()) {
    if (info.name.rfind(prefix, 0) != 0) continue;
    found.insert(info.name);
    const auto described = state.descriptions.find(info.name);
    if (described == state.descriptions.end()) return "room " + info.name + " should not be there";
    if (info.model.description != described->second) return "room " + info.name + " has another description";
  }
  for (const auto& [name, wanted] : state.rooms) {
    if (!found.contains(name)) return "room " + name + " is missing";
    const auto room = store.OpenRoom(name);
    if (!room) return Unread(room.error());
    if (auto different = RoomDifference(**room, wanted); !different.empty()) return "room " + name + ": " + different;
  }
  const auto records = store.records().ScanPrefix(prefix, SIZE_MAX);
  if (!records) return Unread(records.error());
  std::map<std::string, std::string> values;
  for (const Record& record : *records) values[record.key] = record.value;
  return values == state.records ? "" : "control records differ";
}

}  // namespace zn::crash
