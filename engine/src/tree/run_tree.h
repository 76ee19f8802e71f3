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

namespace zn {

template <class Entry>
class RunTree {
 public:
  using Aggregate = typename Entry::Aggregate;
  static constexpr size_t kMaxLeaf = Entry::kMaxLeaf;
  static constexpr size_t kMaxInterior = 64;
  static constexpr size_t kChildSize = kEncodedRefSize + (Entry::kKind == TreeKind::kOrder ? 16 : 0);

  struct Run {
    uint64_t span = 0;
    Entry entry;
  };
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
    return root_.span == other.root_.span &&
           (root_.node ? root_.node == other.root_.node : root_.ref == other.root_.ref);
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
      ZN_ASSIGN_OR_RETURN(const NodeView view, View(source, *child));
      const size_t i = view.IndexOf(position - base);
      const uint64_t start = view.start(i);
      const uint64_t width = view.ends[i] - start;
      base += start;
      if (view.level == 0)
        return Found{base, width, Entry::Decode(view.entries + i * Entry::kSize, view)};
      copy = DecodeChild(view, i, width);
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
    std::vector<Child> children;
    if (span() == 0) {
      Coalesce(runs);
      PackLeaves(std::move(runs), children);
    } else {
      ZN_RETURN_IF_ERROR(SpliceInto(source, root_, begin, end, std::move(runs), children));
    }
    while (children.size() > 1) {
      std::vector<Child> parents;
      PackInterior(std::move(children), parents);
      children = std::move(parents);
    }
    RunTree result;
    if (children.empty()) return result;
    result.root_ = std::move(children.front());
    // A root with one child is that child.
    while (result.root_.level > 0) {
      ZN_ASSIGN_OR_RETURN(auto node, Load(source, result.root_));
      if (node->children.size() > 1) break;
      Child only = node->children.front();
      result.root_ = std::move(only);
    }
    return result;
  }

  /// Writes every node that has no reference yet, children before parents, and returns the tree with references.
  Result<RunTree> Save(NodeSink& sink) const {
    RunTree result = *this;
    if (result.root_.node) ZN_RETURN_IF_ERROR(SaveChild(sink, result.root_));
    return result;
  }

