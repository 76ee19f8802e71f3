// Which ids differ between two field trees, run by run.
#pragma once

#include <algorithm>
#include <vector>

#include "tree/run_tree.h"

namespace zn {

/// Calls visit(first, span, before, after) for each maximal stretch of ids whose rows differ: `before` and `after` are
/// the entries of its first id. Ids beyond a tree's end are absent. Shared nodes are skipped unread.
template <class Visit>
Result<> DiffRows(const NodeSource& source, const FieldTree& before, const FieldTree& after, Visit&& visit) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  ZN_RETURN_IF_ERROR(
      FieldTree::Diff(source, before, after, [&](uint64_t b, uint64_t e) { ranges.emplace_back(b, e); }));
  struct Stretch {
    uint64_t start, span;
    FieldEntry entry;
  };
  for (const auto& [begin, end] : ranges) {
    const auto collect = [&, from = begin, to = end](const FieldTree& tree) -> Result<std::vector<Stretch>> {
      std::vector<Stretch> runs;
      ZN_RETURN_IF_ERROR(tree.ForEach(source, from, to, [&](uint64_t start, uint64_t span, const FieldEntry& entry) {
        runs.push_back({start, span, entry});
        return true;
      }));
      const uint64_t covered = runs.empty() ? from : runs.back().start + runs.back().span;
      if (covered < to) runs.push_back({covered, to - covered, FieldEntry::Absent()});
      return runs;
    };
    ZN_ASSIGN_OR_RETURN(const auto a, collect(before));
    ZN_ASSIGN_OR_RETURN(const auto b, collect(after));
    uint64_t at = begin;
    for (size_t i = 0, j = 0; at < end;) {
      const uint64_t stop = std::min(a[i].start + a[i].span, b[j].start + b[j].span);
      const FieldEntry x = a[i].entry.SliceFrom(at - a[i].start);
      const FieldEntry y = b[j].entry.SliceFrom(at - b[j].start);
      if (!x.SameRow(y)) visit(at, stop - at, x, y);
      at = stop;
      if (a[i].start + a[i].span == stop) ++i;
      if (b[j].start + b[j].span == stop) ++j;
    }
  }
  return {};
}

}  // namespace zn
