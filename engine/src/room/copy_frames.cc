// Frames taken over from another state by reference: their fields' runs under new ids, pointing to the same chunks.

#include <algorithm>
#include <map>

#include "room/room_impl.h"
#include "zn/engine/dtype_convert.h"

namespace zn::internal {
namespace {

/// Ids that ascend by 1, and the new frame that the first of them becomes.
struct IdRun {
  FrameId first = 0;
  uint64_t span = 0;
  int64_t to = 0;
};

std::vector<IdRun> RunsOf(std::span<const FrameId> ids) {
  std::vector<IdRun> runs;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!runs.empty() && runs.back().first + static_cast<int64_t>(runs.back().span) == ids[i]) {
      ++runs.back().span;
    } else {
      runs.push_back({ids[i], 1, static_cast<int64_t>(i)});
    }
  }
  return runs;
}

/// The fields of the room that copies, as far as the copy changes them.
class CopyTarget {
 public:
  explicit CopyTarget(const FieldTable& table) {
    for (const auto& info : table.all) {
      by_name_.emplace(info->descriptor.name, static_cast<uint32_t>(fields_.size()));
      fields_.push_back({info->descriptor, info->lengths, info->internal, false});
    }
  }

  /// The field that takes `source`'s rows.
  Result<uint32_t> Take(const FieldTable& from, uint32_t source) {
    const FieldInfo& info = *from.all[source];
    const FieldDescriptor& given = info.descriptor;
    const auto known = by_name_.find(given.name);
    if (known != by_name_.end()) {
      const FieldDescriptor& have = fields_[known->second].descriptor;
      if (have.kind != given.kind || !(have.inner == given.inner) || !ConvertsWithoutLoss(given.dtype, have.dtype) ||
          (have.dtype == DType::kJson) != (given.dtype == DType::kJson))
        return Error{ErrorCode::kTypeMismatch, "field " + given.name + " is " + std::string(ZarrName(have.dtype)) + " " +
                                                   have.inner.ToString() + " here and " +
                                                   std::string(ZarrName(given.dtype)) + " " + given.inner.ToString() +
                                                   " where it is copied from"};
      return known->second;
    }
    const auto index = static_cast<uint32_t>(fields_.size());
    by_name_.emplace(given.name, index);
    fields_.push_back({given, -1, info.internal, true});
    fields_[index].descriptor.geometries.clear();
    if (info.lengths >= 0) {
      ZN_ASSIGN_OR_RETURN(const uint32_t lengths, Take(from, static_cast<uint32_t>(info.lengths)));
      fields_[index].lengths = static_cast<int32_t>(lengths);
    }
    return index;
  }

  Result<uint16_t> TakeGeometry(uint32_t field, const Geometry& geometry) {
    auto& geometries = fields_[field].descriptor.geometries;
    const auto at = std::find(geometries.begin(), geometries.end(), geometry);
    if (at != geometries.end()) return static_cast<uint16_t>(at - geometries.begin());
    if (geometries.size() >= FieldEntry::kAbsent)
      return Error{ErrorCode::kTooLarge, "field " + fields_[field].descriptor.name + " has too many geometries"};
    geometries.push_back(geometry);
    fields_[field].changed = true;
    return static_cast<uint16_t>(geometries.size() - 1);
  }

  std::vector<FieldDefineOp> Definitions() const {
    std::vector<FieldDefineOp> definitions;
    for (size_t i = 0; i < fields_.size(); ++i)
      if (fields_[i].changed)
        definitions.push_back({static_cast<uint32_t>(i), fields_[i].descriptor, fields_[i].lengths, fields_[i].internal});
    return definitions;
  }

 private:
  struct Field {
    FieldDescriptor descriptor;
    int32_t lengths = -1;
    bool internal = false;
    bool changed = false;
  };
  std::vector<Field> fields_;
  std::map<std::string, uint32_t, std::less<>> by_name_;
};

}  // namespace

Result<NewFrames> PrepareCopy(StoreCore& core, const std::shared_ptr<const FieldTable>& table, const RoomState& source,
                              std::span<const FrameId> ids) {
  NewFrames frames;
  frames.count = static_cast<int64_t>(ids.size());
  frames.table = table;
  CopyTarget target(*table);
  const std::vector<IdRun> runs = RunsOf(ids);
  for (uint32_t field = 0; field < source.rows.size(); ++field) {
    const size_t before = frames.copied.size();
    for (const IdRun& run : runs) {
      const auto first = static_cast<uint64_t>(run.first);
      ZN_RETURN_IF_ERROR(source.rows[field].ForEach(
          core, first, first + run.span, [&](uint64_t start, uint64_t span, const FieldEntry& entry) {
            if (entry.present())
              frames.copied.push_back({field, run.to + static_cast<int64_t>(start - first), span, entry});
            return true;
          }));
    }
    if (frames.copied.size() == before) continue;  // none of them has the field
    ZN_ASSIGN_OR_RETURN(const uint32_t into, target.Take(*source.table, field));
    std::map<uint16_t, uint16_t> geometries;
    for (size_t i = before; i < frames.copied.size(); ++i) {
      NewFrames::CopiedRows& rows = frames.copied[i];
      rows.field = into;
      auto known = geometries.find(rows.entry.geometry);
      if (known == geometries.end()) {
        ZN_ASSIGN_OR_RETURN(const uint16_t index,
                            target.TakeGeometry(into, source.table->all[field]->descriptor.geometries[rows.entry.geometry]));
        known = geometries.emplace(rows.entry.geometry, index).first;
      }
      rows.entry.geometry = known->second;
    }
  }
  frames.defines = target.Definitions();
  return frames;
}

Result<> PlaceCopied(CommitDraft& draft, FrameId first, std::span<const NewFrames::CopiedRows> copied) {
  // Few runs are operations of the commit; many go into the trees at once.
  constexpr size_t kAsOperations = 256;
  if (copied.size() <= kAsOperations) {
    for (const auto& rows : copied)
      ZN_RETURN_IF_ERROR(draft.Apply(FieldSpliceOp{rows.field, first + rows.first, rows.span, rows.entry}));
    return {};
  }
  for (size_t i = 0; i < copied.size();) {
    const uint32_t field = copied[i].field;
    std::vector<FieldTree::Run> runs;
    int64_t at = 0;
    for (; i < copied.size() && copied[i].field == field; ++i) {
      if (copied[i].first > at) runs.push_back({static_cast<uint64_t>(copied[i].first - at), FieldEntry::Absent()});
      runs.push_back({copied[i].span, copied[i].entry});
      at = copied[i].first + static_cast<int64_t>(copied[i].span);
    }
    ZN_RETURN_IF_ERROR(draft.AppendRuns(field, first, std::move(runs)));
  }
  return {};
}

}  // namespace zn::internal
