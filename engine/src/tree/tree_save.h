// Writing the nodes of a RunTree, all at once or a few at a time. Private to the tree.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "tree/tree_nodes.h"

namespace zn {

/// Writes what was not written of one tree, which other trees may go on sharing nodes with. Used by
/// one thread at a time.
template <class Entry>
class TreeSaver {
 public:
  using Nodes = TreeNodes<Entry>;
  using Child = typename Nodes::Child;
  using Node = typename Nodes::Node;

  explicit TreeSaver(const Child& root) {
    if (root.span > 0) Visit(root);
  }

  /// Of an empty tree: nothing, and null.
  bool done() const { return open_.empty(); }
  const RecordRef& root_ref() const { return root_ref_; }

  /// Writes nodes, children before parents, and takes them off `budget`, until that is used up or
  /// all are written. After an error this saver must not be used.
  Result<> Step(NodeSink& sink, size_t& budget) {
    while (!open_.empty() && budget > 0) {
      const size_t done = open_.back().child_refs.size();
      if (const Node& node = *open_.back().node; done < node.children.size()) {
        Visit(node.children[done]);
        continue;
      }
      Open finished = std::move(open_.back());
      open_.pop_back();
      ZN_ASSIGN_OR_RETURN(const RecordRef ref,
                          sink.WriteNode(Nodes::EncodeNode(*finished.node, finished.child_refs)));
      --budget;
      Give(ref);
      written_.emplace_back(std::move(finished.node), ref);
    }
    return {};
  }

  /// Says that what was written so far is certain to stay: whoever else holds these nodes need not
  /// write them.
  void Confirm() {
    for (const auto& [node, ref] : written_) node->saved.Set(ref);
    written_.clear();
  }

  /// The same child with those nodes left out of memory that were confirmed to be written.
  static Child Settle(const Child& child) {
    if (!child.node) return child;
    Child settled = child;
    if (const RecordRef* ref = child.saved()) {
      settled.ref = *ref;
      settled.node = nullptr;
      return settled;
    }
    if (child.level == 0) return settled;
    auto node = std::make_shared<Node>(*child.node);
    for (Child& c : node->children) c = Settle(c);
    settled.node = std::move(node);
    return settled;
  }

 private:
  struct Open {
    std::shared_ptr<const Node> node;
    std::vector<RecordRef> child_refs;  // of the first children
  };

  void Visit(const Child& child) {
    if (const RecordRef* ref = child.saved()) {
      Give(*ref);
      return;
    }
    open_.push_back({child.node, {}});
    open_.back().child_refs.reserve(child.node->children.size());
  }
  void Give(const RecordRef& ref) {
    if (open_.empty()) {
      root_ref_ = ref;
    } else {
      open_.back().child_refs.push_back(ref);
    }
  }

  std::vector<Open> open_;  // the way from the root to the node that is written next
  RecordRef root_ref_;
  std::vector<std::pair<std::shared_ptr<const Node>, RecordRef>> written_;  // and not confirmed
};

}  // namespace zn
