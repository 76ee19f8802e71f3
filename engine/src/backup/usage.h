// Which objects snapshots need.
#pragma once

#include <functional>
#include <memory>
#include <unordered_set>
#include <vector>

#include "backup/repository.h"

namespace zn::backup {

class Usage {
 public:
  /// Of the index as it is loaded now.
  explicit Usage(const Repository& repository)
      : repository_(repository), index_(repository.index()), used_(index_->places().size()) {}

  /// Marks the snapshot's lists and all objects in them. `problem` is told what is missing or
  /// damaged; what was marked for an earlier snapshot is not looked at again.
  void Mark(const SnapshotDocument& snapshot, const std::function<void(const Error&)>& problem);

  const ObjectIndex& index() const { return *index_; }
  /// By number in index().places().
  bool used(size_t place) const { return used_[place] != 0; }
  uint64_t lists() const { return lists_.size(); }

 private:
  bool MarkObject(const Sha256& content, uint64_t length,
                  const std::function<void(const Error&)>& problem);

  const Repository& repository_;
  const std::shared_ptr<const ObjectIndex> index_;
  std::vector<uint8_t> used_;
  std::unordered_set<ObjectId, HashObjectId> lists_;  // that were looked at
};

}  // namespace zn::backup
