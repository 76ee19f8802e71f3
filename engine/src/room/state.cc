#include "room/state.h"

#include <algorithm>

namespace zn::internal {
namespace {

Error BadOp(const char* what) {
  return {ErrorCode::kCorrupt, std::string("an operation of the log does not fit its room (") + what +
                                   "); run zn-fsck"};
}

Result<std::shared_ptr<const FieldInfo>> MakeInfo(PipelineCache& pipelines, FieldDescriptor descriptor,
                                                  int32_t lengths, bool internal) {
  auto info = std::make_shared<FieldInfo>();
  for (const Geometry& g : descriptor.geometries) {
    ZN_ASSIGN_OR_RETURN(auto pipeline, pipelines.Get(g.codecs, g.dtype));
    info->pipelines.push_back(std::move(pipeline));
  }
  info->descriptor = std::move(descriptor);
  info->lengths = lengths;
  info->internal = internal;
  return std::shared_ptr<const FieldInfo>(std::move(info));
}

std::shared_ptr<const FieldTable> MakeTable(std::vector<std::shared_ptr<const FieldInfo>> all) {
  auto table = std::make_shared<FieldTable>();
  table->all = std::move(all);
  for (uint32_t i = 0; i < table->all.size(); ++i) {
    const FieldInfo& info = *table->all[i];
    table->by_name.emplace(info.descriptor.name, i);
    if (info.internal) continue;
    table->listed.push_back(info.descriptor);
    table->listed_to_all.push_back(i);
  }
  return table;
}

Result<> ApplyDefine(PipelineCache& pipelines, RoomState& state, const FieldDefineOp& op) {
  auto all = state.table->all;
  if (op.field > all.size()) return BadOp("field index");
  ZN_ASSIGN_OR_RETURN(auto info, MakeInfo(pipelines, op.descriptor, op.lengths, op.internal));
  if (op.field == all.size()) {
    all.push_back(std::move(info));
    state.rows.emplace_back();
  } else {
    all[op.field] = std::move(info);
  }
  state.table = MakeTable(std::move(all));
  return {};
}

struct Applier {
  const NodeSource& source;
  PipelineCache& pipelines;
  RoomState& state;

