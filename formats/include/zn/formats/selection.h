// Which frames a text means: the grammar of `indices`, the same for the API and the tools.
//
//   list  = item *("," item) | ""          (empty: nothing)
//   item  = index | [int] ":" [int] [":" [int]]
//
// As in Python: negative values count from the end, slices clip, a step may be negative; order and
// duplicates are kept.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "zn/engine/snapshot.h"

namespace zn::formats {

using Run = PositionRun;

class Selection {
 public:
  static Selection All(int64_t frames);
  void Add(Run run);  // joins runs that continue each other

  int64_t size() const { return size_; }
  const std::vector<Run>& runs() const { return runs_; }
  /// Positions [first, first + count) of the selection, as runs.
  std::vector<Run> Window(int64_t first, int64_t count) const;
  /// The k-th position.
  int64_t at(int64_t k) const;

 private:
  std::vector<Run> runs_;
  std::vector<int64_t> starts_;  // of each run within the selection
  int64_t size_ = 0;
};

/// kInvalidArgument for what is not in the grammar, kOutOfRange for a single index beyond the
/// frames.
Result<Selection> ParseSelection(std::string_view text, int64_t frames);
/// The same from numbers: single indices.
Result<Selection> SelectIndices(const std::vector<int64_t>& indices, int64_t frames);
/// One index, negative ones from the end.
Result<int64_t> ParseIndex(std::string_view text, int64_t frames);
/// An optional minus and at most 17 digits, nothing else.
bool ParseInteger(std::string_view text, int64_t* value);

/// The ids at positions [first, first + count) of the selection.
Result<std::vector<FrameId>> SelectedIds(const Snapshot& snapshot, const Selection& selection,
                                         int64_t first, int64_t count);

}  // namespace zn::formats