  /// Where two trees differ: visit(begin, end) with disjoint ascending ranges of positions, which cover every position
  /// whose entries differ (and may cover some that do not). Shared nodes are skipped unread.
  template <class Visit>
  static Result<> Diff(const NodeSource& source, const RunTree& a, const RunTree& b, Visit&& visit) {
    if (a.SharesRootWith(b)) return {};
    std::vector<Leaf> left, right;
    ZN_RETURN_IF_ERROR(CollectUnshared(source, a, b, left, right));
    // What is in `left` and `right` are the leaves that the other tree does not have at the same place.
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    for (const auto* leaves : {&left, &right})
      for (const Leaf& leaf : *leaves) ranges.emplace_back(leaf.start, leaf.start + leaf.child.span);
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

  /// Checks the invariants of every node (for tests and zn-fsck): fill, levels, spans, coalescing within leaves.
  Result<> Validate(const NodeSource& source) const {
    if (span() == 0) return {};
    return ValidateChild(source, root_, true);
  }

 private:
  struct Node;
  struct Child {
    uint64_t span = 0;
    uint8_t level = 0;
    Aggregate aggregate;
    RecordRef ref;                      // null while unsaved
    std::shared_ptr<const Node> node;   // in memory; may be null once saved
  };
  struct Node {
    uint8_t level = 0;
    std::vector<Child> children;  // interior
    std::vector<Run> runs;        // leaf
    size_t count() const { return level == 0 ? runs.size() : children.size(); }
  };
  struct Leaf {
    uint64_t start;
    Child child;
  };

  static Result<NodeView> View(const NodeSource& source, const Child& child) {
    ZN_ASSIGN_OR_RETURN(const Buffer bytes, source.ReadNode(child.ref));
    ZN_ASSIGN_OR_RETURN(NodeView view,
                        NodeView::Open(bytes, Entry::kKind, Entry::kSize, kChildSize));
    if (view.level != child.level || view.span() != child.span)
      return Error{ErrorCode::kCorrupt, "tree node " + child.ref.name.Hex() +
                                            " does not cover what its parent says; run zn-fsck"};
    return view;
  }

  static Child DecodeChild(const NodeView& view, size_t i, uint64_t width) {
    Child child;
    child.span = width;
    child.level = static_cast<uint8_t>(view.level - 1);
    const std::byte* in = view.entries + i * kChildSize;
    std::memcpy(&child.ref, in, kEncodedRefSize);
    if constexpr (Entry::kKind == TreeKind::kOrder) {
      std::memcpy(&child.aggregate.min, in + kEncodedRefSize, 8);
      std::memcpy(&child.aggregate.max, in + kEncodedRefSize + 8, 8);
    }
    return child;
  }

  static Result<std::shared_ptr<const Node>> Load(const NodeSource& source, const Child& child) {
    if (child.node) return child.node;
    ZN_ASSIGN_OR_RETURN(const NodeView view, View(source, child));
    auto node = std::make_shared<Node>();
    node->level = view.level;
    for (size_t i = 0; i < view.count; ++i) {
      const uint64_t start = view.start(i);
      if (view.ends[i] <= start)
        return Error{ErrorCode::kCorrupt, "tree node " + child.ref.name.Hex() + " has an empty run"};
      const uint64_t width = view.ends[i] - start;
      if (view.level == 0) {
        node->runs.push_back({width, Entry::Decode(view.entries + i * Entry::kSize, view)});
      } else {
        node->children.push_back(DecodeChild(view, i, width));
      }
    }
    return std::shared_ptr<const Node>(std::move(node));
  }

  static Child MakeChild(Node node) {
    Child child;
    child.level = node.level;
    for (const Run& run : node.runs) {
      child.span += run.span;
      child.aggregate.Add(run.entry.AggregateOf(run.span));
    }
    for (const Child& c : node.children) {
      child.span += c.span;
      child.aggregate.Add(c.aggregate);
    }
    child.node = std::make_shared<const Node>(std::move(node));
    return child;
  }

  /// Splits `items` evenly into nodes of at most `max`.
  template <class Item, class Make>
  static void PackEvenly(std::vector<Item> items, size_t max, std::vector<Child>& out, Make make) {
    if (items.empty()) return;
    const size_t nodes = (items.size() + max - 1) / max;
    size_t at = 0;
    for (size_t i = 0; i < nodes; ++i) {
      const size_t end = items.size() * (i + 1) / nodes;
      std::vector<Item> part(std::make_move_iterator(items.begin() + static_cast<ptrdiff_t>(at)),
                             std::make_move_iterator(items.begin() + static_cast<ptrdiff_t>(end)));
      at = end;
      out.push_back(MakeChild(make(std::move(part))));
    }
  }
  static void PackLeaves(std::vector<Run> runs, std::vector<Child>& out) {
    PackEvenly(std::move(runs), kMaxLeaf, out, [](std::vector<Run> part) {
      Node node;
      node.runs = std::move(part);
      return node;
    });
  }
  static void PackInterior(std::vector<Child> children, std::vector<Child>& out) {
    const auto level = static_cast<uint8_t>(children.empty() ? 1 : children.front().level + 1);
    PackEvenly(std::move(children), kMaxInterior, out, [level](std::vector<Child> part) {
      Node node;
      node.level = level;
      node.children = std::move(part);
      return node;
    });
  }

  /// Joins neighbours that continue each other.
  static void Coalesce(std::vector<Run>& runs) {
    size_t kept = 0;
    for (size_t i = 0; i < runs.size(); ++i) {
      if (kept > 0 && runs[i].entry.Continues(runs[kept - 1].entry, runs[kept - 1].span)) {
        runs[kept - 1].span += runs[i].span;
      } else {
        if (kept != i) runs[kept] = std::move(runs[i]);
        ++kept;
      }
    }
    runs.resize(kept);
  }

  static Result<> SpliceInto(const NodeSource& source, const Child& child, uint64_t begin,
                             uint64_t end, std::vector<Run> runs, std::vector<Child>& out) {
    ZN_ASSIGN_OR_RETURN(const auto node, Load(source, child));
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
      Coalesce(merged);
      PackLeaves(std::move(merged), out);
      return {};
    }
    std::vector<Child> children;
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
    PackInterior(std::move(children), out);
    return {};
  }

