#include "check/findings.h"

#include <algorithm>

namespace zn {

std::string_view FindingName(FindingClass finding) {
  switch (finding) {
    case FindingClass::kObjectHash:
      return "OBJ_HASH";
    case FindingClass::kObjectMissing:
      return "OBJ_MISSING";
    case FindingClass::kObjectTruncated:
      return "OBJ_TRUNC";
    case FindingClass::kObjectDecode:
      return "OBJ_DECODE";
    case FindingClass::kLogTorn:
      return "LOG_TORN";
    case FindingClass::kLogGap:
      return "LOG_GAP";
    case FindingClass::kIndexMismatch:
      return "IDX_MISMATCH";
    case FindingClass::kRefDangling:
      return "REF_DANGLING";
    case FindingClass::kTreeCount:
      return "TREE_COUNT";
    case FindingClass::kVersionCycle:
      return "VER_CYCLE";
    case FindingClass::kZarrMeta:
      return "ZARR_META";
    case FindingClass::kOrphan:
      return "ORPHAN";
    case FindingClass::kTmpStale:
      return "TMP_STALE";
    case FindingClass::kDuplicate:
      return "DUP_MISMATCH";
  }
  return "UNKNOWN";
}

}  // namespace zn

namespace zn::check {

void Findings::AddRecord(const DamagedRecord& record, Finding finding) {
  const std::lock_guard lock(mutex_);
  const Place place{record.ref.file, record.ref.offset};
  const auto at = records_.find(place);
  if (at == records_.end()) {
    records_.emplace(place, Found{record, std::move(finding)});
    return;
  }
  std::vector<Affected>& list = at->second.finding.affected;
  for (Affected& affected : finding.affected)
    if (list.size() < kMaxAffected) list.push_back(std::move(affected));
}

void Findings::SetForm(Place place, const Geometry& geometry, const BlockShape& shape) {
  const std::lock_guard lock(mutex_);
  const auto at = records_.find(place);
  if (at == records_.end() || at->second.record.geometry) return;
  at->second.record.geometry = geometry;
  at->second.record.shape = shape;
}

std::vector<DamagedRecord> Findings::damaged() const {
  const std::lock_guard lock(mutex_);
  std::vector<DamagedRecord> all;
  all.reserve(records_.size());
  for (const auto& [place, found] : records_) all.push_back(found.record);
  return all;
}

void Findings::Add(Finding finding) {
  const std::lock_guard lock(mutex_);
  others_.push_back(std::move(finding));
}

bool Findings::AddAffected(Place place, const Affected& affected) {
  const std::lock_guard lock(mutex_);
  const auto at = records_.find(place);
  if (at == records_.end()) return false;
  std::vector<Affected>& list = at->second.finding.affected;
  for (Affected& known : list) {
    if (known.room != affected.room || known.field != affected.field) continue;
    if (known.first < 0) return true;  // all of it already
    if (affected.first >= 0 && affected.first <= known.last + 1 &&
        affected.last >= known.first - 1) {
      known.first = std::min(known.first, affected.first);
      known.last = std::max(known.last, affected.last);
      return true;
    }
  }
  if (list.size() < kMaxAffected) list.push_back(affected);
  return true;
}

bool Findings::IsDamaged(Place place) const {
  const std::lock_guard lock(mutex_);
  return records_.count(place) != 0;
}

bool Findings::any_record() const {
  const std::lock_guard lock(mutex_);
  return !records_.empty();
}

bool Findings::AnyIn(uint32_t file) const {
  const std::lock_guard lock(mutex_);
  const auto at = records_.lower_bound({file, 0});
  return at != records_.end() && at->first.first == file;
}

void Findings::SetNeeded(const std::function<bool(Place)>& reached) {
  const std::lock_guard lock(mutex_);
  for (auto& [place, found] : records_) {
    if (!found.finding.affected.empty() || reached(place)) continue;
    found.record.needed = false;
    found.finding.note = true;
    found.finding.remedy = "nothing refers to it; the collection drops it";
  }
}

std::vector<Finding> Findings::Take() {
  const std::lock_guard lock(mutex_);
  std::vector<Finding> all = std::move(others_);
  for (auto& [place, found] : records_) all.push_back(std::move(found.finding));
  records_.clear();
  return all;
}

}  // namespace zn::check
