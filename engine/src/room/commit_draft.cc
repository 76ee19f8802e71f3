#include "room/commit_draft.h"

namespace zn::internal {
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

Result<> CommitDraft::FoldSome() {
  if (!fold_) {
    if (state_.ops_since_root >= core_.fold_policy.after) fold_ = std::make_unique<RoomFold>(state_);
    return {};
  }
  ZN_ASSIGN_OR_RETURN(const bool done, fold_->Step(append_, core_.fold_policy.nodes_per_op * ops_.size()));
  if (!done) return {};
  state_.root_ref = fold_->root_ref();
  state_.ops_since_root -= fold_->ops();
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
  if (const uint64_t skip = SkipGeneration(commit.generation); skip > 0 && skip >= oldest_) {
    ZN_ASSIGN_OR_RETURN(const auto ancestor, FindGeneration(core_, state_.commit_ref, skip));
    commit.skip = ancestor.first;
  }
  commit.actor = context_.actor;
  commit.message = context_.message;
  if (must_fold_ || state_.ops_since_root + ops_.size() > core_.fold_policy.most_ops) {
    fold_.reset();
    ZN_RETURN_IF_ERROR(FoldNow(append_, state_));
  } else {
    state_.ops_since_root += static_cast<uint32_t>(ops_.size());
    commit.ops = ops_;
    ZN_RETURN_IF_ERROR(FoldSome());
  }
  commit.root = state_.root_ref;
  commit.ops_since_root = state_.ops_since_root;
  state_.commit_ref = append_(RecordType::kCommit, EncodeCommit(commit));
  state_.commit = CommitIdOf(commit.generation, state_.commit_ref.name);
  return Finished{std::move(state_), std::move(commit), std::move(touched)};
}

}  // namespace zn::internal
