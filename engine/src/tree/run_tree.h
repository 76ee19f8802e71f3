// RunTree: a persistent, counted B+ tree of runs. The one data structure behind order, fields and versions.
//
// A tree is a value: copying copies a root pointer, and Splice gives a new tree that shares every node it did not
// touch. Nodes that were never written are in memory; Save writes them and keeps their references, and from then on
// they may be read in place from the mapped log. Every node but the root holds at least a quarter of its maximum.
//
// Const members may be called from any thread at once.
#pragma once

#include <cassert>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "tree/entries.h"
#include "tree/node.h"
#include "tree/tree_diff.h"
#include "tree/tree_nodes.h"
#include "tree/tree_save.h"
#include "tree/tree_splice.h"

namespace zn {

template <class Entry>
class RunTree {
 public:
  using Run = typename TreeNodes<Entry>::Run;
  /// A run as found: it covers [start, start + span).
  struct Found {
    uint64_t start = 0;
    uint64_t span = 0;
    Entry entry;
  };

  RunTree() = default;
  /// A tree that was saved before. `span` and `level` come from where the reference was kept.
  RunTree(const RecordRef& root, uint64_t span, uint8_t level) {
    if (span > 0) root_ = Child{span, level, {}, root, nullptr};
  }

  uint64_t span() const { return root_.span; }
  uint8_t level() const { return root_.level; }
  /// Null until Save, and for the empty tree.
  const RecordRef& root_ref() const { return root_.ref; }
  bool SharesRootWith(const RunTree& other) const {
    return span() == other.span() && (span() == 0 || Nodes::Same(root_, other.root_));
  }

  /// The run that covers `position`. REQUIRES: position < span().
  Result<Found> Find(const NodeSource& source, uint64_t position) const {
    assert(position < span());
    uint64_t base = 0;
    const Child* child = &root_;
    Child copy;
    for (;;) {
      if (child->node) {
        const Node& node = *child->node;
        size_t i = 0;
        if (node.level == 0) {
          while (base + node.runs[i].span <= position) base += node.runs[i++].span;
          return Found{base, node.runs[i].span, node.runs[i].entry};
        }
        while (base + node.children[i].span <= position) base += node.children[i++].span;
        child = &node.children[i];
        continue;
      }
      ZN_ASSIGN_OR_RETURN(const NodeView view, Nodes::View(source, *child));
      const size_t i = view.IndexOf(position - base);
      const uint64_t start = view.start(i);
      const uint64_t width = view.ends[i] - start;
      base += start;
      if (view.level == 0)
        return Found{base, width, Entry::Decode(view.entries + i * Entry::kSize, view)};
      copy = Nodes::DecodeChild(view, i, width);
      child = &copy;
    }
  }

  /// Calls visit(start, span, entry) for the runs that overlap [begin, end), clipped to it, in order. Stops early when
  /// visit returns false.
  template <class Visit>
  Result<> ForEach(const NodeSource& source, uint64_t begin, uint64_t end, Visit&& visit) const {
    end = std::min(end, span());
    if (begin >= end) return {};
    ZN_ASSIGN_OR_RETURN([[maybe_unused]] bool go_on, Walk(source, root_, 0, begin, end, visit));
    return {};
  }

  /// Replaces [begin, end) by `runs`. REQUIRES: begin <= end <= span(); spans > 0.
  Result<RunTree> Splice(const NodeSource& source, uint64_t begin, uint64_t end,
                         std::vector<Run> runs) const {
    assert(begin <= end && end <= span());
    if constexpr (requires(const Entry& entry) { entry.Owned(); })
      for (Run& run : runs) run.entry = run.entry.Owned();
    std::vector<Child> children;
    if (span() == 0) {
      Nodes::Coalesce(runs);
      Nodes::PackLeaves(std::move(runs), children);
    } else {
      ZN_RETURN_IF_ERROR(TreeSplice<Entry>::SpliceInto(source, root_, begin, end, std::move(runs), children));
    }
    while (children.size() > 1) {
      std::vector<Child> parents;
      Nodes::PackInterior(std::move(children), parents);
      children = std::move(parents);
    }
    RunTree result;
    if (children.empty()) return result;
    result.root_ = std::move(children.front());
    // A root with one child is that child.
    while (result.root_.level > 0) {
      ZN_ASSIGN_OR_RETURN(auto node, Nodes::Load(source, result.root_));
      if (node->children.size() > 1) break;
      Child only = node->children.front();
      result.root_ = std::move(only);
    }
    return result;
  }

  /// Writes every node that was not written yet, children before parents, and returns the tree with references, nothing of
  /// it in memory.
  Result<RunTree> Save(NodeSink& sink) const {
    TreeSaver<Entry> saver = StartSaving();
    size_t budget = SIZE_MAX;
    ZN_RETURN_IF_ERROR(saver.Step(sink, budget));
    return RunTree(saver.root_ref(), span(), level());
  }
  /// The same in steps. The saver shares this tree's nodes.
  TreeSaver<Entry> StartSaving() const { return TreeSaver<Entry>(root_); }
  /// The same tree, without those nodes in memory that savers have confirmed to be written.
  RunTree Settled() const {
    RunTree result;
    result.root_ = TreeSaver<Entry>::Settle(root_);
    return result;
  }

