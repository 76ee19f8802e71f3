// The Zarr views that are in use: making one looks at every run of a room, so they are kept for a
// while.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "zn/engine/store.h"
#include "zn/engine/zarr_view.h"

namespace zn::server {

class ZarrViews {
 public:
  ZarrViews() : chunks_(std::make_shared<ZarrChunkCache>()) {}

  /// The view of a snapshot, made when there is none; whoever asks for the same one meanwhile
  /// waits.
  Result<std::shared_ptr<const ZarrView>> Get(const std::string& room, const Snapshot& snapshot,
                                              bool sharded);
  /// Of the room with this incarnation, at a commit; nullptr unless it is there already. Never
  /// waits for one being made.
  std::shared_ptr<const ZarrView> Find(uint64_t incarnation, const CommitId& commit, bool sharded);

  /// Lets go of views that nobody asked for between the last two calls, and of the commits that
  /// they pin.
  void Tidy();

 private:
  struct Entry {
    uint64_t incarnation = 0;
    CommitId commit;
    bool sharded = false;
    bool used = true;  // since the last Tidy
    std::mutex making;
    std::shared_ptr<const ZarrView> view;  // guarded by mutex_, set under making
  };
  std::shared_ptr<Entry> Touch(uint64_t incarnation, const CommitId& commit, bool sharded,
                               bool add);

  static constexpr size_t kMaxViews = 64;
  const std::shared_ptr<ZarrChunkCache> chunks_;
  std::mutex mutex_;
  std::list<std::shared_ptr<Entry>> entries_;  // guarded by mutex_; newest first
};

}  // namespace zn::server