  /// Joins siblings with fewer than a quarter of their maximum with a neighbour. Only unsaved nodes can be that small.
  static Result<> MergeSmall(const NodeSource& source, std::vector<Child>& children) {
    for (size_t i = 0; children.size() > 1 && i < children.size();) {
      const Child& c = children[i];
      const size_t max = c.level == 0 ? kMaxLeaf : kMaxInterior;
      if (!c.node || c.node->count() >= max / 4) {
        ++i;
        continue;
      }
      const size_t left = i + 1 < children.size() ? i : i - 1;
      ZN_ASSIGN_OR_RETURN(const auto a, Load(source, children[left]));
      ZN_ASSIGN_OR_RETURN(const auto b, Load(source, children[left + 1]));
      std::vector<Child> joined;
      if (c.level == 0) {
        std::vector<Run> runs = a->runs;
        runs.insert(runs.end(), b->runs.begin(), b->runs.end());
        Coalesce(runs);
        PackLeaves(std::move(runs), joined);
      } else {
        std::vector<Child> grand = a->children;
        grand.insert(grand.end(), b->children.begin(), b->children.end());
        PackInterior(std::move(grand), joined);
      }
      const auto at = children.begin() + static_cast<ptrdiff_t>(left);
      children.erase(at, at + 2);
      children.insert(children.begin() + static_cast<ptrdiff_t>(left),
                      std::make_move_iterator(joined.begin()), std::make_move_iterator(joined.end()));
      i = left;
    }
    return {};
  }

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
    ZN_ASSIGN_OR_RETURN(const NodeView view, View(source, child));
    for (size_t i = begin > base ? view.IndexOf(begin - base) : 0; i < view.count; ++i) {
      const uint64_t start = base + view.start(i);
      if (start >= end) return true;
      const uint64_t width = view.ends[i] - view.start(i);
      if (view.level == 0) {
        if (!on_run(start, width, Entry::Decode(view.entries + i * Entry::kSize, view))) return false;
      } else {
        ZN_ASSIGN_OR_RETURN(const bool go_on, Walk(source, DecodeChild(view, i, width), start, begin, end, visit));
        if (!go_on) return false;
      }
    }
    return true;
  }

  static Result<> SaveChild(NodeSink& sink, Child& child) {
    if (child.ref) {
      // Saved before, so it can be read in place: no longer held in memory.
      child.node = nullptr;
      return {};
    }
    auto node = std::make_shared<Node>(*child.node);
    for (Child& c : node->children) ZN_RETURN_IF_ERROR(SaveChild(sink, c));
    ZN_ASSIGN_OR_RETURN(child.ref, sink.WriteNode(EncodeNode(*node)));
    child.node = std::move(node);
    return {};
  }

  static std::vector<std::byte> EncodeNode(const Node& node) {
    size_t refs = 0;
    for (const Run& run : node.runs) refs += run.entry.ref_count();
    const size_t entry = node.level == 0 ? Entry::kSize : kChildSize;
    std::vector<std::byte> bytes(kNodeHeaderSize + node.count() * (8 + entry) + refs * kEncodedRefSize);
    bytes[0] = static_cast<std::byte>(Entry::kKind);
    bytes[1] = static_cast<std::byte>(node.level);
    const auto count16 = static_cast<uint16_t>(node.count());
    const auto refs32 = static_cast<uint32_t>(refs);
    std::memcpy(bytes.data() + 2, &count16, 2);
    std::memcpy(bytes.data() + 4, &refs32, 4);
    std::byte* ends = bytes.data() + kNodeHeaderSize;
    std::byte* entries = ends + node.count() * 8;
    auto* ref_out = reinterpret_cast<RecordRef*>(entries + node.count() * entry);
    uint64_t end = 0;
    size_t ref_index = 0;
    for (size_t i = 0; i < node.count(); ++i) {
      if (node.level == 0) {
        const Run& run = node.runs[i];
        end += run.span;
        run.entry.Encode(entries + i * entry, ref_index, ref_out + ref_index);
        ref_index += run.entry.ref_count();
      } else {
        const Child& c = node.children[i];
        end += c.span;
        std::memcpy(entries + i * entry, &c.ref, kEncodedRefSize);
        if constexpr (Entry::kKind == TreeKind::kOrder) {
          std::memcpy(entries + i * entry + kEncodedRefSize, &c.aggregate.min, 8);
          std::memcpy(entries + i * entry + kEncodedRefSize + 8, &c.aggregate.max, 8);
        }
      }
      std::memcpy(ends + i * 8, &end, 8);
    }
    return bytes;
  }

  static bool Same(const Child& a, const Child& b) {
    if (a.span != b.span || a.level != b.level) return false;
    if (a.ref && b.ref) return a.ref == b.ref;
    return a.node && a.node == b.node;
  }

  /// Descends both trees side by side and keeps the leaves that do not stand in the other at the same position.
  static Result<> CollectUnshared(const NodeSource& source, const RunTree& a, const RunTree& b,
                                  std::vector<Leaf>& left, std::vector<Leaf>& right) {
    std::vector<Leaf> open_a, open_b;
    if (a.span() > 0) open_a.push_back({0, a.root_});
    if (b.span() > 0) open_b.push_back({0, b.root_});
    const auto level_of = [](const std::vector<Leaf>& open) {
      return open.empty() ? -1 : static_cast<int>(open.front().child.level);
    };
    const auto expand = [&](std::vector<Leaf>& open) -> Result<> {
      std::vector<Leaf> below;
      for (const Leaf& item : open) {
        ZN_ASSIGN_OR_RETURN(const auto node, Load(source, item.child));
        uint64_t at = item.start;
        for (const Child& c : node->children) {
          below.push_back({at, c});
          at += c.span;
        }
      }
      open = std::move(below);
      return {};
    };
    for (;;) {
      const int la = level_of(open_a), lb = level_of(open_b);
      if (la == lb) {
        // Drop what both have at the same place.
        std::vector<Leaf> only_a, only_b;
        size_t i = 0, j = 0;
        while (i < open_a.size() || j < open_b.size()) {
          if (j == open_b.size() || (i < open_a.size() && open_a[i].start < open_b[j].start)) {
            only_a.push_back(open_a[i++]);
          } else if (i == open_a.size() || open_b[j].start < open_a[i].start) {
            only_b.push_back(open_b[j++]);
          } else {
            if (!Same(open_a[i].child, open_b[j].child)) {
              only_a.push_back(open_a[i]);
              only_b.push_back(open_b[j]);
            }
            ++i;
            ++j;
          }
        }
        open_a = std::move(only_a);
        open_b = std::move(only_b);
        if (la <= 0) break;
      }
      const int na = level_of(open_a), nb = level_of(open_b);
      if (na <= 0 && nb <= 0) break;
      if (na >= nb && na > 0) ZN_RETURN_IF_ERROR(expand(open_a));
      if (nb >= na && nb > 0) ZN_RETURN_IF_ERROR(expand(open_b));
    }
    left = std::move(open_a);
    right = std::move(open_b);
    return {};
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
    ZN_ASSIGN_OR_RETURN(const NodeView view, View(source, child));
    for (size_t i = 0; i < view.count; ++i) {
      const uint64_t width = view.ends[i] - view.start(i);
      if (view.level == 0) {
        const auto entry = Entry::Decode(view.entries + i * Entry::kSize, view);
        if (auto found = in_run(base + view.start(i), width, entry.first)) return found;
      } else {
        const Child c = DecodeChild(view, i, width);
        if (id < c.aggregate.min || id > c.aggregate.max) continue;
        ZN_ASSIGN_OR_RETURN(auto found, FindIdIn(source, c, base + view.start(i), id));
        if (found) return found;
      }
    }
    return std::optional<uint64_t>();
  }

  template <class Visit>
  static Result<> VisitNodes(const NodeSource& source, const Child& child, Visit& visit) {
    if (child.ref && !visit(child.ref, child.level)) return {};
    if (child.level == 0) return {};
    ZN_ASSIGN_OR_RETURN(const auto node, Load(source, child));
    for (const Child& c : node->children) ZN_RETURN_IF_ERROR(VisitNodes(source, c, visit));
    return {};
  }

  static Result<> ValidateChild(const NodeSource& source, const Child& child, bool is_root) {
    ZN_ASSIGN_OR_RETURN(const auto node, Load(source, child));
    const size_t max = node->level == 0 ? kMaxLeaf : kMaxInterior;
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
