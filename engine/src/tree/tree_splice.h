// Replacing runs of a RunTree: copies the nodes on the way and keeps them filled. Private to the
// tree.
#pragma once

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "tree/tree_nodes.h"

namespace zn {

template <class Entry>
struct TreeSplice {
  using Nodes = TreeNodes<Entry>;
  using Child = typename Nodes::Child;
  using Node = typename Nodes::Node;
  using Run = typename Nodes::Run;

  /// Appends to `out` what replaces `child`, in which [begin, end) became `runs`: one node,
  /// several, or none.
  static Result<> SpliceInto(const NodeSource& source, const Child& child, uint64_t begin,
                             uint64_t end, std::vector<Run> runs, std::vector<Child>& out) {
    ZN_ASSIGN_OR_RETURN(const auto node, Nodes::Load(source, child));
    if (node->level == 0) {
      std::vector<Run> merged;
      merged.reserve(node->runs.size() + runs.size() + 1);
      uint64_t at = 0;
      bool inserted = false;
      const auto insert = [&] {
        if (!inserted) std::move(runs.begin(), runs.end(), std::back_inserter(merged));
        inserted = true;
      };
      for (const Run& run : node->runs) {
        const uint64_t run_end = at + run.span;
        if (at < begin) merged.push_back({std::min(run_end, begin) - at, run.entry});
        if (run_end >= begin) insert();
        if (run_end > end) {
          const uint64_t from = std::max(at, end);
          merged.push_back({run_end - from, run.entry.SliceFrom(from - at)});
        }
        at = run_end;
      }
      insert();
      Nodes::Coalesce(merged);
      Nodes::PackLeaves(std::move(merged), out);
      return {};
    }
    std::vector<Child> children;
    children.reserve(node->children.size() + 2);
    uint64_t at = 0;
    bool inserted = false;
    for (size_t i = 0; i < node->children.size(); ++i) {
      const Child& c = node->children[i];
      const uint64_t c_end = at + c.span;
      const bool last = i + 1 == node->children.size();
      // The new runs go into the first child that reaches beyond `begin`, or into the last.
      const bool takes_runs = !inserted && (c_end > begin || last);
      if (c_end <= begin && !takes_runs) {
        children.push_back(c);
      } else if (at >= end && !takes_runs) {
        children.push_back(c);
      } else {
        const uint64_t from = std::max(begin, at) - at;
        const uint64_t to = std::min(end, c_end) - at;
        ZN_RETURN_IF_ERROR(SpliceInto(source, c, from, std::max(from, to),
                                      takes_runs ? std::move(runs) : std::vector<Run>(), children));
        if (takes_runs) inserted = true;
      }
      at = c_end;
    }
    ZN_RETURN_IF_ERROR(MergeSmall(source, children));
    Nodes::PackInterior(std::move(children), out);
    return {};
  }

  /// Joins siblings with fewer than a quarter of their maximum with a neighbour. Only unsaved nodes
  /// can be that small.
  static Result<> MergeSmall(const NodeSource& source, std::vector<Child>& children) {
    for (size_t i = 0; children.size() > 1 && i < children.size();) {
      const Child& c = children[i];
      const size_t max = c.level == 0 ? Nodes::kMaxLeaf : Nodes::kMaxInterior;
      if (!c.node || c.node->count() >= max / 4) {
        ++i;
        continue;
      }
      const size_t left = i + 1 < children.size() ? i : i - 1;
      ZN_ASSIGN_OR_RETURN(const auto a, Nodes::Load(source, children[left]));
      ZN_ASSIGN_OR_RETURN(const auto b, Nodes::Load(source, children[left + 1]));
      std::vector<Child> joined;
      if (c.level == 0) {
        std::vector<Run> runs = a->runs;
        runs.insert(runs.end(), b->runs.begin(), b->runs.end());
        Nodes::Coalesce(runs);
        Nodes::PackLeaves(std::move(runs), joined);
      } else {
        std::vector<Child> grand = a->children;
        grand.insert(grand.end(), b->children.begin(), b->children.end());
        Nodes::PackInterior(std::move(grand), joined);
      }
      const auto at = children.begin() + static_cast<ptrdiff_t>(left);
      children.erase(at, at + 2);
      children.insert(children.begin() + static_cast<ptrdiff_t>(left),
                      std::make_move_iterator(joined.begin()),
                      std::make_move_iterator(joined.end()));
      i = left;
    }
    return {};
  }
};

}  // namespace zn
