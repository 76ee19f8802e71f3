// Which frames a request means: the grammar of `indices` and `atoms`.
//
//   list  = item *("," item) | ""          (empty: nothing)
//   item  = index | [int] ":" [int] [":" [int]]
//
// As in Python: negative values count from the end, slices clip, a step may be negative; order and
// duplicates are kept.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/problem.h"
#include "zn/engine/snapshot.h"

namespace zn::server {

/// Positions begin, begin + step, ..., `count` of them, all valid.
struct Run {
  int64_t begin = 0, count = 0, step = 1;
  int64_t at(int64_t k) const { return begin + k * step; }
  friend bool operator==(const Run&, const Run&) = default;
};

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

/// 400 for what is not in the grammar, 404 for a single index beyond the frames.
Answer<Selection> ParseSelection(std::string_view text, int64_t frames);
/// The same from numbers: single indices.
Answer<Selection> SelectIndices(const std::vector<int64_t>& indices, int64_t frames);

/// One index, negative ones from the end; 400 or 404.
Answer<int64_t> ParseIndex(std::string_view text, int64_t frames);

/// Which atoms of each frame: a Python slice with a positive step, resolved against each frame's
/// own count.
struct AtomSlice {
  int64_t begin = 0, end = INT64_MAX,
          step = 1;  // negative begin and end count from the frame's last atom
  bool all() const { return begin == 0 && end == INT64_MAX && step == 1; }
  /// Only such a slice is the engine's AtomRange.
  bool absolute() const { return begin >= 0 && end >= 0; }
  /// Within a frame of n atoms.
  AtomRange In(int64_t n) const;
};
Answer<AtomSlice> ParseAtoms(std::string_view text);

/// The ids at positions [first, first + count) of the selection.
Result<std::vector<FrameId>> SelectedIds(const Snapshot& snapshot, const Selection& selection,
                                         int64_t first, int64_t count);

}  // namespace zn::server
