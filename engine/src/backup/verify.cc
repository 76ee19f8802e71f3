#include "backup/verify.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "backup/pipeline.h"
#include "backup/usage.h"
#include "base/hash.h"
#include "base/rate_limit.h"

namespace zn::backup {
namespace {

class Verification {
 public:
  Verification(Repository& repository, const BackupVerifyOptions& options,
               const BackupControl& control)
      : repository_(repository),
        options_(options),
        control_(control),
        rate_(control.bytes_per_second) {}

  Result<BackupVerifySummary> Run() {
    ZN_RETURN_IF_ERROR(repository_.LoadIndex([&](const Error& error) { Problem(error); }));
    ZN_ASSIGN_OR_RETURN(
        const auto snapshots,
        repository_.Snapshots([&](const RandomId&, const Error& error) { Problem(error); }));
    summary_.snapshots = snapshots.size();
    Usage usage(repository_);
    const ObjectIndex& index = usage.index();
    summary_.bundles = index.bundles().size();
    summary_.objects = index.places().size();
    for (size_t i = 0; i < snapshots.size(); ++i) {
      ZN_RETURN_IF_ERROR(Step("snapshots", i, snapshots.size()));
      usage.Mark(snapshots[i], [&](const Error& error) { Problem(error); });
    }
    summary_.lists = usage.lists();
    for (size_t i = 0; i < index.places().size(); ++i)
      if (!usage.used(i)) summary_.unused_bytes += index.places()[i].length;
    ZN_RETURN_IF_ERROR(Tables(index));
    if (options_.read_data) ZN_RETURN_IF_ERROR(Data(index));
    return summary_;
  }

 private:
  void Problem(const Error& error) {
    const std::lock_guard lock(mutex_);
    ++summary_.problems;
    if (control_.warning) control_.warning(error.message);
  }
  Result<> Step(std::string_view stage, uint64_t done, uint64_t total) {
    if (control_.cancel != nullptr && *control_.cancel)
      return Error{ErrorCode::kCancelled, "stopped"};
    if (control_.progress) control_.progress({stage, done, total});
    return {};
  }

  /// Every bundle is there, as long as the index says, and says the same of itself.
  Result<> Tables(const ObjectIndex& index) {
    for (const ObjectIndex::Bundle& bundle : index.bundles()) {
      ZN_RETURN_IF_ERROR(Step("bundles", static_cast<uint64_t>(&bundle - index.bundles().data()),
                              index.bundles().size()));
      const auto check = [&]() -> Result<> {
        ZN_ASSIGN_OR_RETURN(const File file,
                            File::Open(repository_.PathOf(bundle.id), File::kRead));
        ZN_ASSIGN_OR_RETURN(const BundleTable table,
                            ReadBundleTable(file, bundle.id, repository_.master()));
        if (table.size != bundle.size || table.entries.size() != bundle.objects)
          return Error{ErrorCode::kCorrupt, "its table is not what the index says"};
        return {};
      };
      if (auto checked = check(); !checked)
        Problem(std::move(checked).error().Context(BundlePath(bundle.id)));
    }
    return {};
  }

  bool InSubset(const RandomId& bundle) const {
    uint32_t word;
    std::memcpy(&word, bundle.bytes.data(), sizeof word);
    return word % options_.subset_of == options_.subset_part - 1;
  }

  Result<> Data(const ObjectIndex& index) {
    std::vector<std::vector<ObjectIndex::Place>> by_bundle(index.bundles().size());
    uint64_t total = 0, done = 0;
    for (const ObjectIndex::Place& place : index.places()) {
      if (!InSubset(index.bundles()[place.bundle].id)) continue;
      by_bundle[place.bundle].push_back(place);
      total += place.length;
    }
    Pipeline pipeline(control_.threads);
    for (size_t b = 0; b < by_bundle.size(); ++b) {
      auto& places = by_bundle[b];
      if (!InSubset(index.bundles()[b].id)) continue;
      std::sort(places.begin(), places.end(),
                [](const auto& x, const auto& y) { return x.offset < y.offset; });
      ++summary_.bundles_read;
      uint64_t bytes = 0, largest = 0;
      for (const ObjectIndex::Place& place : places) {
        bytes += place.length;
        largest = std::max<uint64_t>(largest, place.length);
      }
      // Held by value: after an error tasks may outlive this loop, but not the pipeline.
      auto read = [this, &index, places = std::move(places)]() -> Result<> {
        for (const ObjectIndex::Place& place : places) {
          if (control_.cancel != nullptr && *control_.cancel) return {};
          rate_.Take(place.length);
          auto content = repository_.ReadPlace(index, place);
          if (!content) {
            Problem(content.error());
          } else if (repository_.encrypted() &&
                     repository_.NameOf(HashSha256(*content)) != place.id) {
            Problem({ErrorCode::kCorrupt, BundlePath(index.bundles()[place.bundle].id) +
                                              " at offset " + std::to_string(place.offset) +
                                              ": an object is not what its name stands for"});
          }
        }
        return {};
      };
      ZN_RETURN_IF_ERROR(pipeline.Submit(static_cast<int64_t>(2 * largest), std::move(read)));
      summary_.bytes_read += bytes;
      done += bytes;
      ZN_RETURN_IF_ERROR(Step("reading", done, total));
    }
    return pipeline.Drain();
  }

  Repository& repository_;
  const BackupVerifyOptions& options_;
  const BackupControl& control_;
  RateLimit rate_;
  std::mutex mutex_;
  BackupVerifySummary summary_;  // problems: guarded by mutex_
};

}  // namespace

Result<BackupVerifySummary> VerifyRepository(Repository& repository,
                                             const BackupVerifyOptions& options,
                                             const BackupControl& control) {
  return Verification(repository, options, control).Run();
}

}  // namespace zn::backup
