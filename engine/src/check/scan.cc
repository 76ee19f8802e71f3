#include "check/scan.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/bytes.h"
#include "base/hash.h"
#include "check/log_structure.h"
#include "log/group.h"
#include "log/log.h"

namespace zn::check {
namespace {

constexpr size_t kReadSize = 256 << 10;  // stays in a core's cache between the read and the hash
constexpr size_t kSearchSize = 1 << 20;

bool AllZero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

/// As StoreImpl does when it opens: later words count.
void Apply(LogEnd& end, RecordType type, std::span<const std::byte> payload) {
  if (type == RecordType::kCheckpoint) {
    if (auto checkpoint = DecodeCheckpoint(payload)) {
      end.rooms.clear();
      for (RefRecord& ref : checkpoint->rooms) end.rooms[ref.room] = std::move(ref);
      end.records = std::move(checkpoint->records);
    }
  } else if (type == RecordType::kRef) {
    auto ref = DecodeRef(payload);
    if (!ref) return;
    if (ref->deleted) {
      end.rooms.erase(ref->room);
    } else {
      end.rooms[ref->room] = std::move(*ref);
    }
  } else if (type == RecordType::kState) {
    auto record = DecodeStateRecord(payload);
    if (!record || record->kind == StateRecord::kValue || record->at.number <= end.records.number) return;
    if (record->kind == StateRecord::kFolded) {
      end.records = std::move(record->at);
      return;
    }
    end.records.number = record->at.number;
    end.records.op_count += record->at.op_count;
    end.records.ops.insert(end.records.ops.end(), record->at.ops.begin(), record->at.ops.end());
  }
}

/// Is the block of 4 KiB that begins at `at` given back (or never written)?
bool IsHole(std::span<const std::byte> bytes, uint64_t at) {
  return at < bytes.size() && AllZero(bytes.subspan(at, std::min<size_t>(kGroupAlignment, bytes.size() - at)));
}
bool HasHole(std::span<const std::byte> bytes, uint64_t begin, uint64_t end) {
  for (uint64_t at = begin / kGroupAlignment * kGroupAlignment; at < end; at += kGroupAlignment)
    if (IsHole(bytes, at)) return true;
  return false;
}

}  // namespace

bool Scan::Sampled(const Sha256& name) const {
  if (run_.options.sample_of <= 1) return true;
  uint32_t word;
  std::memcpy(&word, name.bytes.data(), sizeof word);
  return word % run_.options.sample_of == run_.options.sample_part - 1;
}

void Scan::HashOne(const FileImage& file, const ScannedRecord& record) {
  if (run_.cancelled() || !Sampled(record.ref.name)) return;
  thread_local std::vector<std::byte> block(kReadSize);
  Sha256Hasher hasher;
  const auto report = [&](FindingClass kind, std::string message) {
    run_.findings.AddRecord({record.ref, record.type},
                            {kind,
                             false,
                             DescribeRecord(record.type, record.ref),
                             std::move(message),
                             "zn-fsck --repair looks for another copy",
                             {}});
  };
  for (uint64_t at = 0; at < record.ref.length;) {
    const size_t size = std::min<uint64_t>(kReadSize, record.ref.length - at);
    rate_.Take(static_cast<int64_t>(size));
    const std::span<std::byte> part(block.data(), size);
    if (auto read = file.file.ReadAt(static_cast<int64_t>(record.ref.offset + at), part); !read)
      return report(FindingClass::kObjectTruncated, read.error().message);
    hasher.Update(part);
    at += size;
  }
  if (hasher.Finish() != record.ref.name)
    report(FindingClass::kObjectHash, "its bytes are not those its name stands for");
}

void Scan::Hash(const FileImage& file, const std::vector<ScannedRecord>& records) {
  // In batches, so that progress moves and a cancelled run ends soon.
  constexpr int64_t kBatchBytes = 64 << 20;
  for (size_t begin = 0; begin < records.size() && !run_.cancelled();) {
    int64_t bytes = 0;
    size_t end = begin;
    while (end < records.size() && bytes < kBatchBytes) bytes += records[end++].ref.length;
    run_.pool.ParallelFor(end - begin, [&](size_t i) { HashOne(file, records[begin + i]); });
    run_.summary.bytes += bytes;
    done_ += bytes;
    begin = end;
    run_.Progress("packs", done_, total_);
  }
}

std::optional<uint64_t> Scan::NextRecord(const FileImage& file, uint64_t from) const {
  std::vector<std::byte> window(kSearchSize);
  for (uint64_t at = from; at + kRecordHeaderSize <= file.size;
       at += kSearchSize - kRecordHeaderSize) {
    const size_t size = std::min<uint64_t>(kSearchSize, file.size - at);
    const std::span<std::byte> part(window.data(), size);
    if (!file.file.ReadAt(static_cast<int64_t>(at), part)) return std::nullopt;
    for (size_t i = 0; i + kRecordHeaderSize <= size; i += kRecordAlignment) {
      if (std::memcmp(part.data() + i, "ZNR1", 4) != 0) continue;
      if (DecodeRecordHeader(part.subspan(i, kRecordHeaderSize), run_.image.salt())) return at + i;
    }
  }
  return std::nullopt;
}

std::vector<ScannedRecord> Scan::RecordsOf(const FileImage& file) {
  std::vector<ScannedRecord> records;
  uint64_t at = kPackHeaderSize;
  while (at + kRecordHeaderSize <= file.size && !run_.cancelled()) {
    const auto header = run_.image.HeaderAt(file, at);
    if (!header || header->length > UINT32_MAX || PackRecordHeadSize(header->length) > file.size - at ||
        header->length > file.size - at - PackRecordHeadSize(header->length)) {
      if (const uint64_t lost = run_.image.LostAt(file, at)) {
        at += lost;
        continue;
      }
      // Damaged, or what a crash left: references into it are found by whoever follows them.
      const auto next = NextRecord(file, at + kRecordAlignment);
      if (!next) break;
      at = *next;
      continue;
    }
    records.push_back({header->type,
                       {header->name, at + PackRecordHeadSize(header->length), file.number,
                        static_cast<uint32_t>(header->length)}});
    at += PackRecordSize(header->length);
  }
  return records;
}

void Scan::CheckIndex(const FileImage& file, const std::vector<ScannedRecord>& records) {
  const std::string name = "packs/" + PackFileName(file.number, ".idx");
  const std::string path = run_.image.directory() + "/" + name;
  if (!PathExists(path)) return;  // a pack that was never sealed
  const auto report = [&](std::string message) {
    run_.findings.Add({FindingClass::kIndexMismatch,
                       false,
                       name,
                       std::move(message),
                       "zn-fsck --repair makes it again from the pack",
                       {}});
  };
  const auto bytes = ReadWholeFile(path, int64_t{1} << 36);
  if (!bytes) return report(bytes.error().message);
  const auto index = PackIndex::Open(*bytes, run_.image.salt());
  if (!index) return report(index.error().message);
  if (auto body = index->CheckBody(); !body) return report(body.error().message);
  std::map<uint64_t, const ScannedRecord*> by_offset;
  for (const ScannedRecord& record : records) by_offset.emplace(record.ref.offset, &record);
  if (index->count() != records.size())
    return report("it lists " + std::to_string(index->count()) + " records, the pack has " +
                  std::to_string(records.size()));
  for (uint64_t i = 0; i < index->count(); ++i) {
    const PackEntry entry = index->entry(i);
    const auto at = by_offset.find(entry.offset);
    if (at == by_offset.end() || at->second->ref.name != entry.name ||
        at->second->ref.length != entry.length)
      return report("it names a record at " + std::to_string(entry.offset) + " that is not there");
  }
}

Result<> Scan::OnePack(FileImage& file) {
  std::byte header[kPackHeaderSize] = {};
  auto read = file.size < kPackHeaderSize
                  ? Result<>(Error{ErrorCode::kCorrupt, "the file ends within its header"})
                  : file.file.ReadAt(0, header);
  if (read) read = CheckPackHeader(header, run_.image.salt());
  const std::vector<ScannedRecord> records = RecordsOf(file);
  // A pack that was begun when the process was killed may have nothing but a torn header; and when
  // the power was cut, records without it. Both were never synced, so nothing refers to them.
  const std::string index =
      run_.image.directory() + "/packs/" + PackFileName(file.number, ".idx");
  const bool never_synced =
      !PathExists(index) && std::all_of(std::begin(header), std::end(header),
                                        [](std::byte byte) { return byte == std::byte{0}; });
  if (!read && !records.empty())
    run_.findings.Add({never_synced ? FindingClass::kTmpStale : FindingClass::kObjectDecode,
                       never_synced,
                       file.name,
                       "its header: " + read.error().message,
                       never_synced ? "none is needed: it was never synced, nothing refers to it"
                                    : "zn-fsck --repair writes it again",
                       {}});
  run_.summary.records += static_cast<int64_t>(records.size());
  CheckIndex(file, records);
  if (run_.options.level >= CheckLevel::kFull) {
    if (state_.IsDone(file.number, file.file)) {
      done_ += static_cast<int64_t>(file.size);
      return {};
    }
    Hash(file, records);
    if (!run_.cancelled() && !run_.findings.AnyIn(file.number))
      ZN_RETURN_IF_ERROR(state_.SetDone(file.number, file.file));
  }
  return run_.cancelled() ? Result<>(ErrorCode::kCancelled, "stopped") : Result<>();
}

Result<> Scan::Packs() {
  for (const auto& [name, why] : run_.image.damaged_tables())
    run_.findings.Add({FindingClass::kIndexMismatch,
                       false,
                       name,
                       "the table of where a collected pack's records went: " + why,
                       "restore it from a backup (--from-backup)",
                       {}});
  for (const auto& [number, file] : run_.image.files())
    if (!(number & RecordRef::kLogBit)) total_ += static_cast<int64_t>(file.size);
  for (auto& [number, file] : run_.image.files()) {
    if (number & RecordRef::kLogBit) continue;
    ++run_.summary.packs;
    ZN_RETURN_IF_ERROR(OnePack(file));
  }
  return {};
}

struct Scan::LogFile {
  const FileImage& file;
  uint32_t number;       // without kLogBit
  uint64_t durable_end;  // acknowledged up to here, when known; else the size
  bool newest;
  bool after_removed = false;  // the file before it is not there, and need not be
};

void Scan::OneGroup(LogFile& log, const GroupHeader& header, std::span<const std::byte> bytes,
                    LogEnd& end) {
  const bool hash = run_.options.level >= CheckLevel::kFull;
  UnnamedRecords unnamed;
  uint32_t seen = 0;
  const auto visited = VisitGroup(
      header, bytes, run_.image.salt(), false,
      [&](const RecordHeader& record, uint64_t offset,
          std::span<const std::byte> payload) -> Result<> {
        ++run_.summary.records;
        ++seen;
        unnamed.See(record.type, record.name, payload);
        run_.summary.bytes += static_cast<int64_t>(payload.size());
        const RecordRef ref{record.name, offset, log.file.number,
                            static_cast<uint32_t>(payload.size())};
        // What opening replays is checked at every level.
        const bool replayed =
            record.type == RecordType::kRef || record.type == RecordType::kCheckpoint ||
            record.type == RecordType::kEpoch || record.type == RecordType::kState;
        if ((replayed || (hash && Sampled(record.name))) && HashSha256(payload) != record.name) {
          Finding finding{FindingClass::kObjectHash,
                          false,
                          DescribeRecord(record.type, ref),
                          "its bytes are not those its name stands for",
                          "restore it from a backup (--from-backup)",
                          {}};
          if (replayed) {
            finding.kind = FindingClass::kLogGap;
            finding.message += ": the newest state of rooms may be lost";
            run_.findings.Add(std::move(finding));
          } else {
            run_.findings.AddRecord({ref, record.type}, std::move(finding));
          }
          return {};
        }
        if (replayed) Apply(end, record.type, payload);
        return {};
      });
  if (visited && seen == header.records) {
    for (const auto& [type, name] : unnamed.Take())
      run_.findings.Add({FindingClass::kRefDangling,
                         false,
                         log.file.name + " at " + std::to_string(header.position.offset),
                         "no ref names " + std::string(KindOf(type)) + " " +
                             name.Hex().substr(0, 16) + ": an older one stands in its place",
                         "zn-fsck --repair goes by the newest commit",
                         {}});
  }
  if (!visited)
    run_.findings.Add({FindingClass::kLogGap,
                       false,
                       log.file.name,
                       visited.error().message,
                       "restore from a backup (--from-backup); what stands before it is kept",
                       {}});
}

void Scan::PunchedGroup(const LogFile& log, const GroupHeader& header, std::span<const std::byte> bytes) {
  const uint64_t end = std::min<uint64_t>(header.end().offset, bytes.size());
  uint64_t at = header.position.offset + kGroupHeaderSize;
  while (at + kRecordHeaderSize <= end) {
    const auto record = DecodeRecordHeader(bytes.subspan(at), run_.image.salt());
    const uint64_t payload = at + kRecordHeaderSize;
    if (!record || record->length > end - payload) {
      at += kRecordAlignment;
      continue;
    }
    const uint64_t next = at + PaddedRecordSize(record->length);
    if (!HasHole(bytes, at, next)) {
      ++run_.summary.records;
      run_.summary.bytes += static_cast<int64_t>(record->length);
      const RecordRef ref{record->name, payload, log.file.number, static_cast<uint32_t>(record->length)};
      if (run_.options.level >= CheckLevel::kFull && Sampled(record->name) &&
          HashSha256(bytes.subspan(payload, record->length)) != record->name)
        run_.findings.AddRecord({.ref = ref, .type = record->type},
                                {FindingClass::kObjectHash,
                                 false,
                                 DescribeRecord(record->type, ref),
                                 "its bytes are not those its name stands for",
                                 "restore it from a backup (--from-backup)",
                                 {}});
    }
    at = next;
  }
}

Result<> Scan::OneLog(LogFile& log, LogEnd& end) {
  ZN_ASSIGN_OR_RETURN(const auto whole, ReadWholeFile(run_.image.directory() + "/" + log.file.name,
                                                      int64_t{1} << 40));
  rate_.Take(static_cast<int64_t>(whole.size()));
  const std::span<const std::byte> bytes(whole);
  const auto gap = [&](uint64_t at, const std::string& what) {
    run_.findings.Add({FindingClass::kLogGap,
                       false,
                       log.file.name + " at " + std::to_string(at),
                       what,
                       "restore from a backup (--from-backup); what stands before it is kept",
                       {}});
  };
  uint64_t at = 0;
  // The collection leaves holes in files that opening the store does not read, and removes whole ones. What of them is
  // needed is found missing by whoever refers to it.
  if (log.after_removed) after_hole_ = true;
  while (at < std::min<uint64_t>(bytes.size(), log.durable_end)) {
    if (run_.cancelled()) return Error{ErrorCode::kCancelled, "stopped"};
    if (log.newest && durable_sequence_ && last_sequence_ >= *durable_sequence_) break;
    auto header = DecodeGroupHeader(bytes.subspan(at), {log.number, at}, run_.image.salt());
    if (!header && header.error().code == ErrorCode::kUnsupported)
      return std::move(header).error().Context(log.file.name);
    if (!header && !log.newest && IsHole(bytes, at)) {
      at += kGroupAlignment;
      after_hole_ = true;
      continue;
    }
    if (!header && after_hole_ && !log.newest) {  // the end of a group whose beginning was given back
      at += kGroupAlignment;
      continue;
    }
    if (!header || header->padded_length() > bytes.size() - at) {
      const std::string what = header ? "the file ends within a group" : header.error().message;
      // Is there anything behind it that says it had been synced?
      std::optional<GroupHeader> later;
      for (uint64_t next = at + kGroupAlignment; next < bytes.size() && !later;
           next += kGroupAlignment)
        if (auto found =
                DecodeGroupHeader(bytes.subspan(next), {log.number, next}, run_.image.salt()))
          later = *found;
      if (later || !log.newest || !durable_sequence_)
        gap(at, what + ", though it had been acknowledged");
      if (!later) break;
      last_sequence_ = later->sequence - 1;
      at = later->position.offset;
      continue;
    }
    if (last_sequence_ != 0 && header->sequence != last_sequence_ + 1 && !after_hole_)
      gap(at, "group " + std::to_string(header->sequence) + " follows group " +
                  std::to_string(last_sequence_));
    last_sequence_ = header->sequence;
    after_hole_ = false;
    if (!log.newest && HasHole(bytes, at, header->end().offset)) {
      PunchedGroup(log, *header, bytes);
    } else {
      OneGroup(log, *header, bytes.subspan(at), end);
    }
    at = header->end().offset;
  }
  if (log.newest && at < bytes.size() && durable_sequence_ && !AllZero(bytes.subspan(at)))
    run_.findings.Add(
        {FindingClass::kLogTorn,
         true,
         log.file.name + " at " + std::to_string(at),
         std::to_string(bytes.size() - at) +
             " bytes of a write that a crash cut short; nobody was told of it",
         "the next process that writes to the store keeps them in quarantine/ and goes on",
         {}});
  return {};
}

Result<LogEnd> Scan::Logs() {
  LogEnd end;
  LogOptions options;
  options.directory = run_.image.directory() + "/log";
  options.head_path = run_.image.directory() + "/head";
  options.quarantine = run_.image.directory() + "/quarantine";
  options.salt = run_.image.salt();
  options.read_only = true;
  // What a program that opens the store would find.
  const auto opened = [&]() -> Result<uint64_t> {
    ZN_ASSIGN_OR_RETURN(const auto log, OpenLog(LocalFileSystem(), options));
    ZN_RETURN_IF_ERROR(log->Replay([](uint64_t, const LoggedRecord&) -> Result<> { return {}; }));
    return log->durable_sequence();
  }();
  if (opened) {
    durable_sequence_ = *opened;
  } else if (opened.error().code == ErrorCode::kUnsupported) {
    return opened.error();
  } else {
    run_.findings.Add({FindingClass::kLogGap,
                       false,
                       "log",
                       opened.error().message,
                       "restore from a backup (--from-backup); the store does not open as it is",
                       {}});
  }
  std::vector<LogFile> logs;
  for (const auto& [number, file] : run_.image.files())
    if (number & RecordRef::kLogBit)
      logs.push_back({file, number & ~RecordRef::kLogBit, file.size, false});
  if (logs.empty()) return end;
  logs.back().newest = true;
  // Each file's first group says how far the one before was acknowledged.
  for (size_t i = 1; i < logs.size(); ++i) {
    std::byte header[kGroupHeaderSize];
    if (logs[i].file.size < sizeof header || !logs[i].file.file.ReadAt(0, header)) continue;
    const auto group = DecodeGroupHeader(header, {logs[i].number, 0}, run_.image.salt());
    if (!group) continue;
    if (group->durable_to.file == logs[i - 1].number)
      logs[i - 1].durable_end = group->durable_to.offset;
  }
  // Opening needs the newest file and the one before it.
  for (size_t i = 0; i + 2 < logs.size(); ++i)
    logs[i + 1].after_removed = logs[i + 1].number != logs[i].number + 1;
  for (LogFile& log : logs) {
    ++run_.summary.log_files;
    // A newest file that was only begun when the process was killed holds nothing that anyone was
    // told of.
    if (log.newest && durable_sequence_ && last_sequence_ >= *durable_sequence_ &&
        logs.size() > 1) {
      run_.findings.Add(
          {FindingClass::kLogTorn,
           true,
           log.file.name,
           "a file that a crash cut short; nobody was told of it",
           "the next process that writes to the store keeps it in quarantine/ and goes on",
           {}});
      continue;
    }
    ZN_RETURN_IF_ERROR(OneLog(log, end));
  }
  return end;
}

void Scan::Leftovers() {
  const auto stale = [&](const std::string& name, const std::string& what) {
    run_.findings.Add({FindingClass::kTmpStale,
                       true,
                       name,
                       what,
                       "zn-fsck --repair moves it to quarantine/",
                       {}});
  };
  const std::string& directory = run_.image.directory();
  for (const char* folder : {"", "log", "packs"}) {
    const std::string path = *folder ? directory + "/" + folder : directory;
    const auto names = ListDirectory(path);
    if (!names) continue;
    for (const std::string& name : *names) {
      const std::string shown = *folder ? std::string(folder) + "/" + name : name;
      if (name.find(".tmp") != std::string::npos)
        stale(shown, "a file that was being written when its process was killed");
    }
  }
  if (const auto jobs = ListDirectory(directory + "/incoming"))
    for (const std::string& job : *jobs)
      stale("incoming/" + job, "packs of an import that did not end");
}

}  // namespace zn::check