  Result<> operator()(const OrderSpliceOp& op) const {
    uint64_t end;
    if (__builtin_add_overflow(op.begin, op.removed, &end) || end > state.order.span())
      return BadOp("positions");
    // What stood at `begin` or behind it now means another frame, unless this only appends.
    if (op.begin < state.order.span())
      state.first_shifted = std::min(state.first_shifted, static_cast<int64_t>(op.begin));
    ZN_ASSIGN_OR_RETURN(state.order, state.order.Splice(source, op.begin, end, op.runs));
    return {};
  }
  Result<> operator()(const FieldSpliceOp& op) const {
    const auto first = static_cast<uint64_t>(op.first);
    uint64_t end;
    if (op.field >= state.rows.size() || op.first < 0 || op.span == 0 ||
        __builtin_add_overflow(first, op.span, &end) || end > uint64_t{kMaxFrameId} + 1)
      return BadOp("rows");
    if (op.entry.present() &&
        op.entry.geometry >= state.table->all[op.field]->descriptor.geometries.size())
      return BadOp("geometry");
    FieldTree& tree = state.rows[op.field];
    if (tree.span() < first) {
      ZN_ASSIGN_OR_RETURN(tree, tree.Splice(source, tree.span(), tree.span(),
                                            {{first - tree.span(), FieldEntry::Absent()}}));
    }
    ZN_ASSIGN_OR_RETURN(tree, tree.Splice(source, first, std::min(end, tree.span()), {{op.span, op.entry}}));
    return {};
  }
  Result<> operator()(const VersionSetOp& op) const {
    if (op.id < 0 || op.id > kMaxFrameId) return BadOp("frame id");
    const auto id = static_cast<uint64_t>(op.id);
    VersionTree& tree = state.versions;
    if (tree.span() < id) {
      ZN_ASSIGN_OR_RETURN(tree, tree.Splice(source, tree.span(), tree.span(), {{id - tree.span(), {}}}));
    }
    ZN_ASSIGN_OR_RETURN(
        tree, tree.Splice(source, id, std::min(id + 1, tree.span()), {{1, {op.version, op.record}}}));
    return {};
  }
  Result<> operator()(const FieldDefineOp& op) const { return ApplyDefine(pipelines, state, op); }
  Result<> operator()(const NextIdOp& op) const {
    if (op.next_id < state.next_id || op.next_id > kMaxFrameId) return BadOp("next id");
    state.next_id = op.next_id;
    return {};
  }
};

Result<RoomState> LoadRoot(const NodeSource& source, PipelineCache& pipelines, const RecordRef& ref) {
  if (!ref) return EmptyState(pipelines);
  ZN_ASSIGN_OR_RETURN(const Buffer bytes, source.ReadNode(ref));
  ZN_ASSIGN_OR_RETURN(RootRecord root, DecodeRoot(bytes.bytes()));
  RoomState state;
  state.root_ref = ref;
  state.next_id = root.next_id;
  state.first_shifted = root.first_shifted;
  state.order = OrderTree(root.order.root, root.order.span, root.order.level);
  state.versions = VersionTree(root.versions.root, root.versions.span, root.versions.level);
  std::vector<std::shared_ptr<const FieldInfo>> all;
  for (auto& field : root.fields) {
    ZN_ASSIGN_OR_RETURN(auto info, MakeInfo(pipelines, std::move(field.descriptor), field.lengths, field.internal));
    all.push_back(std::move(info));
    state.rows.emplace_back(field.rows.root, field.rows.span, field.rows.level);
  }
  if (all.empty()) return BadOp("no fields");
  state.table = MakeTable(std::move(all));
  return state;
}

}  // namespace

Result<FieldEntry> RoomState::RowOf(const NodeSource& source, uint32_t field, FrameId id) const {
  const FieldTree& tree = rows[field];
  if (static_cast<uint64_t>(id) >= tree.span()) return FieldEntry::Absent();
  ZN_ASSIGN_OR_RETURN(auto found, tree.Find(source, static_cast<uint64_t>(id)));
  return found.entry.SliceFrom(static_cast<uint64_t>(id) - found.start);
}

Result<VersionEntry> RoomState::VersionIn(const NodeSource& source, const VersionTree& tree, FrameId id) {
  if (static_cast<uint64_t>(id) < tree.span()) {
    ZN_ASSIGN_OR_RETURN(const auto found, tree.Find(source, static_cast<uint64_t>(id)));
    if (found.entry.version != 0) return found.entry;
  }
  return VersionEntry{1, {}};
}

RoomState EmptyState(PipelineCache& pipelines) {
  FieldDescriptor counts;
  counts.name = kAtomCountName;
  counts.dtype = DType::kInt32;
  counts.attributes = "{}";
  Geometry geometry;
  geometry.dtype = DType::kInt32;
  geometry.frames_per_chunk = 16384;
  geometry.codecs = DefaultCodecs(DType::kInt32);
  counts.geometries.push_back(std::move(geometry));
  RoomState state;
  state.rows.emplace_back();
  auto info = MakeInfo(pipelines, std::move(counts), -1, true);
  std::vector<std::shared_ptr<const FieldInfo>> all;
  if (info) all.push_back(std::move(*info));  // the default codecs always parse
  state.table = MakeTable(std::move(all));
  return state;
}

Result<> ApplyOp(const NodeSource& source, PipelineCache& pipelines, RoomState& state, const Op& op) {
  return std::visit(Applier{source, pipelines, state}, op);
}

Result<CommitRecord> ReadCommit(const NodeSource& source, const RecordRef& ref) {
  ZN_ASSIGN_OR_RETURN(const Buffer bytes, source.ReadNode(ref));
  return DecodeCommit(bytes.bytes());
}

Result<CommitRecord> ReadCommitHeader(const NodeSource& source, const RecordRef& ref) {
  ZN_ASSIGN_OR_RETURN(const Buffer bytes, source.ReadNode(ref));
  return DecodeCommitHeader(bytes.bytes());
}

Result<RoomState> LoadState(const NodeSource& source, PipelineCache& pipelines, const RecordRef& ref) {
  ZN_ASSIGN_OR_RETURN(CommitRecord commit, ReadCommit(source, ref));
  ZN_ASSIGN_OR_RETURN(RoomState state, LoadRoot(source, pipelines, commit.root));
  state.commit = CommitIdOf(commit.generation, ref.name);
  state.commit_ref = ref;
  state.ops_since_root = commit.ops_since_root;
  // Newest first; applied from the oldest.
  std::vector<std::vector<Op>> chain;
  uint32_t missing = commit.ops_since_root;
  uint64_t generation = commit.generation;
  for (;;) {
    if (commit.ops.size() > missing) return BadOp("count of operations");
    missing -= static_cast<uint32_t>(commit.ops.size());
    chain.push_back(std::move(commit.ops));
    if (missing == 0) break;
    if (!commit.parent) return BadOp("chain of operations");
    ZN_ASSIGN_OR_RETURN(commit, ReadCommit(source, commit.parent));
    if (commit.generation >= generation) return BadOp("generations");
    generation = commit.generation;
  }
  for (auto ops = chain.rbegin(); ops != chain.rend(); ++ops)
    for (const Op& op : *ops) ZN_RETURN_IF_ERROR(ApplyOp(source, pipelines, state, op));
  return state;
}

Result<std::pair<RecordRef, CommitRecord>> FindGeneration(const NodeSource& source, RecordRef from,
                                                          uint64_t generation) {
  ZN_ASSIGN_OR_RETURN(CommitRecord commit, ReadCommitHeader(source, from));
  while (commit.generation > generation) {
    const uint64_t before = commit.generation;
    // The skip is taken when it does not overshoot, and its neighbour's would not get further.
    const uint64_t skip = SkipGeneration(commit.generation);
    from = commit.skip && skip >= generation ? commit.skip : commit.parent;
    if (!from) break;
    ZN_ASSIGN_OR_RETURN(commit, ReadCommitHeader(source, from));
    if (commit.generation >= before) return BadOp("generations");
  }
  if (commit.generation != generation)
    return Error{ErrorCode::kNotFound, "no commit of generation " + std::to_string(generation)};
  return std::pair(from, std::move(commit));
}

}  // namespace zn::internal
