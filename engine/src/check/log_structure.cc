#include "check/log_structure.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/bytes.h"
#include "base/hash.h"
#include "check/record_search.h"
#include "room/records.h"

namespace zn::check {
namespace {

uint64_t RoundUp(uint64_t offset) {
  return (offset + kGroupAlignment - 1) / kGroupAlignment * kGroupAlignment;
}

std::optional<GroupAt> SoundGroup(std::span<const std::byte> bytes, uint32_t file, uint64_t at,
                                  uint32_t salt) {
  if (at >= bytes.size()) return std::nullopt;
  const auto header = DecodeGroupHeader(bytes.subspan(at), {file, at}, salt);
  if (!header || header->padded_length() > bytes.size() - at) return std::nullopt;
  UnnamedRecords unnamed;
  uint32_t seen = 0;
  const auto visited = VisitGroup(
      *header, bytes.subspan(at), salt, true,
      [&](const RecordHeader& record, uint64_t, std::span<const std::byte> payload) -> Result<> {
        ++seen;
        unnamed.See(record.type, record.name, payload);
        return {};
      });
  if (!visited) return std::nullopt;
  // Where records are marked as lost, the ref may be among them.
  if (seen == header->records && !unnamed.Take().empty()) return std::nullopt;
  return GroupAt{*header, at, header->end().offset};
}

/// A record of a log whose payload is whole, at `at`.
std::optional<RecordHeader> SoundRecord(std::span<const std::byte> bytes, uint64_t at, uint64_t end,
                                        uint32_t salt) {
  if (at + kRecordHeaderSize > end) return std::nullopt;
  const auto header = DecodeRecordHeader(bytes.subspan(at), salt);
  if (!header || PaddedRecordSize(header->length) > end - at || header->length > end - at)
    return std::nullopt;
  if (Crc32c(bytes.subspan(at + kRecordHeaderSize, header->length), salt) != header->payload_crc)
    return std::nullopt;
  return *header;
}

/// A group as its records tell.
struct Parsed {
  uint64_t length = 0;
  uint32_t records = 0;
  bool has_checkpoint = false;
  std::map<uint64_t, RecordHeader> recovered;  // headers to write again, by where they begin
};

/// nullopt when a record of it is damaged beyond doubt.
std::optional<Parsed> ParseGroup(std::span<const std::byte> bytes, const Extent& extent,
                                 uint32_t salt) {
  Parsed parsed;
  uint64_t at = extent.begin + kGroupHeaderSize;
  while (at < extent.end) {
    std::optional<RecordHeader> header = SoundRecord(bytes, at, extent.end, salt);
    if (!header) header = DecodeLostHeader(bytes.subspan(at), salt);
    if (!header) {
      const bool zeros = IsZero(bytes.subspan(at, RoundUp(at) - at));
      if (parsed.records > 0 && (at % kGroupAlignment == 0 || zeros)) break;
      uint64_t next = at + kRecordAlignment;
      while (next < extent.end && !SoundRecord(bytes, next, extent.end, salt))
        next += kRecordAlignment;
      header = RecoverHeader(bytes.subspan(at, next - at), salt);
      if (!header || PaddedRecordSize(header->length) > next - at) return std::nullopt;
      parsed.recovered.emplace(at, *header);
    }
    if (PaddedRecordSize(header->length) > extent.end - at) return std::nullopt;
    ++parsed.records;
    parsed.has_checkpoint |= header->type == RecordType::kCheckpoint;
    at += PaddedRecordSize(header->length);
  }
  parsed.length = at - extent.begin;
  if (parsed.records == 0 || RoundUp(at) > extent.end) return std::nullopt;
  return parsed;
}

/// What the header at `at` says of itself, if it is whole: perhaps of another place, when a block
/// was written to a wrong one.
std::optional<GroupHeader> HeaderAnywhere(std::span<const std::byte> bytes, uint64_t at,
                                          uint32_t salt) {
  if (at + kGroupHeaderSize > bytes.size()) return std::nullopt;
  LogPosition claimed;
  std::memcpy(&claimed.file, bytes.data() + at + 28, sizeof claimed.file);
  std::memcpy(&claimed.offset, bytes.data() + at + 32, sizeof claimed.offset);
  const auto header = DecodeGroupHeader(bytes.subspan(at), claimed, salt);
  return header ? std::optional(*header) : std::nullopt;
}

void PutGroupHeader(std::vector<std::byte>& bytes, const Surroundings& around, uint64_t begin,
                    uint64_t sequence, const Parsed& parsed, LogPosition durable_to,
                    uint32_t salt) {
  GroupHeader header;
  header.flags = static_cast<uint16_t>((begin == 0 ? kBeginsFile : 0) |
                                       (parsed.has_checkpoint ? kHasCheckpoint : 0));
  header.sequence = sequence;
  header.length = parsed.length;
  header.records = parsed.records;
  header.position = {around.file, begin};
  header.durable_to = durable_to;
  EncodeGroupHeader(header, salt, bytes.data() + begin);
}

void PutMark(std::vector<std::byte>& bytes, uint64_t begin, const Sha256& name, uint64_t length,
             uint32_t salt) {
  EncodeRecordHeader({RecordType::kLost, length, name, 0}, salt, bytes.data() + begin);
}

bool IsReplayed(RecordType type) {
  return type == RecordType::kRef || type == RecordType::kCheckpoint ||
         type == RecordType::kEpoch || type == RecordType::kState;
}

}  // namespace

void UnnamedRecords::See(RecordType type, const Sha256& name, std::span<const std::byte> payload) {
  if (type == RecordType::kCommit || type == RecordType::kRoomModel)
    written_.emplace_back(type, name);
  if (type != RecordType::kRef) return;
  const auto ref = DecodeRef(payload);
  if (!ref) return;
  named_.push_back(ref->commit.name);
  named_.push_back(ref->model.name);
}

std::vector<std::pair<RecordType, Sha256>> UnnamedRecords::Take() {
  std::erase_if(written_, [&](const auto& written) {
    return std::find(named_.begin(), named_.end(), written.second) != named_.end();
  });
  return std::move(written_);
}

LogStructure ReadStructure(std::span<const std::byte> bytes, uint32_t file, uint32_t salt,
                           uint64_t must_end) {
  LogStructure structure;
  uint64_t at = 0, sequence = 0;
  const auto sound = [&](uint64_t place) {
    auto group = SoundGroup(bytes, file, place, salt);
    return group && group->header.sequence > sequence ? group : std::nullopt;
  };
  while (true) {
    if (auto group = sound(at)) {
      sequence = group->header.sequence;
      at = group->end;
      structure.groups.push_back(*group);
      continue;
    }
    uint64_t next = at + kGroupAlignment;
    while (next < bytes.size() && !sound(next)) next += kGroupAlignment;
    const auto later = sound(next);
    // Behind `must_end` a group counts when it says that what is damaged had been synced before it.
    if (later && (next <= must_end || later->header.durable_to > LogPosition{file, at})) {
      structure.bad.push_back({at, next});
      at = next;
      continue;
    }
    if (at < must_end) {
      structure.bad.push_back({at, RoundUp(must_end)});
      at = RoundUp(must_end);
    }
    break;
  }
  structure.end = at;
  return structure;
}

bool RebuildGroups(std::vector<std::byte>& bytes, const Extent& extent, const Surroundings& around,
                   uint32_t salt) {
  if (extent.end > bytes.size()) return false;
  std::vector<std::byte> changed(bytes);
  uint64_t at = extent.begin, sequence = around.sequence_before;
  LogPosition before = around.end_before;
  while (at < extent.end) {
    const auto parsed = ParseGroup(changed, {at, extent.end}, salt);
    if (!parsed) return false;
    // A header that is whole knows best.
    if (const auto header = HeaderAnywhere(changed, at, salt))
      if (header->position != LogPosition{around.file, at} || header->sequence != sequence + 1 ||
          header->length != parsed->length || header->records != parsed->records)
        return false;
    for (const auto& [begin, header] : parsed->recovered)
      EncodeRecordHeader(header, salt, changed.data() + begin);
    PutGroupHeader(changed, around, at, ++sequence, *parsed, before, salt);
    at = RoundUp(at + parsed->length);
    before = {around.file, at};
  }
  if (around.sequence_next && *around.sequence_next != sequence + 1) return false;
  for (at = extent.begin; at < extent.end;) {
    const auto group = SoundGroup(changed, around.file, at, salt);
    if (!group) return false;
    at = group->end;
  }
  bytes = std::move(changed);
  return true;
}

bool FillGroups(std::vector<std::byte>& bytes, const Extent& extent, const Surroundings& around,
                std::span<const LostAt> lost, uint32_t salt) {
  const uint64_t wanted =
      around.sequence_next ? *around.sequence_next - around.sequence_before - 1 : 1;
  if (wanted == 0 || wanted > (extent.end - extent.begin) / kGroupAlignment) return false;
  if (bytes.size() < extent.end) bytes.resize(extent.end);

  // What stays where it is: begin -> end.
  std::map<uint64_t, uint64_t> taken;
  const auto free = [&](uint64_t begin, uint64_t end) {
    const auto after = taken.lower_bound(begin);
    if (after != taken.end() && after->first < end) return false;
    return after == taken.begin() || std::prev(after)->second <= begin;
  };
  const uint64_t first = extent.begin + kGroupHeaderSize;
  std::vector<LostAt> marks;
  for (const LostAt& record : lost) {
    const uint64_t begin = record.payload - kRecordHeaderSize;
    const uint64_t end = begin + PaddedRecordSize(record.length);
    if (record.payload < first + kRecordHeaderSize || begin % kRecordAlignment != 0 ||
        end > extent.end || !free(begin, end))
      continue;
    taken.emplace(begin, end);
    marks.push_back(record);
  }
  uint64_t trusted = 0;  // the end of a group whose header is whole
  for (uint64_t at = extent.begin; at < extent.end;) {
    if (at % kGroupAlignment == 0)
      if (const auto header = DecodeGroupHeader(std::span<const std::byte>(bytes).subspan(at),
                                                {around.file, at}, salt))
        trusted = at + header->length;
    auto record = SoundRecord(bytes, at, extent.end, salt);
    if (!record) {
      // Marks of an earlier repair stay, but for those that only fill.
      record = DecodeLostHeader(std::span<const std::byte>(bytes).subspan(at), salt);
      if (record && (record->name == Sha256{} || record->length > extent.end - at ||
                     PaddedRecordSize(record->length) > extent.end - at))
        record.reset();
    }
    // A file begins with a checkpoint, which nothing refers to; another record there is from
    // elsewhere.
    if (record && at == first && extent.begin == 0 && record->type != RecordType::kCheckpoint &&
        record->type != RecordType::kLost)
      record.reset();
    const uint64_t end = at + (record ? PaddedRecordSize(record->length) : kRecordAlignment);
    if (record && at >= first && (!IsReplayed(record->type) || end <= trusted) && free(at, end))
      taken.emplace(at, end);
    at = record ? end : at + kRecordAlignment;
  }

  // Where groups begin: at multiples of 4 KiB that nothing lies across.
  std::vector<uint64_t> begins = {extent.begin};
  for (uint64_t at = extent.begin + kGroupAlignment; at < extent.end && begins.size() < wanted;
       at += kGroupAlignment)
    if (free(at, at + kGroupHeaderSize)) begins.push_back(at);
  if (begins.size() != wanted) return false;

  std::vector<std::byte> changed(bytes);
  for (const LostAt& record : marks)
    PutMark(changed, record.payload - kRecordHeaderSize, record.name, record.length, salt);
  uint64_t sequence = around.sequence_before;
  LogPosition before = around.end_before;
  for (size_t i = 0; i < begins.size(); ++i) {
    const uint64_t end = i + 1 < begins.size() ? begins[i + 1] : extent.end;
    Parsed parsed;
    parsed.length = end - begins[i];
    uint64_t at = begins[i] + kGroupHeaderSize;
    while (at < end) {
      ++parsed.records;
      const auto here = taken.find(at);
      if (here != taken.end()) {
        const auto record = SoundRecord(changed, at, extent.end, salt);
        parsed.has_checkpoint |= record && record->type == RecordType::kCheckpoint;
        at = here->second;
        continue;
      }
      const auto next = taken.upper_bound(at);
      const uint64_t until = next == taken.end() ? end : std::min(next->first, end);
      PutMark(changed, at, {}, until - at - kRecordHeaderSize, salt);
      at = until;
    }
    PutGroupHeader(changed, around, begins[i], ++sequence, parsed, before, salt);
    before = {around.file, end};
  }
  bytes = std::move(changed);
  return true;
}

}  // namespace zn::check
