// What a check has found so far, gathered by object, so that the same damage met on several ways is
// told once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "log/record.h"
#include "zn/engine/check.h"

namespace zn::check {

/// Where a record's payload lies: file as in references, and offset.
using Place = std::pair<uint32_t, uint64_t>;

/// Thread-safe.
class Findings {
 public:
  /// Of a record; further findings about the same place only add what is affected.
  void AddRecord(Place place, Finding finding);
  void Add(Finding finding);
  /// Another room, field or range of frames that the damaged record takes with it; false when
  /// nothing was found there.
  bool AddAffected(Place place, const Affected& affected);
  bool IsDamaged(Place place) const;
  bool any_record() const;

  /// `reached` tells whether anything refers to a place: damage of what nobody refers to is a note.
  std::vector<Finding> Take(const std::function<bool(Place)>& reached);

 private:
  static constexpr size_t kMaxAffected = 64;  // of one finding
  mutable std::mutex mutex_;
  std::map<Place, Finding> records_;  // guarded by mutex_
  std::vector<Finding> others_;       // guarded by mutex_
};

}  // namespace zn::check
