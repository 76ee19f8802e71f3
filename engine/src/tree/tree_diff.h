// Where two RunTrees differ. Private to the tree.
#pragma once

#include <utility>
#include <vector>

#include "tree/tree_nodes.h"

namespace zn {

template <class Entry>
struct TreeDiff {
  using Nodes = TreeNodes<Entry>;
  using Child = typename Nodes::Child;
  using Node = typename Nodes::Node;
  struct Leaf {
    uint64_t start;
    Child child;
  };

  /// Descends both trees side by side and keeps the leaves that do not stand in the other at the
  /// same position.
  static Result<> CollectUnshared(const NodeSource& source, const Child& a, const Child& b,
                                  std::vector<Leaf>& left, std::vector<Leaf>& right) {
    std::vector<Leaf> open_a, open_b;
    if (a.span > 0) open_a.push_back({0, a});
    if (b.span > 0) open_b.push_back({0, b});
    const auto level_of = [](const std::vector<Leaf>& open) {
      return open.empty() ? -1 : static_cast<int>(open.front().child.level);
    };
    const auto expand = [&](std::vector<Leaf>& open) -> Result<> {
      std::vector<Leaf> below;
      for (const Leaf& item : open) {
        ZN_ASSIGN_OR_RETURN(const auto node, Nodes::Load(source, item.child));
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
            if (!Nodes::Same(open_a[i].child, open_b[j].child)) {
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
};

}  // namespace zn
