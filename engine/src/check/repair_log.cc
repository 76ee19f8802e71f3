// The log: records and groups back to their places, marks where that cannot be, refs, and head.

#include <algorithm>

#include "base/bytes.h"
#include "base/hash.h"
#include "check/repairer.h"
#include "check/salvage.h"
#include "log/log.h"
#include "zn/engine/store.h"

namespace zn::check {
namespace {

/// A store whose log had to be begun anew is so many epochs later: fences given out since the last
/// ref that is left must not count. As after a restore from a backup.
constexpr uint64_t kEpochStep = 1 << 20;

std::string ExtentName(const std::string& file, const Extent& extent) {
  return file + " at " + std::to_string(extent.begin);
}

bool HasZeroBlock(std::span<const std::byte> bytes, const Extent& extent) {
  for (uint64_t at = extent.begin;
       at + kGroupAlignment <= std::min<uint64_t>(extent.end, bytes.size()); at += kGroupAlignment)
    if (IsZero(bytes.subspan(at, kGroupAlignment))) return true;
  return false;
}

bool Touches(const Extent& extent, const std::vector<DamagedRecord>& damaged) {
  return std::any_of(damaged.begin(), damaged.end(), [&](const DamagedRecord& record) {
    return record.needed && record.ref.offset < extent.end &&
           record.ref.offset + record.ref.length > extent.begin;
  });
}

}  // namespace

struct Repairer::LogState {
  uint32_t number = 0;  // without kLogBit
  std::string name;
  uint64_t size = 0;  // on disk
  std::vector<std::byte> before, bytes;
  bool newest = false;
  uint64_t must_end = 0;
  uint64_t sequence_before = 0;
  LogPosition end_before;
  std::optional<uint64_t> sequence_next;

