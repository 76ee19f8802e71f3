// Packs: records back to their places, indexes made again, tables of moves from the backup.

#include <algorithm>

#include "base/bytes.h"
#include "check/record_search.h"
#include "check/repairer.h"
#include "pack/pack_format.h"

namespace zn::check {
namespace {

/// A record of a pack as it stands in the file, padding included.
std::vector<std::byte> WholeRecord(RecordType type, const Sha256& name,
                                   std::span<const std::byte> payload, uint32_t salt) {
  std::vector<std::byte> whole = EncodePackRecordHead(type, name, payload, salt);
  whole.insert(whole.end(), payload.begin(), payload.end());
  whole.resize(PackRecordSize(payload.size()));
  return whole;
}

bool EndsWith(const std::string& text, std::string_view end) { return text.ends_with(end); }

}  // namespace

Result<> Repairer::MendPacks(const DamagedByFile& damaged, Stage stage) {
  std::set<uint32_t> headers, indexes;
  if (stage == Stage::kHeal) {
    for (const Finding& finding : found_.findings) {
      if (finding.kind == FindingClass::kIndexMismatch && EndsWith(finding.object, ".moved"))
        ZN_RETURN_IF_ERROR(MendMoves(finding.object));
      if (!finding.object.starts_with("packs/")) continue;
      const std::string name = finding.object.substr(6);
      if (const uint32_t pack = ParsePackFileName(name, ".pack");
          pack != 0 && finding.kind == FindingClass::kObjectDecode)
        headers.insert(pack);
    }
  }
  for (const auto& [number, records] : damaged) headers.erase(number);
  for (const uint32_t pack : headers) ZN_RETURN_IF_ERROR(MendPack(pack, {}, stage));
  for (const auto& [number, records] : damaged) {
    if (Cancelled()) return {};
    ZN_RETURN_IF_ERROR(MendPack(number, records, stage));
  }
  // After the packs: what was put back is in them.
  for (const Finding& finding : found_.findings) {
    if (finding.kind != FindingClass::kIndexMismatch || !finding.object.starts_with("packs/"))
      continue;
    if (const uint32_t pack = ParsePackFileName(finding.object.substr(6), ".idx"))
      indexes.insert(pack);
  }
  for (const uint32_t pack : indexes) ZN_RETURN_IF_ERROR(MendIndex(pack));
  return {};
}

Result<> Repairer::MendPack(uint32_t number, const std::vector<DamagedRecord>& damaged,
                            Stage stage) {
  const std::string name = FileNameOf(number);
  std::unique_ptr<FileRewrite> rewrite;
  if (!options_.dry_run) {
    ZN_ASSIGN_OR_RETURN(rewrite, FileRewrite::Begin(directory_, name, quarantine_));
  }
  bool any = false;
  const auto put = [&](uint64_t offset, std::span<const std::byte> bytes,
                       std::string_view why) -> Result<> {
    any = true;
    return rewrite ? rewrite->Put(offset, bytes, why) : Result<>();
  };
  std::byte header[kPackHeaderSize];
  EncodePackHeader(image_->salt(), header);
  const FileImage* const file = image_->Find(number);
  std::vector<std::byte> before(kPackHeaderSize);
  if (file != nullptr) ReadBest(file->file, file->size, 0, before);
  if (!std::equal(before.begin(), before.end(), header)) {
    ZN_RETURN_IF_ERROR(put(0, header, "damaged header of a pack"));
    if (file != nullptr) Tell(RepairAction::kRebuilt, name, "its header");
  }
  for (const DamagedRecord& record : damaged) {
    const std::string object = DescribeRecord(record.type, record.ref);
    const uint64_t begin = record.ref.offset - PackRecordHeadSize(record.ref.length);
    if (record.ref.offset < kPackHeaderSize + PackRecordHeadSize(record.ref.length) ||
        begin % kRecordAlignment != 0)
      continue;  // a reference that makes no sense
    if (stage == Stage::kHeal) {
      const auto copy = sources_.Find(*image_, record);
      if (!copy) continue;
      Tell(RepairAction::kHealed, object, "from " + copy->from);
      ZN_RETURN_IF_ERROR(
          put(begin, WholeRecord(record.type, record.ref.name, copy->payload, image_->salt()),
              "damaged " + object));
    } else if (record.needed && !record.lost && !record.senseless) {
      if (options_.dry_run && told_.count({RepairAction::kHealed, object}) != 0) continue;
      Tell(RepairAction::kMarked, object, "no copy of it was found; reading it says so");
      std::byte mark[kRecordHeaderSize];
      EncodeRecordHeader({RecordType::kLost, record.ref.length, record.ref.name, 0}, image_->salt(),
                         mark);
      ZN_RETURN_IF_ERROR(put(begin, mark, "lost " + object));
      const uint64_t end = begin + PackRecordSize(record.ref.length);
      if (rewrite && rewrite->size() < end)
        ZN_RETURN_IF_ERROR(rewrite->Resize(end, ""));  // longer: zeros
    }
  }
  if (rewrite && stage == Stage::kHeal) ZN_RETURN_IF_ERROR(FillGaps(number, *rewrite));
  if (rewrite && (any || rewrite->size() != (file != nullptr ? file->size : 0)))
    return rewrite->Commit();
  return {};
}

/// Between its records a pack has no gaps. What stood in one, also what nothing refers to, may be
/// in the backup.
Result<> Repairer::FillGaps(uint32_t number, FileRewrite& rewrite) {
  const std::string name = FileNameOf(number);
  const auto known = sources_.BackedUp(*image_, name);
  if (!known) return {};
  ZN_ASSIGN_OR_RETURN(const int64_t known_size, known->Size());
  ZN_ASSIGN_OR_RETURN(File copy, File::Open(rewrite.copy_path(), File::kRead));
  const FileImage file{number, name, std::move(copy), rewrite.size(), Marks(0)};
  std::vector<Extent> gaps;
  uint64_t at = kPackHeaderSize;
  ForEachRecord(*image_, file, Payloads::kSkip, [&](uint64_t begin, const RecordHeader& header) {
    if (begin > at) gaps.push_back({at, begin});
    at = begin + PackRecordSize(header.length);
    return true;
  });
  gaps.push_back({at, static_cast<uint64_t>(known_size)});
  for (const Extent& gap : gaps) {
    const uint64_t end = std::min<uint64_t>(gap.end, static_cast<uint64_t>(known_size));
    std::vector<std::byte> bytes;
    for (uint64_t from = gap.begin; from < end; from += bytes.size()) {
      bytes.resize(std::min<uint64_t>(16 << 20, end - from));
      ReadBest(*known, static_cast<uint64_t>(known_size), from, bytes);
      ZN_RETURN_IF_ERROR(rewrite.Put(from, bytes, "no record stood here; the backup has one"));
    }
  }
  return {};
}

Result<> Repairer::MendIndex(uint32_t number) {
  const std::string name = "packs/" + PackFileName(number, ".idx");
  const std::string pack = FileNameOf(number);
  if (!PathExists(directory_ + "/" + pack)) return {};
  Tell(RepairAction::kRebuilt, name, "from its pack");
  if (options_.dry_run) return {};
  changed_ = true;  // also when it is not the first time
  ZN_ASSIGN_OR_RETURN(File opened, File::Open(directory_ + "/" + pack, File::kRead));
  ZN_ASSIGN_OR_RETURN(const int64_t size, opened.Size());
  const auto bytes = static_cast<uint64_t>(size);
  const FileImage file{number, pack, std::move(opened), bytes, Marks(0)};
  std::vector<PackEntry> entries;
  ForEachRecord(*image_, file, Payloads::kSkip, [&](uint64_t begin, const RecordHeader& header) {
    entries.push_back({header.name, begin + PackRecordHeadSize(header.length),
                       static_cast<uint32_t>(header.length)});
    return true;
  });
  return ReplaceFile(directory_, name, EncodePackIndex(std::move(entries), bytes, image_->salt()),
                     "an index that does not agree with its pack", quarantine_);
}

Result<> Repairer::MendMoves(const std::string& file) {
  const auto known = sources_.BackedUp(*image_, file);
  if (known) {
    ZN_ASSIGN_OR_RETURN(const int64_t size, known->Size());
    std::vector<std::byte> bytes(static_cast<size_t>(size));
    ZN_RETURN_IF_ERROR(known->ReadAt(0, bytes));
    if (DecodeMoves(bytes, image_->salt())) {
      Tell(RepairAction::kHealed, file, "from the backup");
      if (options_.dry_run) return {};
      return ReplaceFile(directory_, file, bytes, "a damaged table of moves", quarantine_);
    }
  }
  // Without it references lead to the pack that was collected, where their records are put back
  // from where they went.
  Tell(RepairAction::kMoved, file, "a table of moves that cannot be read");
  if (options_.dry_run) return {};
  return quarantine_.Move(file, "a table of moves that cannot be read");
}

}  // namespace zn::check
