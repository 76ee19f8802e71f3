#include "zn/engine/check.h"

#include <algorithm>

#include "check/check_image.h"
#include "check/findings.h"
#include "check/reach.h"
#include "check/scan.h"
#include "check/store_image.h"

namespace zn {

using check::CheckRun;
using check::FileImage;
using check::Findings;
using check::Reach;
using check::LogEnd;
using check::Scan;
using check::StoreImage;

namespace {

/// Bytes of packs that no room leads to. The log's own dead records are its nature, not a finding.
void CountOrphans(CheckRun& run) {
  for (auto& [number, file] : run.image.files()) {
    if (number & RecordRef::kLogBit) continue;
    int64_t records = 0, bytes = 0;
    uint64_t at = kPackHeaderSize;
    while (at + kRecordHeaderSize <= file.size) {
      const auto header = run.image.HeaderAt(file, at);
      if (!header || header->length > file.size) break;
      const uint64_t size = PackRecordSize(header->length);
      if (!file.reached.Has(at + PackRecordHeadSize(header->length))) {
        ++records;
        bytes += static_cast<int64_t>(size);
      }
      at += size;
    }
    run.summary.orphan_records += records;
    run.summary.orphan_bytes += bytes;
    if (records > 0)
      run.findings.Add({FindingClass::kOrphan,
                        true,
                        file.name,
                        std::to_string(records) + " records of " + std::to_string(bytes) +
                            " bytes that nothing refers to",
                        "the collection gives the space back",
                        {}});
  }
}

}  // namespace

namespace check {

Result<Checked> CheckImage(StoreImage& image, const CheckOptions& options,
                           const std::function<void(const CheckProgress&)>& progress) {
  ThreadPool pool(options.threads);
  Findings findings;
  Checked checked;
  CheckRun run{image, options, findings, checked.summary, pool, progress};
  Scan scan(run);
  ZN_ASSIGN_OR_RETURN(const LogEnd end, scan.Logs());
  ZN_RETURN_IF_ERROR(scan.Packs());
  scan.Leftovers();
  Reach reach(run);
  ZN_RETURN_IF_ERROR(reach.Follow(end));
  reach.FindAffected(end);
  CountOrphans(run);
  if (run.cancelled()) return Error{ErrorCode::kCancelled, "stopped"};
  findings.SetNeeded([&](Place place) {
    const FileImage* file = image.Find(place.first);
    return file == nullptr || file->reached.Has(place.second);
  });
  checked.damaged = findings.damaged();
  checked.findings = findings.Take();
  for (const Finding& finding : checked.findings)
    ++(finding.note ? checked.summary.notes : checked.summary.findings);
  return checked;
}

}  // namespace check

Result<CheckSummary> CheckStore(const std::string& directory, const CheckOptions& options,
                                const std::function<void(const Finding&)>& report,
                                const std::function<void(const CheckProgress&)>& progress) {
  ZN_ASSIGN_OR_RETURN(const auto image, StoreImage::Open(directory));
  ZN_ASSIGN_OR_RETURN(const check::Checked checked, check::CheckImage(*image, options, progress));
  for (const Finding& finding : checked.findings) report(finding);
  return checked.summary;
}

}  // namespace zn
