// The nodes of a RunTree in memory, and how they are read, packed and encoded. Private to the tree.
#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "tree/entries.h"
#include "tree/node.h"

namespace zn {

/// Where a node that is in memory was written, once that is certain. Set once, by any thread; a
/// copied node was not written.
class SavedMark {
 public:
  SavedMark() = default;
  SavedMark(const SavedMark&) {}
  SavedMark& operator=(const SavedMark&) { return *this; }
  void Set(const RecordRef& ref) const {
    int unset = kUnset;
    if (!state_.compare_exchange_strong(unset, kSetting, std::memory_order_relaxed)) return;
    ref_ = ref;
    state_.store(kSet, std::memory_order_release);
  }
  /// Null when it was not.
  const RecordRef* Get() const {
    return state_.load(std::memory_order_acquire) == kSet ? &ref_ : nullptr;
  }

 private:
  enum { kUnset, kSetting, kSet };
  mutable std::atomic<int> state_{kUnset};
  mutable RecordRef ref_;
};

template <class Entry>
struct TreeNodes {
  using Aggregate = typename Entry::Aggregate;
  static constexpr size_t kMaxLeaf = Entry::kMaxLeaf;
  static constexpr size_t kMaxInterior = 16;
  static constexpr size_t kChildSize =
      kEncodedRefSize + (Entry::kKind == TreeKind::kOrder ? 16 : 0);

  struct Run {
    uint64_t span = 0;
    Entry entry;
  };
  struct Node;
  struct Child {
    uint64_t span = 0;
    uint8_t level = 0;
    Aggregate aggregate;
    RecordRef ref;                     // null while unsaved
    std::shared_ptr<const Node> node;  // in memory; may be null once saved

    /// Where it was written, if it was.
    const RecordRef* saved() const {
      if (ref) return &ref;
      return node ? node->saved.Get() : nullptr;
    }
  };
  /// Constant, but for the mark, once a Child holds it.
  struct Node {
    uint8_t level = 0;
    std::vector<Child> children;  // interior
    std::vector<Run> runs;        // leaf
    SavedMark saved;
    size_t count() const { return level == 0 ? runs.size() : children.size(); }
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
    ZN_ASSIGN_OR_RETURN(NodeView view, View(source, child));
    view.OwnRefs();  // what is in memory goes into trees that the record is no part of
    auto node = std::make_shared<Node>();
    node->level = view.level;
    for (size_t i = 0; i < view.count; ++i) {
      const uint64_t start = view.start(i);
      if (view.ends[i] <= start)
        return Error{ErrorCode::kCorrupt,
                     "tree node " + child.ref.name.Hex() + " has an empty run"};
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
    if (items.size() <= max) {
      out.push_back(MakeChild(make(std::move(items))));
      return;
    }
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

  /// `child_refs` are those of an interior node's children.
  static std::vector<std::byte> EncodeNode(const Node& node,
                                           const std::vector<RecordRef>& child_refs) {
    size_t refs = 0;
    for (const Run& run : node.runs) refs += run.entry.ref_count();
    const size_t entry = node.level == 0 ? Entry::kSize : kChildSize;
    std::vector<std::byte> bytes(kNodeHeaderSize + node.count() * (8 + entry) +
                                 refs * kEncodedRefSize);
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
        std::memcpy(entries + i * entry, &child_refs[i], kEncodedRefSize);
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
    if (a.node && a.node == b.node) return true;
    const RecordRef *left = a.saved(), *right = b.saved();
    return left && right && *left == *right;
  }
};

}  // namespace zn