  /// Where two trees differ: visit(begin, end) with disjoint ascending ranges of positions, which cover every position
  /// whose entries differ (and may cover some that do not). Shared nodes are skipped unread.
  template <class Visit>
  static Result<> Diff(const NodeSource& source, const RunTree& a, const RunTree& b, Visit&& visit) {
    if (a.SharesRootWith(b)) return {};
    std::vector<typename TreeDiff<Entry>::Leaf> left, right;
    ZN_RETURN_IF_ERROR(TreeDiff<Entry>::CollectUnshared(source, a.root_, b.root_, left, right));
    // What is in `left` and `right` are the leaves that the other tree does not have at the same place.
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    for (const auto* leaves : {&left, &right})
      for (const auto& leaf : *leaves) ranges.emplace_back(leaf.start, leaf.start + leaf.child.span);
    std::sort(ranges.begin(), ranges.end());
    uint64_t begin = 0, end = 0;
    for (const auto& [from, to] : ranges) {
      if (from > end) {
        if (end > begin) visit(begin, end);
        begin = from;
        end = to;
      } else {
        end = std::max(end, to);
      }
    }
    if (end > begin) visit(begin, end);
    return {};
  }

  /// Order trees: the position of frame `id`, looking only below children whose ids may include it.
  Result<std::optional<uint64_t>> FindId(const NodeSource& source, FrameId id) const
    requires(Entry::kKind == TreeKind::kOrder)
  {
    if (span() == 0) return std::optional<uint64_t>();
    return FindIdIn(source, root_, 0, id);
  }

  /// Every reference of this tree's saved nodes, depth first: visit(ref, level) -> bool (false: do not descend).
  template <class Visit>
  Result<> ForEachNode(const NodeSource& source, Visit&& visit) const {
    if (span() == 0) return {};
    return VisitNodes(source, root_, visit);
  }

  /// For whoever follows every reference. enter(ref) -> bool for each node that was saved (false: neither it nor what is
  /// below is visited); visit(start, span, entry) -> Result<> for each run of the leaves that were entered or never saved.
  template <class Enter, class Visit>
  Result<> Follow(const NodeSource& source, Enter&& enter, Visit&& visit) const {
    if (span() == 0) return {};
    return FollowChild(source, root_, 0, enter, visit);
  }

  /// Checks the invariants of every node (for tests and zn-fsck): fill, levels, spans, coalescing within leaves.
  Result<> Validate(const NodeSource& source) const {
    if (span() == 0) return {};
    return ValidateChild(source, root_, true);
  }

 private:
  using Nodes = TreeNodes<Entry>;
  using Child = typename Nodes::Child;
  using Node = typename Nodes::Node;

  template <class Visit>
  static Result<bool> Walk(const NodeSource& source, const Child& child, uint64_t base,
                           uint64_t begin, uint64_t end, Visit& visit) {
    // Returns false when the visitor wants no more.
    const auto on_run = [&](uint64_t start, uint64_t width, const Entry& entry) {
      const uint64_t from = std::max(start, begin), to = std::min(start + width, end);
      return visit(from, to - from, from == start ? entry : entry.SliceFrom(from - start));
    };
    if (child.node) {
      uint64_t at = base;
      if (child.node->level == 0) {
        for (const Run& run : child.node->runs) {
          if (at >= end) return true;
          if (at + run.span > begin && !on_run(at, run.span, run.entry)) return false;
          at += run.span;
        }
        return true;
      }
      for (const Child& c : child.node->children) {
        if (at >= end) return true;
        if (at + c.span > begin) {
          ZN_ASSIGN_OR_RETURN(const bool go_on, Walk(source, c, at, begin, end, visit));
          if (!go_on) return false;
        }
        at += c.span;
      }
      return true;
    }
    ZN_ASSIGN_OR_RETURN(const NodeView view, Nodes::View(source, child));
    for (size_t i = begin > base ? view.IndexOf(begin - base) : 0; i < view.count; ++i) {
      const uint64_t start = base + view.start(i);
      if (start >= end) return true;
      const uint64_t width = view.ends[i] - view.start(i);
      if (view.level == 0) {
        if (!on_run(start, width, Entry::Decode(view.entries + i * Entry::kSize, view))) return false;
      } else {
        ZN_ASSIGN_OR_RETURN(const bool go_on, Walk(source, Nodes::DecodeChild(view, i, width), start, begin, end, visit));
        if (!go_on) return false;
      }
    }
    return true;
  }

