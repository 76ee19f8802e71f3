// KeyTree: a persistent B+ tree from byte keys to byte values, for control records. docs/format.md, "Key tree nodes".
//
// As RunTree it is a value: copying copies a root, a change gives a new tree that shares every node it did not touch.
// Nodes that were never written are in memory; Save writes them, and from then on they are read in place from the mapped
// log. A value of more than kMaxInlineValue bytes is a record of its own, which the leaf refers to.
//
// Nodes are cut by bytes, not by count: an encoded node has at most about kMaxNodeBytes, unless one entry is larger.
// Const members may be called from any thread at once.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tree/node.h"

namespace zn {

class KeyTree {
 public:
  static constexpr size_t kMaxNodeBytes = 4096;
  static constexpr size_t kMaxInlineValue = 512;

  struct Entry {
    std::string key;
    std::string value;  // when `ref` is null
    RecordRef ref;      // of the record that holds the value
  };

  KeyTree() = default;
  /// A tree that was saved before; `level` comes from where the reference was kept. A null reference is the empty tree.
  KeyTree(const RecordRef& root, uint8_t level) {
    if (root) root_ = Child{{}, level, root, nullptr};
  }

  bool empty() const { return !root_.ref && !root_.node; }
  uint8_t level() const { return root_.level; }
  /// Null until Save, and for the empty tree.
  const RecordRef& root_ref() const { return root_.ref; }

  Result<std::optional<Entry>> Find(const NodeSource& source, std::string_view key) const;
  /// Adds the entry or replaces the one with its key.
  Result<KeyTree> Put(const NodeSource& source, Entry entry) const;
  /// The same tree when there is no such key.
  Result<KeyTree> Erase(const NodeSource& source, std::string_view key) const;

  /// Calls visit(entry) -> bool (false: stop) for begin <= key < end in ascending order; an empty `end` is no bound.
  using Visit = std::function<bool(const Entry&)>;
  Result<> ForEach(const NodeSource& source, std::string_view begin, std::string_view end, const Visit& visit) const;
  /// The entry with the greatest key below `end`.
  Result<std::optional<Entry>> LastBefore(const NodeSource& source, std::string_view end) const;

  /// Writes every node that has no reference yet, children before parents, and returns the tree with references.
  Result<KeyTree> Save(NodeSink& sink) const;

  /// Every reference of this tree's saved nodes, depth first: visit(ref, level) -> bool (false: do not descend).
  Result<> ForEachNode(const NodeSource& source, const std::function<bool(const RecordRef&, uint8_t)>& visit) const;
  /// Checks every node's invariants (for tests and zn-fsck): order of keys across nodes, levels, sizes.
  Result<> Validate(const NodeSource& source) const;

 private:
  struct Node;
  struct Child {
    std::string low;  // no key below is smaller; "" for the first of a node
    uint8_t level = 0;
    RecordRef ref;                     // null while unsaved
    std::shared_ptr<const Node> node;  // in memory; may be null once saved
  };
  struct Node {
    uint8_t level = 0;
    std::vector<Child> children;                        // interior
    std::vector<std::shared_ptr<const Entry>> entries;  // leaf
  };

  class Reader;  // a node, in memory or in place

  static std::vector<std::byte> Encode(const Node& node);
  static size_t SizeOf(const Entry& entry);
  static size_t SizeOf(const Child& child);
  static size_t SizeOf(const Node& node);
  static Result<std::shared_ptr<const Node>> Load(const NodeSource& source, const Child& child);

  static void Cut(Node node, bool grows_at_end, std::string low, std::vector<Child>& out);
  static Result<std::vector<Child>> Change(const NodeSource& source, const Child& child, std::string_view key,
                                           std::shared_ptr<const Entry> entry);
  static Result<> Join(const NodeSource& source, std::vector<Child>& children, size_t at);
  static Result<std::optional<Entry>> LastIn(const NodeSource& source, const Child& child, std::string_view end);
  static Result<bool> Walk(const NodeSource& source, const Child& child, std::string_view begin, std::string_view end,
                           const Visit& visit);
  static Result<> SaveChild(NodeSink& sink, Child& child);
  static Result<> VisitNodes(const NodeSource& source, const Child& child,
                             const std::function<bool(const RecordRef&, uint8_t)>& visit);
  static Result<> ValidateChild(const NodeSource& source, const Child& child, std::optional<std::string_view> high);
  static Result<KeyTree> WithRoot(const NodeSource& source, std::vector<Child> children);

  Child root_;
};

}  // namespace zn
