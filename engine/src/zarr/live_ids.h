// The frame ids that a room has now, and what its trees say about them.
#pragma once

#include <algorithm>
#include <vector>

#include "room/state.h"
#include "room/store_core.h"

namespace zn::internal {

/// Ids [first, first + span).
struct IdRun {
  uint64_t first = 0, span = 0;
};

/// All of them, ascending, neighbours joined: however the frames are shuffled, there are only as
/// many runs as gaps.
inline Result<std::vector<IdRun>> LiveIds(const StoreCore& core, const RoomState& state) {
  std::vector<IdRun> runs;
  ZN_RETURN_IF_ERROR(state.order.ForEach(
      core, 0, state.order.span(), [&](uint64_t, uint64_t span, const OrderEntry& entry) {
        runs.push_back({static_cast<uint64_t>(entry.first), span});
        return true;
      }));
  std::sort(runs.begin(), runs.end(),
            [](const IdRun& a, const IdRun& b) { return a.first < b.first; });
  size_t kept = 0;
  for (const IdRun& run : runs) {
    if (kept > 0 && runs[kept - 1].first + runs[kept - 1].span == run.first) {
      runs[kept - 1].span += run.span;
    } else {
      runs[kept++] = run;
    }
  }
  runs.resize(kept);
  return runs;
}

/// visit(first id, span, entry) for every stretch of live frames that have the field; visit returns
/// Result<>.
template <class Visit>
Result<> ForEachPresent(const StoreCore& core, const FieldTree& rows,
                        const std::vector<IdRun>& live, Visit&& visit) {
  Result<> inner;
  for (const IdRun& run : live) {
    ZN_RETURN_IF_ERROR(rows.ForEach(core, run.first, run.first + run.span,
                                    [&](uint64_t first, uint64_t span, const FieldEntry& entry) {
                                      if (entry.present()) inner = visit(first, span, entry);
                                      return inner.has_value();
                                    }));
    if (!inner) return inner;
  }
  return {};
}

}  // namespace zn::internal
