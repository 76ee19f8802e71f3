// What a check has found so far, gathered by object, so that the same damage met on several ways is
// told once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chunk/chunk_io.h"
#include "log/record.h"
#include "zn/engine/check.h"

namespace zn::check {

/// Where a record's payload lies: file as in references, and offset.
using Place = std::pair<uint32_t, uint64_t>;

/// A record that cannot be read, for whoever mends it.
struct DamagedRecord {
  RecordRef ref;  // where it lies, moves followed
  RecordType type = RecordType::kChunk;
  bool senseless = false;  // its bytes are those it is named by: another copy would not help
  bool lost = false;       // and marked so
  bool needed = true;      // something refers to it
  /// Of a chunk that something refers to: how it is encoded.
  std::optional<Geometry> geometry;
  BlockShape shape;
};

/// Thread-safe.
class Findings {
 public:
  /// Of a record; further findings about the same place only add what is affected.
  void AddRecord(const DamagedRecord& record, Finding finding);
  /// What a damaged chunk is, when it is met by whoever refers to it.
  void SetForm(Place place, const Geometry& geometry, const BlockShape& shape);
  std::vector<DamagedRecord> damaged() const;
  void Add(Finding finding);
  /// Another room, field or range of frames that the damaged record takes with it; false when
  /// nothing was found there.
  bool AddAffected(Place place, const Affected& affected);
  bool IsDamaged(Place place) const;
  bool any_record() const;
  /// Of a file, by its number as in references.
  bool AnyIn(uint32_t file) const;

  /// `reached` tells whether anything refers to a place: damage of what nobody refers to is a note.
  void SetNeeded(const std::function<bool(Place)>& reached);
  std::vector<Finding> Take();

 private:
  static constexpr size_t kMaxAffected = 64;  // of one finding
  mutable std::mutex mutex_;
  struct Found {
    DamagedRecord record;
    Finding finding;
  };
  std::map<Place, Found> records_;  // guarded by mutex_
  std::vector<Finding> others_;     // guarded by mutex_
};

}  // namespace zn::check
