#include "api/write_frames.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "api/decode_delta.h"
#include "api/frame_batches.h"
#include "api/write_request.h"

namespace zn::server {
namespace {

// How often a PATCH of single atoms that takes any version is done again when others write the frame.
constexpr int kReadAgain = 64;

// How many rows a frame has of each atom's, in the snapshot that the write is based on.
Answer<int32_t> AtomsOf(const Write& write, FrameId id) {
  ZN_ASSIGN_OR_RETURN(const int32_t n, write.head.AtomCount(id));
  return n;
}

// The field's row with the rows of some atoms replaced, as a column of one frame.
Answer<Column> ReplaceAtoms(const Write& write, const Target& target, const DeltaField& field, const std::string& name,
                            int32_t n_atoms) {
  const auto index = write.head.FindField(name);
  std::optional<Row> row;
  if (index) {
    ZN_ASSIGN_OR_RETURN(row, write.head.ReadRow(*index, target.id));
  }
  if (!index || !row)
    return BadRequest("field '" + name + "': the frame does not have it, so single atoms of it cannot be set; give the whole field");
  const FieldDescriptor& known = write.head.fields()[static_cast<size_t>(*index)];
  if (known.kind != FieldKind::kAtom || known.dtype == DType::kJson)
    return BadRequest("field '" + name + "' is not per atom");
  std::unordered_set<int64_t> seen;
  for (int64_t atom : field.atoms) {
    if (atom < 0 || atom >= n_atoms)
      return BadRequest("field '" + name + "': there is no atom " + std::to_string(atom) + " in a frame of " + std::to_string(n_atoms));
    if (!seen.insert(atom).second) return BadRequest("field '" + name + "': atom " + std::to_string(atom) + " is named twice");
  }
  // The values alone are a frame of as many atoms as are named.
  std::vector<BodyFrame> values(1);
  values[0].emplace_back(name, field.value);
  const int32_t count = static_cast<int32_t>(field.atoms.size());
  FitOptions fit;
  fit.fields = write.head.fields();
  fit.cast = write.cast;
  fit.n_atoms = {&count, 1};
  ZN_ASSIGN_OR_RETURN(FrameBatch fitted, FitFrames(std::move(values), fit));
  if (fitted.columns.empty()) return BadRequest("field '" + name + "': values is null");
  Column column = std::move(fitted.columns[0]);
  const size_t bytes = n_atoms > 0 ? row->bytes.size() / static_cast<size_t>(n_atoms) : 0;
  if (column.data.size() != bytes * field.atoms.size())
    return Problem(422, "type-mismatch", "field '" + name + "': values do not have the shape of an atom's row");
  std::vector<std::byte> rows(row->bytes.bytes().begin(), row->bytes.bytes().end());
  for (size_t i = 0; i < field.atoms.size(); ++i)
    std::memcpy(rows.data() + static_cast<size_t>(field.atoms[i]) * bytes, column.data.data() + i * bytes, bytes);
  column.data = Buffer::Own(std::move(rows));
  return column;
}

// Of a delta: the fields to set, as a batch of one, and those to remove.
struct Edit {
  FrameBatch changes;
  std::vector<std::string> remove;
};

Answer<Edit> MakeEdit(const Write& write, const Target& target, std::vector<DeltaField> fields) {
  Edit edit;
  ZN_ASSIGN_OR_RETURN(const int32_t n_atoms, AtomsOf(write, target.id));
  std::vector<BodyFrame> set(1);
  std::unordered_set<std::string> named;
  std::vector<Column> columns;
  for (DeltaField& field : fields) {
    ZN_ASSIGN_OR_RETURN(std::string name, CanonicalName(field.name, write.head.fields()));
    if (!named.insert(name).second) return BadRequest("delta: field '" + name + "' is given twice");
    if (name == "n_atoms") return BadRequest("delta: the number of atoms is changed by PUT, which replaces the frame");
    switch (field.kind) {
      case DeltaField::Kind::kRemove:
        if (!write.head.FindField(name)) return NotFound("delta: there is no field '" + field.name + "' to remove");
        edit.remove.push_back(std::move(name));
        break;
      case DeltaField::Kind::kSet:
        set[0].emplace_back(std::move(name), std::move(field.value));
        break;
      case DeltaField::Kind::kAtoms: {
        ZN_ASSIGN_OR_RETURN(Column column, ReplaceAtoms(write, target, field, name, n_atoms));
        columns.push_back(std::move(column));
        break;
      }
    }
  }
  FitOptions fit;
  fit.fields = write.head.fields();
  fit.cast = write.cast;
  fit.n_atoms = {&n_atoms, 1};
  ZN_ASSIGN_OR_RETURN(edit.changes, FitFrames(std::move(set), fit));
  for (Column& column : columns) edit.changes.columns.push_back(std::move(column));
  return edit;
}

KeptReply FramesEdited(const CommitInfo& info) {
  std::string ids, versions;
  for (size_t i = 0; i < info.ids.size(); ++i) {
    ids += (i ? "," : "") + std::to_string(info.ids[i]);
    versions += (i ? "," : "") + std::to_string(info.versions[i]);
  }
  KeptReply reply;
  reply.json = "{\"ids\":[" + ids + "],\"versions\":[" + versions + "],\"changed\":" + (info.changed ? "true" : "false") +
               ",\"commit\":\"" + info.commit.ToString() + "\"}";
  return reply;
}

// The body as one frame that fits the room's fields.
Answer<FrameBatch> ReadWholeFrame(const Write& write) {
  ZN_ASSIGN_OR_RETURN(const BodyFormat format, WriteFormat(*write.call));
  ZN_ASSIGN_OR_RETURN(const NativeBody body, ReadNativeBody(*write.call, format));
  if (format == BodyFormat::kColumns) {
    ZN_ASSIGN_OR_RETURN(auto batches, OpenFrameBatches(write, format, body));
    ZN_ASSIGN_OR_RETURN(auto batch, batches->Next());
    if (!batch || batch->frames() != 1) return BadRequest("the body does not hold one frame");
    return std::move(*batch);
  }
  std::vector<BodyFrame> frames(1);
  ZN_ASSIGN_OR_RETURN(frames[0], ReadOneFrame(write, format, body));
  FitOptions fit;
  fit.fields = write.head.fields();
  fit.cast = write.cast;
  ZN_ASSIGN_OR_RETURN(FrameBatch frame, FitFrames(std::move(frames), fit));
  return frame;
}

// A new frame at `position`, the end of the room, or nowhere.
Answer<Reply> AppendFrameAt(const Call& call, int64_t position) {
  // Other writes move the head on, and the end stays where it is.
  for (int attempt = 1;; ++attempt) {
    ZN_ASSIGN_OR_RETURN(Write write, OpenWrite(call, {"data", "keys"}, true));
    ZN_RETURN_IF_REPLAYED(write);
    if (write.head.frames() != position) return StaleRoom(write);
    ZN_ASSIGN_OR_RETURN(const FrameBatch frame, ReadWholeFrame(write));
    ZN_RETURN_IF_ERROR(GuardWrite(write, {.meta = true}));
    write.ReplyWith(201, "append", [&write, position](const CommitInfo& info) {
      return FrameWritten(write, {.position = position, .id = info.ids.front()})(info);
    });
    Placement end;
    end.expected_head = write.head.commit();
    auto info = write.room->Add(frame, end, write.context);
    if (info) return Acknowledge(write, *info);
    if (auto refused = RefusedByLock(write, info.error())) return std::move(*refused);
    if (info.error().code != ErrorCode::kConflict) return std::move(info).error();
    if (attempt == kReadAgain) return StaleRoom(write);
  }
}

}  // namespace

Answer<Reply> PutFrame(const Call& call) {
  ZN_ASSIGN_OR_RETURN(Write write, OpenWrite(call, {"base_version", "frame_id", "data", "keys"}));
  ZN_RETURN_IF_REPLAYED(write);
  ZN_ASSIGN_OR_RETURN(const Target target, FindTarget(write, call.frame));
  ZN_ASSIGN_OR_RETURN(const FrameBatch frame, ReadWholeFrame(write));
  ZN_RETURN_IF_ERROR(GuardWrite(write, {.frames = {&target.id, 1}}));
  ZN_ASSIGN_OR_RETURN(const Base base, FindBase(write, target, {}));
  write.ReplyWith(200, "replace", FrameWritten(write, target));
  auto info = write.room->Replace(target.id, frame, write.context, base.version);
  if (!info) return FrameError(write, info.error(), target.id, base.if_match);
  return Acknowledge(write, *info);
}

Answer<Reply> UploadFrame(const Call& call) {
  constexpr const char* kRoom = "default";
  if (!call.caller.May(Scope::kWrite, kRoom))
    return Problem(403, "forbidden", "this needs the scope 'write' in room 'default'");
  Call frame = call;
  frame.room = kRoom;
  frame.position = call.service.events->position(kRoom);
  // Clients of this name upload a trajectory frame by frame: the one behind the last is new.
  const auto room = call.service.store->OpenRoom(kRoom);
  int64_t count = 0;
  if (room) {
    ZN_ASSIGN_OR_RETURN(const Snapshot head, (*room)->HeadOrError());
    count = head.frames();
  }
  if (call.frame == std::to_string(count)) return AppendFrameAt(frame, count);
  return PutFrame(frame);
}

Answer<Reply> PatchFrame(const Call& call) {
  ZN_ASSIGN_OR_RETURN(Write write, OpenWrite(call, {"base_version", "frame_id", "data", "keys"}));
  ZN_RETURN_IF_REPLAYED(write);
  ZN_ASSIGN_OR_RETURN(Target target, FindTarget(write, call.frame));
  ZN_ASSIGN_OR_RETURN(const BodyFormat format, WriteFormat(call));
  if (format == BodyFormat::kColumns)
    return Problem(415, "unsupported-media-type", "PATCH of one frame takes {delta}, or one NPY field with data=");
  ZN_ASSIGN_OR_RETURN(const NativeBody body, ReadNativeBody(call, format));
  DeltaBody delta;
  if (format == BodyFormat::kNpy) {
    ZN_ASSIGN_OR_RETURN(BodyFrame frame, ReadOneFrame(write, format, body));
    DeltaField field;
    field.name = std::move(frame[0].first);
    field.value = std::move(frame[0].second);
    delta.fields.push_back(std::move(field));
  } else {
    ZN_ASSIGN_OR_RETURN(delta, ReadDelta(body.bytes, body.options));
  }
  // Rows of single atoms are put into the frame as it was read, so they may only be written onto that version.
  const bool reads = std::any_of(delta.fields.begin(), delta.fields.end(),
                                 [](const DeltaField& field) { return field.kind == DeltaField::Kind::kAtoms; });
  for (int attempt = 1;; ++attempt) {
    ZN_ASSIGN_OR_RETURN(const Edit edit, MakeEdit(write, target, delta.fields));
    ZN_RETURN_IF_ERROR(GuardWrite(write, {.frames = {&target.id, 1}}));
    ZN_ASSIGN_OR_RETURN(Base base, FindBase(write, target, {delta.base_version, delta.frame_id}));
    const bool any_version = !base.version.version;  // If-Match: *
    if (any_version && reads) base.version.version = target.version;
    write.ReplyWith(200, "edit", FrameWritten(write, target));
    auto info = write.room->Edit(target.id, edit.changes, edit.remove, write.context, base.version);
    if (info) return Acknowledge(write, *info);
    if (info.error().code != ErrorCode::kConflict || !any_version || !reads || attempt == kReadAgain)
      return FrameError(write, info.error(), target.id, base.if_match);
    // Somebody was faster, which such a client does not care about: the atoms go into what is there now.
    ZN_ASSIGN_OR_RETURN(write.head, write.room->HeadOrError());
    ZN_ASSIGN_OR_RETURN(target, FindTarget(write, "id:" + std::to_string(target.id)));
  }
}

Answer<Reply> PatchFrames(const Call& call) {
  ZN_ASSIGN_OR_RETURN(Write write, OpenWrite(call, {}));
  ZN_RETURN_IF_REPLAYED(write);
  ZN_ASSIGN_OR_RETURN(const BodyFormat format, WriteFormat(call));
  if (format != BodyFormat::kColumns)
    return Problem(415, "unsupported-media-type",
                   "PATCH of many frames takes application/vnd.zn.columns+msgpack with ids and versions");
  const Buffer body = BodyOf(call);
  msgpack::Reader reader({reinterpret_cast<const char*>(body.data()), body.size()});
  FitOptions fit;
  fit.fields = write.head.fields();
  fit.cast = write.cast;
  fit.counts_of = [&write](std::span<const int64_t> ids) -> Result<std::vector<int32_t>> {
    std::vector<int32_t> counts;
    for (int64_t id : ids) {
      ZN_RETURN_IF_ERROR(write.head.PositionOf(id));  // kNotFound names it
      ZN_ASSIGN_OR_RETURN(const int32_t n, write.head.AtomCount(id));
      counts.push_back(n);
    }
    return counts;
  };
  ZN_ASSIGN_OR_RETURN(ColumnsBody columns, ReadColumns(reader, body, fit));
  if (!reader.done()) return BadRequest("the body goes on behind its end");
  if (!columns.ids) return BadRequest("the body has no ids: they say which frames are edited");
  if (columns.has_indices) return BadRequest("the frames are named by ids: leave indices out");
  if (std::unordered_set<int64_t>(columns.ids->begin(), columns.ids->end()).size() != columns.ids->size())
    return BadRequest("ids: a frame is named twice");
  ZN_RETURN_IF_ERROR(GuardWrite(write, {.frames = *columns.ids}));
  if (!columns.versions)
    return Problem(428, "precondition-required", "the body has no versions: they say what each edit is based on");
  if (columns.versions->size() != columns.ids->size()) return BadRequest("ids and versions are of different lengths");
  std::vector<BaseVersion> bases;
  for (int64_t version : *columns.versions) {
    if (version < 1 || version > UINT32_MAX) return BadRequest("versions: " + std::to_string(version) + " is not a version");
    bases.push_back({static_cast<uint32_t>(version)});
  }
  write.ReplyWith(200, "edit", FramesEdited);
  auto info = write.room->EditMany(*columns.ids, columns.batch, bases, write.context);
  if (!info) {
    if (auto refused = RefusedByLock(write, info.error())) return std::move(*refused);
    if (info.error().code != ErrorCode::kConflict) return std::move(info).error();
    Problem problem(409, "conflict", "frames were changed since the versions that this write is based on");
    ZN_ASSIGN_OR_RETURN(const Snapshot head, write.room->HeadOrError());
    std::string latest = "[";
    size_t listed = 0, all = 0;
    for (size_t i = 0; i < bases.size(); ++i) {
      ZN_ASSIGN_OR_RETURN(const uint32_t version, head.VersionOf((*columns.ids)[i]));
      if (version == *bases[i].version) continue;
      ++all;
      if (listed == 100) continue;
      ZN_ASSIGN_OR_RETURN(const std::string frame, FrameJson(call.service, head, (*columns.ids)[i]));
      latest += (listed++ ? "," : "") + frame;
    }
    problem.extra.emplace_back("latest", latest + "]");
    problem.headers = PlaceHeaders(call.position, head);
    return std::move(problem).With("mismatches", static_cast<int64_t>(all));
  }
  return Acknowledge(write, *info);
}

}  // namespace zn::server
