// When rooms fold their operations into trees.
#pragma once

#include <cstddef>
#include <cstdint>

namespace zn::internal {

struct FoldPolicy {
  /// After so many operations since the newest root a fold begins, which goes along with the
  /// commits that follow.
  uint32_t after = 1024;
  /// Nodes written for each operation of a commit while a fold is under way. An operation changes a
  /// leaf and its parents, of which others change some, too: with four a fold ends before half as
  /// many operations as it began after have come.
  size_t nodes_per_op = 4;
  /// Operations since the newest root beyond which a commit folds all of them at once.
  uint32_t most_ops = 4096;
};

}  // namespace zn::internal
