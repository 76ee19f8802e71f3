// The second pass of a check: everything that a living room leads to, each record once.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "check/scan.h"
#include "codec/pipeline_cache.h"
#include "room/records.h"
#include "room/state.h"
#include "tree/entries.h"

namespace zn::check {

class Reach {
 public:
  explicit Reach(CheckRun& run) : run_(run) {}

  /// Follows every room: its model, its commits back to the oldest that is kept, their roots, trees,
  /// versions and chunks; and the control records.
  Result<> Follow(const LogEnd& end);
  /// Tells for each damaged record which rooms, fields and frames of today need it. Only when there
  /// are any.
  void FindAffected(const LogEnd& end);

 private:
  /// Where the walk is, for messages.
  struct Where {
    const std::string* room;
    std::string field;
    const FieldDescriptor* descriptor = nullptr;
    FrameId first = -1, last = -1;
    Affected affected() const { return {*room, field, first, last}; }
  };
  using Descriptors = std::vector<FieldDescriptor>;

  void Room(const RefRecord& ref);
  void Commits(const std::string& room, RecordRef commit, uint64_t oldest);
  /// The oldest commit that a room keeps: its content, and nothing of what came before it.
  void Floor(const std::string& room, const internal::RoomState& floor);
  void Records(const RecordsAt& records);
  /// Of the room as of the commit; as many as can be found where something is damaged.
  Descriptors DescriptorsOf(const RecordRef& commit, const RecordRef& root);
  void Root(const std::string& room, const RecordRef& ref, Descriptors* fields);
  void Operation(const std::string& room, const Op& op, Descriptors* fields);
  void Versions(const std::string& room, RecordRef record, FrameId id, uint32_t version,
                const Descriptors& fields);
  template <class Entry, class Visit>
  void Tree(const TreeRef& tree, const Where& where, Visit&& visit);
  template <class Entry, class Visit>
  void Node(const RecordRef& ref, int level, uint64_t span, uint64_t base, Where where,
            Visit& visit);
  void Row(const FieldEntry& entry, uint64_t span, const Where& where);
  void Chunk(const RecordRef& ref, const FieldEntry& entry, const Geometry& geometry, size_t block,
             const Where& where);
  void CheckDescriptor(const std::string& room, const FieldDescriptor& field);

  Place PlaceOf(const RecordRef& ref) const {
    const RecordRef now = run_.image.Now(ref);
    return {now.file, now.offset};
  }
  /// The payload of a record that is met for the first time; nullopt (told) when it is damaged.
  std::optional<std::vector<std::byte>> Read(RecordType type, const RecordRef& ref,
                                             const Affected& affected);
  void Damaged(RecordType type, const RecordRef& ref, const RecordFault& fault,
               const Affected& affected);
  void Senseless(FindingClass kind, RecordType type, const RecordRef& ref,
                 std::string message, const Affected& affected);

  struct DecodeJob {
    RecordRef ref;
    Geometry geometry;
    Shape shape;  // as encoded
    Affected affected;
  };
  void Decode(const DecodeJob& job);
  void FlushDecodes();

  CheckRun& run_;
  PipelineCache pipelines_;
  const internal::RoomState* floor_ = nullptr;  // of the room at hand, if it keeps not everything
  std::vector<DecodeJob> decodes_;
  int64_t decode_bytes_ = 0;
  bool fields_known_ = true;  // of the room: else an operation that defines one cannot be read
};

}  // namespace zn::check