  LogStructure Structure(uint32_t salt) const {
    return ReadStructure(bytes, number, salt, must_end);
  }
};

std::optional<Head> Repairer::LoadHead() const {
  const auto page =
      HeadPage::Open(*LocalFileSystem(), directory_ + "/head", image_->salt(), /*writable=*/false);
  return page ? (*page)->Load() : std::nullopt;
}

std::vector<Repairer::LogState> Repairer::LogFiles(const DamagedByFile& damaged) {
  const std::optional<Head> head = LoadHead();
  std::set<uint32_t> numbers;
  for (const auto& [number, file] : image_->files())
    if (number & RecordRef::kLogBit) numbers.insert(number & ~RecordRef::kLogBit);
  for (const auto& [number, records] : damaged) numbers.insert(number & ~RecordRef::kLogBit);
  if (head) numbers.insert(head->durable.file);
  std::vector<LogState> logs;
  for (const uint32_t number : numbers) {
    LogState log;
    log.number = number;
    log.name = LogFileName(number);
    if (const FileImage* file = image_->Find(number | RecordRef::kLogBit)) {
      log.size = file->size;
      log.bytes.resize(file->size);
      ReadBest(file->file, file->size, 0, log.bytes);
    }
    log.before = log.bytes;
    logs.push_back(std::move(log));
  }
  if (logs.empty()) return logs;
  logs.back().newest = true;
  // What each file's neighbours say about it.
  for (size_t i = 0; i < logs.size(); ++i) {
    LogState& log = logs[i];
    if (head && head->durable.file == log.number) log.must_end = head->durable.offset;
    if (i > 0 && logs[i - 1].number + 1 == log.number) {
      const LogStructure earlier = logs[i - 1].Structure(image_->salt());
      if (!earlier.groups.empty()) log.sequence_before = earlier.groups.back().header.sequence;
      log.end_before = {logs[i - 1].number, earlier.end};
    }
    if (i + 1 < logs.size()) {
      const LogStructure later = logs[i + 1].Structure(image_->salt());
      if (later.groups.empty()) continue;
      const GroupHeader& first = later.groups.front().header;
      if (first.position.offset != 0) continue;
      log.sequence_next = first.sequence;
      if (first.durable_to.file == log.number) log.must_end = first.durable_to.offset;
    } else if (head && head->durable.file == log.number) {
      log.sequence_next = head->sequence + 1;
    }
  }
  return logs;
}

Surroundings Repairer::Around(const LogState& log, const Extent& extent) const {
  const LogStructure structure = log.Structure(image_->salt());
  Surroundings around{log.number, log.sequence_before, log.end_before, log.sequence_next};
  for (const GroupAt& group : structure.groups) {
    if (group.end <= extent.begin) {
      around.sequence_before = group.header.sequence;
      around.end_before = group.header.end();
    } else if (group.begin >= extent.end) {
      around.sequence_next = group.header.sequence;
      break;
    }
  }
  // A file whose neighbour before it is gone: its numbers follow from those behind.
  if (around.sequence_before == 0 && around.sequence_next && extent.begin == 0 && log.number > 1 &&
      log.end_before.file == 0)
    around.sequence_before = *around.sequence_next - 2;
  return around;
}

void Repairer::HealRecords(LogState& log, const std::vector<DamagedRecord>& damaged) {
  for (const DamagedRecord& record : damaged) {
    if (record.ref.offset < kGroupHeaderSize + kRecordHeaderSize ||
        record.ref.offset % kRecordAlignment != 0)
      continue;  // a reference that makes no sense
    const auto copy = sources_.Find(*image_, record);
    if (!copy) continue;
    Tell(RepairAction::kHealed, DescribeRecord(record.type, record.ref), "from " + copy->from);
    const uint64_t begin = record.ref.offset - kRecordHeaderSize;
    const uint64_t end = begin + PaddedRecordSize(record.ref.length);
    if (log.bytes.size() < end) log.bytes.resize(end);
    std::fill(log.bytes.begin() + static_cast<std::ptrdiff_t>(begin),
              log.bytes.begin() + static_cast<std::ptrdiff_t>(end), std::byte{0});
    EncodeRecordHeader(
        {record.type, record.ref.length, record.ref.name, Crc32c(copy->payload, image_->salt())},
        image_->salt(), log.bytes.data() + begin);
    std::copy(copy->payload.begin(), copy->payload.end(),
              log.bytes.begin() + static_cast<std::ptrdiff_t>(record.ref.offset));
  }
}

void Repairer::HealFromBackup(LogState& log, const std::vector<DamagedRecord>& damaged) {
  const LogStructure structure = log.Structure(image_->salt());
  for (const Extent& extent : structure.bad) {
    if (!log.newest && HasZeroBlock(log.bytes, extent) && !Touches(extent, damaged)) continue;
    const auto known = sources_.BackedUp(*image_, log.name);
    if (!known) return;
    const auto size = known->Size();
    if (!size || static_cast<uint64_t>(*size) <= extent.begin) continue;
    const uint64_t end = std::min<uint64_t>(extent.end, static_cast<uint64_t>(*size));
    std::vector<std::byte> kept = log.bytes;
    if (log.bytes.size() < end) log.bytes.resize(end);
    ReadBest(*known, static_cast<uint64_t>(*size), extent.begin,
             std::span(log.bytes).subspan(extent.begin, end - extent.begin));
    uint64_t covered = 0;
    for (const GroupAt& group : log.Structure(image_->salt()).groups)
      if (group.begin >= extent.begin && group.end <= extent.end)
        covered += group.end - group.begin;
    if (covered == 0)
      log.bytes = std::move(kept);
    else
      Tell(RepairAction::kHealed, ExtentName(log.name, extent), "from the backup");
  }
}

Result<> Repairer::WriteLog(LogState& log) {
  if (log.bytes == log.before || options_.dry_run) return {};
  ZN_ASSIGN_OR_RETURN(const auto rewrite, FileRewrite::Begin(directory_, log.name, quarantine_));
  const auto differs = [&](uint64_t at, uint64_t size) {
    return at + size > log.before.size() ||
           !std::equal(log.bytes.begin() + static_cast<std::ptrdiff_t>(at),
                       log.bytes.begin() + static_cast<std::ptrdiff_t>(at + size),
                       log.before.begin() + static_cast<std::ptrdiff_t>(at));
  };
  for (uint64_t at = 0; at < log.bytes.size();) {
    uint64_t end = at;
    while (end < log.bytes.size()) {
      const uint64_t step = std::min<uint64_t>(kRecordAlignment, log.bytes.size() - end);
      if (!differs(end, step)) break;
      end += step;
    }
    if (end > at)
      ZN_RETURN_IF_ERROR(
          rewrite->Put(at, std::span(log.bytes).subspan(at, end - at), "damaged part of the log"));
    at = end + kRecordAlignment;
  }
  if (rewrite->size() != log.bytes.size())
    ZN_RETURN_IF_ERROR(rewrite->Resize(log.bytes.size(), "a torn tail of the log"));
  log.before = log.bytes;
  return rewrite->Commit();
}

Result<> Repairer::MendLog(LogState& log, const std::vector<DamagedRecord>& damaged, Stage stage) {
  const uint32_t salt = image_->salt();
  if (stage == Stage::kHeal) {
    HealFromBackup(log, damaged);
    HealRecords(log, damaged);
    for (const Extent& extent : log.Structure(salt).bad)
      if (log.newest || !HasZeroBlock(log.bytes, extent))
        if (RebuildGroups(log.bytes, extent, Around(log, extent), salt))
          Tell(RepairAction::kHealed, ExtentName(log.name, extent),
               "headers that follow from what stands around them");
  } else {
    std::vector<LostAt> lost;
    for (const DamagedRecord& record : damaged) {
      const std::string object = DescribeRecord(record.type, record.ref);
      if (!record.needed || record.senseless || record.lost ||
          record.ref.offset < kGroupHeaderSize + kRecordHeaderSize ||
          record.ref.offset % kRecordAlignment != 0)
        continue;
      if (options_.dry_run && told_.count({RepairAction::kHealed, object}) != 0) continue;
      lost.push_back({record.ref.offset, record.ref.length, record.ref.name});
      Tell(RepairAction::kMarked, object, "no copy of it was found; reading it says so");
    }
    if (options_.dry_run) return {};
    for (const Extent& extent : log.Structure(salt).bad) {
      if (!log.newest && HasZeroBlock(log.bytes, extent)) continue;
      if (!FillGroups(log.bytes, extent, Around(log, extent), lost, salt)) continue;
      log_filled_ = true;
      Tell(RepairAction::kMarked, ExtentName(log.name, extent),
           std::to_string(extent.end - extent.begin) +
               " bytes of the log; records in it that are whole were kept");
    }
    MarkRest(log, lost);
  }
  // Behind everything that was acknowledged: what a crash cut short.
  const uint64_t end = log.Structure(salt).end;
  if (stage == Stage::kHeal && log.newest && end > 0 && end < log.bytes.size()) {
    if (!IsZero(std::span(log.bytes).subspan(end)))
      Tell(RepairAction::kMoved, log.name + " at " + std::to_string(end),
           "a write that a crash cut short; nobody was told of it");
    log.bytes.resize(end);
  }
  return WriteLog(log);
}

void Repairer::MarkRest(LogState& log, std::span<const LostAt> lost) {
  const uint32_t salt = image_->salt();
  for (const LostAt& record : lost) {
    const uint64_t begin = record.payload - kRecordHeaderSize;
    const uint64_t end = begin + PaddedRecordSize(record.length);
    if (end <= log.bytes.size()) {
      const auto there = DecodeLostHeader(std::span(log.bytes).subspan(begin), salt);
      if (there && there->name == record.name) continue;
    }
    // It may lie across groups that an earlier round has made of the same gap.
    Extent extent;
    for (const GroupAt& group : log.Structure(salt).groups) {
      if (group.end <= begin || group.begin >= end) continue;
      if (extent.end == 0) extent.begin = group.begin;
      extent.end = group.end;
    }
    if (extent.begin < begin && end <= extent.end &&
        FillGroups(log.bytes, extent, Around(log, extent), {&record, 1}, salt))
      continue;
    // What the collection has taken parts of is in no group any more.
    if (log.bytes.size() < end)
      log.bytes.resize((end + kGroupAlignment - 1) / kGroupAlignment * kGroupAlignment);
    EncodeRecordHeader({RecordType::kLost, record.length, record.name, 0}, salt,
                       log.bytes.data() + begin);
  }
}

Result<> Repairer::MendLogs(const DamagedByFile& damaged, Stage stage) {
  static const std::vector<DamagedRecord> kNone;
  const size_t count = LogFiles(damaged).size();
  for (size_t i = 0; i < count; ++i) {
    if (Cancelled()) return {};
    // Read again each time: what was mended in one file tells of the next.
    std::vector<LogState> logs = LogFiles(damaged);
    if (i >= logs.size()) break;
    const auto of = damaged.find(logs[i].number | RecordRef::kLogBit);
    ZN_RETURN_IF_ERROR(MendLog(logs[i], of == damaged.end() ? kNone : of->second, stage));
    if (!options_.dry_run) {
      ZN_ASSIGN_OR_RETURN(image_, StoreImage::Open(directory_, /*lock=*/false));
    }
  }
  return {};
}

Result<> Repairer::MendRefs() {
  if (options_.dry_run) return {};
  const bool dangling = std::any_of(
      found_.findings.begin(), found_.findings.end(),
      [](const Finding& finding) { return finding.kind == FindingClass::kRefDangling; });
  StoreOptions store_options;
  store_options.read_only = true;
  const auto opened = Store::Open(directory_, store_options);
  if (opened && !dangling && !log_filled_) return {};

  const Salvaged salvaged = Salvage(*image_);
  if (opened && salvaged.changed.empty() && !log_filled_) return {};
  std::vector<LogState> logs = LogFiles({});
  uint32_t number = 1;
  uint64_t sequence = 0;
  LogPosition durable_to;
  for (const LogState& log : logs) {
    const LogStructure structure = log.Structure(image_->salt());
    number = log.number + 1;
    if (structure.groups.empty()) continue;
    sequence = structure.groups.back().header.sequence;
    durable_to = {log.number, structure.groups.back().end};
  }
  std::string message;
  if (log_filled_) message = "the newest commits may have been in the lost part of the log; ";
  if (!opened) message += opened.error().message + "; ";
  for (const auto* changes : {&salvaged.changed, &salvaged.dead})
    for (const std::string& change : *changes) message += change + "; ";
  const std::string name = LogFileName(number);
  // The same once more would change nothing.
  if (!Tell(RepairAction::kMarked, "rooms", message + name + " says where they stand")) return {};
  log_filled_ = false;

  CheckpointRecord checkpoint = salvaged.checkpoint;
  checkpoint.epoch += kEpochStep;
  const std::vector<std::byte> payload = EncodeCheckpoint(checkpoint);
  GroupHeader header;
  header.flags = kBeginsFile | kHasCheckpoint;
  header.sequence = sequence + 1;
  header.length = kGroupHeaderSize + PaddedRecordSize(payload.size());
  header.records = 1;
  header.position = {number, 0};
  header.durable_to = durable_to;
  std::vector<std::byte> file(header.padded_length());
  EncodeGroupHeader(header, image_->salt(), file.data());
  EncodeRecordHeader({RecordType::kCheckpoint, payload.size(), HashSha256(payload),
                      Crc32c(payload, image_->salt())},
                     image_->salt(), file.data() + kGroupHeaderSize);
  std::copy(payload.begin(), payload.end(), file.begin() + kGroupHeaderSize + kRecordHeaderSize);
  ZN_RETURN_IF_ERROR(MakeDirectory(directory_ + "/log"));
  ZN_RETURN_IF_ERROR(WriteFileAtomically(directory_ + "/" + name, file));
  ZN_ASSIGN_OR_RETURN(image_, StoreImage::Open(directory_, /*lock=*/false));
  return MendHead();
}

Result<> Repairer::MendHead() {
  // Whoever reads while nobody writes goes by it.
  std::vector<LogState> logs = LogFiles({});
  if (logs.empty()) return {};
  const LogStructure structure = logs.back().Structure(image_->salt());
  if (structure.groups.empty()) return {};
  Head head;
  head.durable = structure.groups.back().header.end();
  head.sequence = structure.groups.back().header.sequence;
  head.checkpoint = {logs.back().number, 0};
  for (const GroupAt& group : structure.groups)
    if (group.header.flags & kHasCheckpoint) head.checkpoint = group.header.position;
  if (auto known = LoadHead()) {
    known->boot = 0;  // whichever it was; without one, readers walk the log themselves
    if (*known == head) return {};
  }
  Tell(RepairAction::kRebuilt, "head", "from the log");
  if (options_.dry_run) return {};
  ZN_ASSIGN_OR_RETURN(const auto page, HeadPage::Open(*LocalFileSystem(), directory_ + "/head",
                                                      image_->salt(), /*writable=*/true));
  page->Store(head);
  return {};
}

}  // namespace zn::check
