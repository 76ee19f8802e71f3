// Which frames and atoms a request means. The grammar of `indices` is zn/formats/selection.h's;
// here its errors become problems.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "http/problem.h"
#include "zn/formats/selection.h"

namespace zn::server {

using formats::Run;
using formats::SelectedIds;
using formats::Selection;

/// 400 for what is not in the grammar, 404 (with the room's frame count) for a single index beyond
/// the frames.
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

}  // namespace zn::server
