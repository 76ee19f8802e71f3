#include "room/commit_draft.h"

namespace zn::internal {
namespace {

class GroupSink : public NodeSink {
 public:
  explicit GroupSink(const Log::AppendRecord& append) : append_(append) {}
  Result<RecordRef> WriteNode(std::vector<std::byte> payload) override {
    return append_(RecordType::kNode, std::move(payload));
  }

 private:
  const Log::AppendRecord& append_;
};

template <class Tree>
TreeRef RefOf(const Tree& tree) {
  return {tree.root_ref(), tree.span(), tree.level()};
}

}  // namespace

Result<> CommitDraft::Apply(Op op) {
  ZN_RETURN_IF_ERROR(ApplyOp(core_, core_.pipelines, state_, op));
  ops_.push_back(std::move(op));
  return {};
}

Result<> CommitDraft::AppendRuns(uint32_t field, FrameId first, std::vector<FieldTree::Run> runs) {
  FieldTree& tree = state_.rows[field];
  const auto at = static_cast<uint64_t>(first);
  if (tree.span() < at) runs.insert(runs.begin(), {at - tree.span(), FieldEntry::Absent()});
  ZN_ASSIGN_OR_RETURN(tree, tree.Splice(core_, tree.span(), tree.span(), std::move(runs)));
  must_fold_ = true;
  return {};
}

Result<uint32_t> CommitDraft::ChangeFrame(FrameId id, const NewRows& rows, const Lineage& lineage) {
  ZN_ASSIGN_OR_RETURN(const VersionEntry before, state_.VersionOf(core_, id));
  VersionRecord record;
  record.id = id;
  record.version = before.version + 1;
  record.operation = operation_;
  record.content = lineage.content != 0 ? lineage.content : record.version;
  record.undo = lineage.undo.value_or(before.version);
  record.redo = lineage.redo;
  record.time_ns = now_ns_;
  record.actor = context_.actor;
  record.previous = before.record;
  for (const auto& [field, entry] : rows) {
    ZN_ASSIGN_OR_RETURN(FieldEntry old, state_.RowOf(core_, field, id));
    record.old_rows.push_back({field, std::move(old)});
  }
  const RecordRef ref = append_(RecordType::kVersion, EncodeVersion(record));
  for (const auto& [field, entry] : rows) ZN_RETURN_IF_ERROR(Apply(FieldSpliceOp{field, id, 1, entry}));
  ZN_RETURN_IF_ERROR(Apply(VersionSetOp{id, record.version, ref}));
  return record.version;
}

Result<> CommitDraft::Fold() {
  GroupSink sink(append_);
  RootRecord root;
  root.next_id = state_.next_id;
  root.first_shifted = state_.first_shifted;
  ZN_ASSIGN_OR_RETURN(state_.order, state_.order.Save(sink));
  ZN_ASSIGN_OR_RETURN(state_.versions, state_.versions.Save(sink));
  root.order = RefOf(state_.order);
  root.versions = RefOf(state_.versions);
  for (size_t i = 0; i < state_.rows.size(); ++i) {
    ZN_ASSIGN_OR_RETURN(state_.rows[i], state_.rows[i].Save(sink));
    const FieldInfo& info = *state_.table->all[i];
    root.fields.push_back({info.descriptor, info.lengths, info.internal, RefOf(state_.rows[i])});
  }
  state_.root_ref = append_(RecordType::kRoot, EncodeRoot(root));
  state_.ops_since_root = 0;
  return {};
}

Result<CommitDraft::Finished> CommitDraft::Finish() {
  std::vector<std::pair<uint32_t, FrameId>> touched;
  for (const Op& op : ops_)
    if (const auto* splice = std::get_if<FieldSpliceOp>(&op)) touched.emplace_back(splice->field, splice->first);
  CommitRecord commit;
  commit.operation = operation_;
  commit.generation = state_.commit.generation + 1;
  commit.time_ns = now_ns_;
  commit.frames = state_.frames();
  commit.parent = state_.commit_ref;
  if (const uint64_t skip = SkipGeneration(commit.generation); skip > 0) {
    ZN_ASSIGN_OR_RETURN(const auto ancestor, FindGeneration(core_, state_.commit_ref, skip));
    commit.skip = ancestor.first;
  }
  commit.actor = context_.actor;
  commit.message = context_.message;
  if (must_fold_ || state_.ops_since_root + ops_.size() > kMaxInlineOps) {
    ZN_RETURN_IF_ERROR(Fold());
  } else {
    state_.ops_since_root += static_cast<uint32_t>(ops_.size());
    commit.ops = ops_;
  }
  commit.root = state_.root_ref;
  commit.ops_since_root = state_.ops_since_root;
  state_.commit_ref = append_(RecordType::kCommit, EncodeCommit(commit));
  state_.commit = CommitIdOf(commit.generation, state_.commit_ref.name);
  return Finished{std::move(state_), std::move(commit), std::move(touched)};
}

}  // namespace zn::internal
