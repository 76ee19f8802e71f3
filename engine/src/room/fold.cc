#include "room/fold.h"

#include "tree/group_sink.h"

namespace zn::internal {
namespace {

template <class Tree>
TreeRef PlaceOf(const Tree& tree) {
  return {tree.root_ref(), tree.span(), tree.level()};
}

/// All of a root but the references of trees that are not saved yet.
RootRecord RootOf(const RoomState& state) {
  RootRecord root;
  root.next_id = state.next_id;
  root.first_shifted = state.first_shifted;
  root.order = PlaceOf(state.order);
  root.versions = PlaceOf(state.versions);
  for (size_t i = 0; i < state.rows.size(); ++i) {
    const FieldInfo& info = *state.table->all[i];
    root.fields.push_back({info.descriptor, info.lengths, info.internal, PlaceOf(state.rows[i])});
  }
  return root;
}

}  // namespace

RoomFold::RoomFold(const RoomState& state)
    : trees_(std::make_shared<const FoldTrees>(FoldTrees{state.order, state.versions, state.rows})),
      root_(RootOf(state)),
      order_(state.order.StartSaving()),
      versions_(state.versions.StartSaving()),
      ops_(state.ops_since_root) {
  for (const FieldTree& tree : state.rows) rows_.push_back(tree.StartSaving());
}

Result<bool> RoomFold::Step(const Log::AppendRecord& append, size_t nodes) {
  if (root_ref_) return true;
  GroupSink sink(append);
  const auto step = [&](auto& saver, TreeRef& place) -> Result<> {
    ZN_RETURN_IF_ERROR(saver.Step(sink, nodes));
    if (saver.done()) place.root = saver.root_ref();
    return {};
  };
  ZN_RETURN_IF_ERROR(step(order_, root_.order));
  ZN_RETURN_IF_ERROR(step(versions_, root_.versions));
  bool done = order_.done() && versions_.done();
  for (size_t i = 0; i < rows_.size(); ++i) {
    ZN_RETURN_IF_ERROR(step(rows_[i], root_.fields[i].rows));
    done = done && rows_[i].done();
  }
  if (done) root_ref_ = append(RecordType::kRoot, EncodeRoot(root_));
  return done;
}

void RoomFold::Confirm() {
  order_.Confirm();
  versions_.Confirm();
  for (auto& saver : rows_) saver.Confirm();
}

Result<> FoldNow(const Log::AppendRecord& append, RoomState& state) {
  GroupSink sink(append);
  ZN_ASSIGN_OR_RETURN(state.order, state.order.Save(sink));
  ZN_ASSIGN_OR_RETURN(state.versions, state.versions.Save(sink));
  for (FieldTree& tree : state.rows) {
    ZN_ASSIGN_OR_RETURN(tree, tree.Save(sink));
  }
  state.root_ref = append(RecordType::kRoot, EncodeRoot(RootOf(state)));
  state.ops_since_root = 0;
  return {};
}

void SettleTrees(RoomState& state) {
  state.order = state.order.Settled();
  state.versions = state.versions.Settled();
  for (FieldTree& tree : state.rows) tree = tree.Settled();
}

}  // namespace zn::internal