  static Result<std::optional<uint64_t>> FindIdIn(const NodeSource& source, const Child& child,
                                                  uint64_t base, FrameId id) {
    const auto in_run = [&](uint64_t at, uint64_t width, FrameId first) -> std::optional<uint64_t> {
      if (id < first || id >= first + static_cast<int64_t>(width)) return std::nullopt;
      return at + static_cast<uint64_t>(id - first);
    };
    if (child.node) {
      uint64_t at = base;
      for (const Run& run : child.node->runs) {
        if (auto found = in_run(at, run.span, run.entry.first)) return found;
        at += run.span;
      }
      for (const Child& c : child.node->children) {
        if (id >= c.aggregate.min && id <= c.aggregate.max) {
          ZN_ASSIGN_OR_RETURN(auto found, FindIdIn(source, c, at, id));
          if (found) return found;
        }
        at += c.span;
      }
      return std::optional<uint64_t>();
    }
    ZN_ASSIGN_OR_RETURN(const NodeView view, Nodes::View(source, child));
    for (size_t i = 0; i < view.count; ++i) {
      const uint64_t width = view.ends[i] - view.start(i);
      if (view.level == 0) {
        const auto entry = Entry::Decode(view.entries + i * Entry::kSize, view);
        if (auto found = in_run(base + view.start(i), width, entry.first)) return found;
      } else {
        const Child c = Nodes::DecodeChild(view, i, width);
        if (id < c.aggregate.min || id > c.aggregate.max) continue;
        ZN_ASSIGN_OR_RETURN(auto found, FindIdIn(source, c, base + view.start(i), id));
        if (found) return found;
      }
    }
    return std::optional<uint64_t>();
  }

  template <class Visit>
  static Result<> VisitNodes(const NodeSource& source, const Child& child, Visit& visit) {
    if (const RecordRef* ref = child.saved(); ref && !visit(*ref, child.level)) return {};
    if (child.level == 0) return {};
    ZN_ASSIGN_OR_RETURN(const auto node, Nodes::Load(source, child));
    for (const Child& c : node->children) ZN_RETURN_IF_ERROR(VisitNodes(source, c, visit));
    return {};
  }

  template <class Enter, class Visit>
  static Result<> FollowChild(const NodeSource& source, const Child& child, uint64_t base,
                              Enter& enter, Visit& visit) {
    if (const RecordRef* ref = child.saved()) {
      ZN_ASSIGN_OR_RETURN(const bool go_on, enter(*ref));
      if (!go_on) return {};
    }
    uint64_t at = base;
    if (child.node) {
      for (const Run& run : child.node->runs) {
        ZN_RETURN_IF_ERROR(visit(at, run.span, run.entry));
        at += run.span;
      }
      for (const Child& c : child.node->children) {
        ZN_RETURN_IF_ERROR(FollowChild(source, c, at, enter, visit));
        at += c.span;
      }
      return {};
    }
    ZN_ASSIGN_OR_RETURN(const NodeView view, Nodes::View(source, child));
    for (size_t i = 0; i < view.count; ++i) {
      const uint64_t start = view.start(i), width = view.ends[i] - start;
      if (view.level == 0) {
        ZN_RETURN_IF_ERROR(visit(base + start, width, Entry::Decode(view.entries + i * Entry::kSize, view)));
      } else {
        ZN_RETURN_IF_ERROR(FollowChild(source, Nodes::DecodeChild(view, i, width), base + start, enter, visit));
      }
    }
    return {};
  }

  static Result<> ValidateChild(const NodeSource& source, const Child& child, bool is_root) {
    ZN_ASSIGN_OR_RETURN(const auto node, Nodes::Load(source, child));
    const size_t max = node->level == 0 ? Nodes::kMaxLeaf : Nodes::kMaxInterior;
    const auto bad = [&](const char* what) {
      return Error{ErrorCode::kCorrupt, std::string("tree node at level ") +
                                            std::to_string(node->level) + ": " + what};
    };
    if (node->count() == 0 || node->count() > max) return bad("count out of bounds");
    if (!is_root && node->count() < max / 4) return bad("fewer entries than a quarter");
    if (is_root && node->level > 0 && node->count() < 2) return bad("a root with one child");
    if (node->level != child.level) return bad("level differs from its parent's word");
    uint64_t total = 0;
    for (size_t i = 0; i < node->runs.size(); ++i) {
      const Run& run = node->runs[i];
      total += run.span;
      if (run.span == 0) return bad("empty run");
      if (i > 0 && run.entry.Continues(node->runs[i - 1].entry, node->runs[i - 1].span))
        return bad("two runs that are one");
    }
    for (const Child& c : node->children) {
      total += c.span;
      if (c.level + 1 != node->level) return bad("child of another level");
      ZN_RETURN_IF_ERROR(ValidateChild(source, c, false));
    }
    if (total != child.span) return bad("spans do not add up");
    return {};
  }

  Child root_;
};

using OrderTree = RunTree<OrderEntry>;
using FieldTree = RunTree<FieldEntry>;
using VersionTree = RunTree<VersionEntry>;

}  // namespace zn
