#include "room/records.h"

#include <cstring>

#include "base/bytes.h"

namespace zn {
namespace {

constexpr uint8_t kPayloadVersion = 1;
constexpr uint8_t kCheckpointVersion = 2;
constexpr uint8_t kRetainingVersion = 2;  // of refs and room models that do not keep everything

Error Malformed(const char* what) {
  return {ErrorCode::kCorrupt, std::string("malformed ") + what + " record; run zn-fsck"};
}

void PutRef(ByteWriter& out, const RecordRef& ref) {
  out.PutBytes(ref.name.bytes);
  out.Put(ref.offset);
  out.Put(ref.file);
  out.Put(ref.length);
}

RecordRef GetRef(ByteReader& in) {
  RecordRef ref;
  const auto name = in.GetBytes(32);
  if (name.size() == 32) std::memcpy(ref.name.bytes.data(), name.data(), 32);
  ref.offset = in.Get<uint64_t>();
  ref.file = in.Get<uint32_t>();
  ref.length = in.Get<uint32_t>();
  return ref;
}

// A reference that is mostly absent costs one byte then.
void PutOptionalRef(ByteWriter& out, const RecordRef& ref) {
  out.Put<uint8_t>(ref ? 1 : 0);
  if (ref) PutRef(out, ref);
}
RecordRef GetOptionalRef(ByteReader& in) {
  return in.Get<uint8_t>() != 0 ? GetRef(in) : RecordRef{};
}

void PutShape(ByteWriter& out, const Shape& shape) {
  out.Put(static_cast<uint8_t>(shape.rank()));
  for (int64_t extent : shape) out.Put(extent);
}
bool GetShape(ByteReader& in, Shape& shape) {
  const auto rank = in.Get<uint8_t>();
  if (rank > Shape::kMaxRank) return false;
  for (size_t i = 0; i < rank; ++i) {
    const auto extent = in.Get<int64_t>();
    if (extent < 0) return false;
    shape.Append(extent);
  }
  return shape.Elements() >= 0;
}

void PutEntry(ByteWriter& out, const FieldEntry& entry) {
  out.Put(entry.geometry);
  if (!entry.present()) return;
  out.Put(entry.blocks);
  out.Put(entry.chunk_rows);
  out.Put(entry.row);
  out.Put(entry.chunk_atoms);
  out.Put(entry.used_atoms);
  for (size_t i = 0; i < entry.blocks; ++i) PutRef(out, entry.refs[i]);
}
FieldEntry GetEntry(ByteReader& in) {
  const auto geometry = in.Get<uint16_t>();
  if (geometry == FieldEntry::kAbsent) return FieldEntry::Absent();
  const auto blocks = in.Get<uint16_t>();
  const auto chunk_rows = in.Get<uint32_t>();
  const auto row = in.Get<uint32_t>();
  const auto chunk_atoms = in.Get<uint32_t>();
  const auto used_atoms = in.Get<uint32_t>();
  std::vector<RecordRef> refs;
  if (in.remaining() / kEncodedRefSize >= blocks)
    for (size_t i = 0; i < blocks; ++i) refs.push_back(GetRef(in));
  else
    in.GetBytes(in.remaining() + 1);  // fails the reader
  return FieldEntry::Make(geometry, chunk_rows, row, chunk_atoms, used_atoms, std::move(refs));
}

void PutDescriptor(ByteWriter& out, const FieldDescriptor& field) {
  out.PutString(field.name);
  out.Put(field.kind);
  out.Put(field.dtype);
  PutShape(out, field.inner);
  out.PutString(field.attributes);
  out.Put(static_cast<uint16_t>(field.geometries.size()));
  for (const Geometry& g : field.geometries) {
    out.Put(g.dtype);
    out.Put(g.kind);
    PutShape(out, g.inner);
    out.Put(g.frames_per_chunk);
    out.Put(g.atoms_per_chunk);
    out.PutString(g.codecs);
  }
}

bool IsValidKind(uint8_t kind) { return kind >= 1 && kind <= 3; }

bool GetDescriptor(ByteReader& in, FieldDescriptor& field) {
  field.name = in.GetString();
  const auto kind = in.Get<uint8_t>();
  const auto dtype = in.Get<uint8_t>();
  if (!IsValidKind(kind) || !IsValidDType(dtype) || !GetShape(in, field.inner)) return false;
  field.kind = static_cast<FieldKind>(kind);
  field.dtype = static_cast<DType>(dtype);
  field.attributes = in.GetString();
  const auto geometries = in.Get<uint16_t>();
  for (size_t i = 0; i < geometries && in.ok(); ++i) {
    Geometry g;
    const auto g_dtype = in.Get<uint8_t>();
    const auto g_kind = in.Get<uint8_t>();
    if (!IsValidKind(g_kind) || !IsValidDType(g_dtype) || !GetShape(in, g.inner)) return false;
    g.dtype = static_cast<DType>(g_dtype);
    g.kind = static_cast<FieldKind>(g_kind);
    g.frames_per_chunk = in.Get<int64_t>();
    g.atoms_per_chunk = in.Get<int64_t>();
    g.codecs = in.GetString();
    if (g.frames_per_chunk < 1 || g.atoms_per_chunk < 0) return false;
    field.geometries.push_back(std::move(g));
  }
  return in.ok();
}

void PutTree(ByteWriter& out, const TreeRef& tree) {
  out.Put(tree.span);
  out.Put(tree.level);
  if (tree.span > 0) PutRef(out, tree.root);
}
TreeRef GetTree(ByteReader& in) {
  TreeRef tree;
  tree.span = in.Get<uint64_t>();
  tree.level = in.Get<uint8_t>();
  if (tree.span > 0) tree.root = GetRef(in);
  return tree;
}

enum class OpTag : uint8_t { kOrder = 1, kField = 2, kVersion = 3, kDefine = 4, kNextId = 5 };

struct OpWriter {
  ByteWriter& out;
  void operator()(const OrderSpliceOp& op) const {
    out.Put(OpTag::kOrder);
    out.Put(op.begin);
    out.Put(op.removed);
    out.Put(static_cast<uint32_t>(op.runs.size()));
    for (const auto& run : op.runs) {
      out.Put(run.entry.first);
      out.Put(run.span);
    }
  }
  void operator()(const FieldSpliceOp& op) const {
    out.Put(OpTag::kField);
    out.Put(op.field);
    out.Put(op.first);
    out.Put(op.span);
    PutEntry(out, op.entry);
  }
  void operator()(const VersionSetOp& op) const {
    out.Put(OpTag::kVersion);
    out.Put(op.id);
    out.Put(op.version);
    PutRef(out, op.record);
  }
  void operator()(const FieldDefineOp& op) const {
    out.Put(OpTag::kDefine);
    out.Put(op.field);
    PutDescriptor(out, op.descriptor);
    out.Put(op.lengths);
    out.Put<uint8_t>(op.internal);
  }
  void operator()(const NextIdOp& op) const {
    out.Put(OpTag::kNextId);
    out.Put(op.next_id);
  }
};

bool GetOp(ByteReader& in, std::vector<Op>& ops) {
  switch (in.Get<OpTag>()) {
    case OpTag::kOrder: {
      OrderSpliceOp op;
      op.begin = in.Get<uint64_t>();
      op.removed = in.Get<uint64_t>();
      const auto runs = in.Get<uint32_t>();
      if (in.remaining() / 16 < runs) return false;
      for (size_t i = 0; i < runs; ++i) {
        OrderTree::Run run;
        run.entry.first = in.Get<FrameId>();
        run.span = in.Get<uint64_t>();
        if (run.span == 0) return false;
        op.runs.push_back(run);
      }
      ops.emplace_back(std::move(op));
      return in.ok();
    }
    case OpTag::kField: {
      FieldSpliceOp op;
      op.field = in.Get<uint32_t>();
      op.first = in.Get<FrameId>();
      op.span = in.Get<uint64_t>();
      op.entry = GetEntry(in);
      ops.emplace_back(std::move(op));
      return in.ok();
    }
    case OpTag::kVersion: {
      VersionSetOp op;
      op.id = in.Get<FrameId>();
      op.version = in.Get<uint32_t>();
      op.record = GetRef(in);
      ops.emplace_back(op);
      return in.ok();
    }
    case OpTag::kDefine: {
      FieldDefineOp op;
      op.field = in.Get<uint32_t>();
      if (!GetDescriptor(in, op.descriptor)) return false;
      op.lengths = in.Get<int32_t>();
      op.internal = in.Get<uint8_t>() != 0;
      ops.emplace_back(std::move(op));
      return in.ok();
    }
    case OpTag::kNextId:
      ops.emplace_back(NextIdOp{in.Get<FrameId>()});
      return in.ok();
  }
  return false;
}

bool Begin(ByteReader& in) { return in.Get<uint8_t>() == kPayloadVersion; }

}  // namespace

uint64_t SkipGeneration(uint64_t generation) {
  // As Bitcoin's block index (chain.cpp, GetSkipHeight): odd generations skip further than their even neighbours.
  const auto clear_lowest = [](uint64_t n) { return n & (n - 1); };
  if (generation < 2) return 0;
  return (generation & 1) ? clear_lowest(clear_lowest(generation - 1)) + 1 : clear_lowest(generation);
}

CommitId CommitIdOf(uint64_t generation, const Sha256& name) {
  uint64_t digest = 0;
  for (size_t i = 0; i < 8; ++i) digest = digest << 8 | static_cast<uint8_t>(name.bytes[i]);
  return {generation, digest};
}

std::vector<std::byte> EncodeRoot(const RootRecord& root) {
  ByteWriter out;
  out.Put(kPayloadVersion);
  out.Put(root.next_id);
  out.Put(root.first_shifted);
  PutTree(out, root.order);
  PutTree(out, root.versions);
  out.Put(static_cast<uint32_t>(root.fields.size()));
  for (const auto& field : root.fields) {
    PutDescriptor(out, field.descriptor);
    out.Put(field.lengths);
    out.Put<uint8_t>(field.internal);
    PutTree(out, field.rows);
  }
  return out.Take();
}

Result<RootRecord> DecodeRoot(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  RootRecord root;
  if (!Begin(in)) return Malformed("root");
  root.next_id = in.Get<FrameId>();
  root.first_shifted = in.Get<int64_t>();
  root.order = GetTree(in);
  root.versions = GetTree(in);
  const auto fields = in.Get<uint32_t>();
  for (size_t i = 0; i < fields && in.ok(); ++i) {
    RootRecord::Field field;
    if (!GetDescriptor(in, field.descriptor)) return Malformed("root");
    field.lengths = in.Get<int32_t>();
    field.internal = in.Get<uint8_t>() != 0;
    field.rows = GetTree(in);
    if (field.lengths >= static_cast<int64_t>(fields)) return Malformed("root");
    root.fields.push_back(std::move(field));
  }
  if (!in.ok() || in.remaining() != 0 || root.next_id < 0) return Malformed("root");
  return root;
}

std::vector<std::byte> EncodeCommit(const CommitRecord& commit) {
  ByteWriter out;
  out.Put(kPayloadVersion);
  out.Put(commit.operation);
  out.Put(commit.generation);
  out.Put(commit.time_ns);
  out.Put(commit.frames);
  PutOptionalRef(out, commit.parent);
  PutOptionalRef(out, commit.skip);
  PutOptionalRef(out, commit.root);
  out.Put(commit.ops_since_root);
  out.PutString(commit.actor);
  out.PutString(commit.message);
  out.Put(static_cast<uint32_t>(commit.ops.size()));
  for (const Op& op : commit.ops) std::visit(OpWriter{out}, op);
  return out.Take();
}

namespace {
Result<CommitRecord> GetCommitHeader(ByteReader& in) {
  CommitRecord commit;
  if (!Begin(in)) return Malformed("commit");
  commit.operation = in.Get<Operation>();
  commit.generation = in.Get<uint64_t>();
  commit.time_ns = in.Get<int64_t>();
  commit.frames = in.Get<int64_t>();
  commit.parent = GetOptionalRef(in);
  commit.skip = GetOptionalRef(in);
  commit.root = GetOptionalRef(in);
  commit.ops_since_root = in.Get<uint32_t>();
  commit.actor = in.GetString();
  commit.message = in.GetString();
  if (!in.ok() || commit.generation == 0) return Malformed("commit");
  return commit;
}
}  // namespace

Result<CommitRecord> DecodeCommitHeader(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  return GetCommitHeader(in);
}

Result<CommitRecord> DecodeCommit(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  ZN_ASSIGN_OR_RETURN(CommitRecord commit, GetCommitHeader(in));
  const auto ops = in.Get<uint32_t>();
  for (size_t i = 0; i < ops; ++i)
    if (!GetOp(in, commit.ops)) return Malformed("commit");
  if (!in.ok() || in.remaining() != 0) return Malformed("commit");
  return commit;
}

std::vector<std::byte> EncodeVersion(const VersionRecord& version) {
  ByteWriter out;
  out.Put(kPayloadVersion);
  out.Put(version.operation);
  out.Put(version.id);
  out.Put(version.version);
  out.Put(version.content);
  out.Put(version.undo);
  out.Put(version.redo);
  out.Put(version.time_ns);
  out.PutString(version.actor);
  PutOptionalRef(out, version.previous);
  out.Put(static_cast<uint32_t>(version.old_rows.size()));
  for (const auto& old : version.old_rows) {
    out.Put(old.field);
    PutEntry(out, old.row);
  }
  return out.Take();
}

Result<VersionRecord> DecodeVersion(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  VersionRecord version;
  if (!Begin(in)) return Malformed("version");
  version.operation = in.Get<Operation>();
  version.id = in.Get<FrameId>();
  version.version = in.Get<uint32_t>();
  version.content = in.Get<uint32_t>();
  version.undo = in.Get<uint32_t>();
  version.redo = in.Get<uint32_t>();
  version.time_ns = in.Get<int64_t>();
  version.actor = in.GetString();
  version.previous = GetOptionalRef(in);
  const auto rows = in.Get<uint32_t>();
  for (size_t i = 0; i < rows && in.ok(); ++i) {
    VersionRecord::OldRow old;
    old.field = in.Get<uint32_t>();
    old.row = GetEntry(in);
    version.old_rows.push_back(std::move(old));
  }
  if (!in.ok() || in.remaining() != 0 || version.version < 2) return Malformed("version");
  return version;
}

std::vector<std::byte> EncodeRef(const RefRecord& ref) {
  ByteWriter out;
  out.Put(ref.oldest > 1 ? kRetainingVersion : kPayloadVersion);
  out.Put<uint8_t>(ref.deleted);
  out.Put(ref.room);
  out.PutString(ref.name);
  out.PutString(ref.base);
  PutOptionalRef(out, ref.commit);
  PutOptionalRef(out, ref.model);
  if (ref.oldest > 1) out.Put(ref.oldest);
  return out.Take();
}

namespace {
bool GetRefRecord(ByteReader& in, RefRecord& ref) {
  const auto version = in.Get<uint8_t>();
  if (version != kPayloadVersion && version != kRetainingVersion) return false;
  ref.deleted = in.Get<uint8_t>() != 0;
  ref.room = in.Get<uint64_t>();
  ref.name = in.GetString();
  ref.base = in.GetString();
  ref.commit = GetOptionalRef(in);
  ref.model = GetOptionalRef(in);
  if (version == kRetainingVersion) ref.oldest = in.Get<uint64_t>();
  return in.ok() && ref.oldest > 0;
}
}  // namespace

Result<RefRecord> DecodeRef(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  RefRecord ref;
  if (!GetRefRecord(in, ref) || in.remaining() != 0) return Malformed("ref");
  return ref;
}

std::vector<std::byte> EncodeModel(const RoomModel& model) {
  const bool retaining = model.retention.has_value();
  ByteWriter out;
  out.Put(retaining ? kRetainingVersion : kPayloadVersion);
  out.Put(static_cast<uint8_t>((model.locked ? 1 : 0) | (model.hidden ? 2 : 0)));
  out.PutString(model.description);
  out.PutString(model.metadata);
  if (retaining) {
    out.Put(model.retention->commits);
    out.Put(model.retention->nanoseconds);
  }
  return out.Take();
}

Result<RoomModel> DecodeModel(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  RoomModel model;
  const auto version = in.Get<uint8_t>();
  if (version != kPayloadVersion && version != kRetainingVersion) return Malformed("room model");
  const auto flags = in.Get<uint8_t>();
  model.locked = (flags & 1) != 0;
  model.hidden = (flags & 2) != 0;
  model.description = in.GetString();
  model.metadata = in.GetString();
  if (version == kRetainingVersion) {
    model.retention.emplace();
    model.retention->commits = in.Get<int64_t>();
    model.retention->nanoseconds = in.Get<int64_t>();
    if (model.retention->commits < 0 || model.retention->nanoseconds < 0) return Malformed("room model");
  }
  if (!in.ok() || in.remaining() != 0) return Malformed("room model");
  return model;
}

std::vector<std::byte> EncodeCheckpoint(const CheckpointRecord& checkpoint) {
  ByteWriter out;
  out.Put(kCheckpointVersion);
  out.Put(checkpoint.epoch);
  out.Put(checkpoint.next_room);
  out.Put(static_cast<uint32_t>(checkpoint.rooms.size()));
  for (const RefRecord& ref : checkpoint.rooms) out.PutBytes(EncodeRef(ref));
  PutRecordsAt(out, checkpoint.records);
  return out.Take();
}

Result<CheckpointRecord> DecodeCheckpoint(std::span<const std::byte> bytes) {
  CheckpointRecord checkpoint;
  if (bytes.empty()) return checkpoint;  // a log begun before there was anything to say
  ByteReader in(bytes);
  const auto version = in.Get<uint8_t>();
  if (version != kPayloadVersion && version != kCheckpointVersion) return Malformed("checkpoint");
  checkpoint.epoch = in.Get<uint64_t>();
  checkpoint.next_room = in.Get<uint64_t>();
  const auto rooms = in.Get<uint32_t>();
  for (size_t i = 0; i < rooms && in.ok(); ++i) {
    RefRecord ref;
    if (!GetRefRecord(in, ref)) return Malformed("checkpoint");
    checkpoint.rooms.push_back(std::move(ref));
  }
  if (version == kCheckpointVersion) {  // 1: written before there were control records
    ZN_ASSIGN_OR_RETURN(checkpoint.records, GetRecordsAt(in));
  }
  if (!in.ok() || in.remaining() != 0) return Malformed("checkpoint");
  return checkpoint;
}

}  // namespace zn
