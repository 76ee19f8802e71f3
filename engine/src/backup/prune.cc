#include "backup/prune.h"

#include <algorithm>

#include "backup/keep_rules.h"
#include "backup/object_writer.h"
#include "backup/usage.h"

namespace zn::backup {
namespace {

class Pruning {
 public:
  Pruning(Repository& repository, const PruneOptions& options, const BackupControl& control)
      : repository_(repository), options_(options), control_(control) {}

  Result<Pruned> Run() {
    ZN_RETURN_IF_ERROR(repository_.LoadIndex([&](const Error& error) {
      if (control_.warning) control_.warning(error.message);
    }));
    ZN_RETURN_IF_ERROR(Choose());
    Usage usage(repository_);
    std::optional<Error> bad;
    for (const SnapshotDocument& snapshot : pruned_.kept)
      usage.Mark(snapshot, [&](const Error& error) {
        if (!bad) bad = error;
      });
    if (bad) return std::move(*bad).Context("nothing was pruned, run zn-backup verify");
    Sort(usage);
    if (options_.dry_run) return std::move(pruned_);

    std::vector<RandomId> forgotten;
    for (const SnapshotDocument& snapshot : pruned_.removed) forgotten.push_back(snapshot.id);
    if (!forgotten.empty()) ZN_RETURN_IF_ERROR(repository_.RemoveSnapshots(forgotten));
    ZN_ASSIGN_OR_RETURN(auto tables, Rewrite(usage));
    ZN_ASSIGN_OR_RETURN(const auto old_indexes, repository_.ListIndexes());
    if (going_.empty() && old_indexes.size() <= 1 && repository_.unindexed().empty()) {
      ZN_RETURN_IF_ERROR(RemoveTemporaries());
      return std::move(pruned_);
    }
    for (uint32_t b = 0; b < usage.index().bundles().size(); ++b)
      if (!goes_[b]) tables.push_back(std::move(by_bundle_[b]));
    ZN_RETURN_IF_ERROR(repository_.WriteIndex(tables));
    for (const RandomId& id : old_indexes) ZN_RETURN_IF_ERROR(repository_.RemoveIndex(id));
    ZN_RETURN_IF_ERROR(SyncDirectory(repository_.directory() + "/index"));
    for (const uint32_t b : going_)
      ZN_RETURN_IF_ERROR(RemoveFile(repository_.PathOf(usage.index().bundles()[b].id)));
    ZN_RETURN_IF_ERROR(RemoveTemporaries());
    return std::move(pruned_);
  }

 private:
  Result<> Choose() {
    // One that cannot be read may need anything.
    auto snapshots = repository_.Snapshots();
    if (!snapshots)
      return std::move(snapshots).error().Context(
          "nothing was pruned, as a snapshot cannot be read (remove its file to give it up)");
    const std::vector<bool> kept = ChooseKept(*snapshots, options_.keep);
    for (size_t i = 0; i < snapshots->size(); ++i)
      (kept[i] ? pruned_.kept : pruned_.removed).push_back(std::move((*snapshots)[i]));
    return {};
  }

  /// Which bundles stay, go, or are written anew.
  void Sort(const Usage& usage) {
    const ObjectIndex& index = usage.index();
    const size_t bundles = index.bundles().size();
    by_bundle_.resize(bundles);
    goes_.resize(bundles);
    std::vector<uint64_t> used(bundles);
    for (size_t b = 0; b < bundles; ++b) {
      by_bundle_[b].id = index.bundles()[b].id;
      by_bundle_[b].size = index.bundles()[b].size;
    }
    for (size_t i = 0; i < index.places().size(); ++i) {
      const ObjectIndex::Place& place = index.places()[i];
      by_bundle_[place.bundle].entries.push_back({place.id, place.offset, place.length});
      if (usage.used(i)) used[place.bundle] += place.length + kBundleEntrySize;
    }
    PruneSummary& summary = pruned_.summary;
    for (uint32_t b = 0; b < bundles; ++b) {
      const uint64_t size = index.bundles()[b].size;
      const uint64_t unused = size - std::min(size, used[b]);
      goes_[b] = used[b] == 0 || static_cast<double>(unused) >
                                     options_.max_unused * static_cast<double>(size) + 4096;
      if (!goes_[b]) {
        summary.bytes += size;
        continue;
      }
      going_.push_back(b);
      ++summary.bundles_removed;
      if (used[b] > 0) ++summary.bundles_rewritten;
      summary.freed_bytes += unused;
      summary.bytes += used[b];
    }
  }

  Result<std::vector<BundleTable>> Rewrite(const Usage& usage) {
    const ObjectIndex& index = usage.index();
    std::vector<const ObjectIndex::Place*> places;
    for (size_t i = 0; i < index.places().size(); ++i)
      if (usage.used(i) && goes_[index.places()[i].bundle]) places.push_back(&index.places()[i]);
    std::sort(places.begin(), places.end(), [](const auto* a, const auto* b) {
      return std::tie(a->bundle, a->offset) < std::tie(b->bundle, b->offset);
    });
    ObjectWriter writer(repository_);
    for (size_t i = 0; i < places.size(); ++i) {
      if (control_.cancel != nullptr && *control_.cancel)
        return Error{ErrorCode::kCancelled,
                     "stopped; the repository is whole, and the next prune goes on"};
      ZN_ASSIGN_OR_RETURN(const auto bytes, repository_.ReadPlace(index, *places[i]));
      ZN_RETURN_IF_ERROR(writer.PutAgain(places[i]->id, bytes));
      if (control_.progress) control_.progress({"writing anew", i + 1, places.size()});
    }
    return writer.Seal();
  }

  /// What processes that were killed left behind. Nobody else is at work.
  Result<> RemoveTemporaries() {
    for (const std::string folder : {"tmp", "locks", "index", "snapshots"}) {
      const std::string path = repository_.directory() + "/" + folder;
      ZN_ASSIGN_OR_RETURN(const auto names, ListDirectory(path));
      for (const std::string& name : names)
        if (folder == "tmp" || name.find(".tmp") != std::string::npos)
          ZN_RETURN_IF_ERROR(RemoveFile(path + "/" + name));
    }
    return {};
  }

  Repository& repository_;
  const PruneOptions& options_;
  const BackupControl& control_;
  Pruned pruned_;
  std::vector<BundleTable> by_bundle_;  // as the index has them
  std::vector<bool> goes_;              // by bundle
  std::vector<uint32_t> going_;
};

}  // namespace

Result<Pruned> PruneRepository(Repository& repository, const PruneOptions& options,
                               const BackupControl& control) {
  return Pruning(repository, options, control).Run();
}

}  // namespace zn::backup
