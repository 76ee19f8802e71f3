#include "backup/store_backup.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <thread>

#include "base/bytes.h"
#include "log/group.h"
#include "pack/pack_format.h"

namespace zn::backup {
namespace {

constexpr size_t kListPieces = 4096;       // of a pack
constexpr uint64_t kListBytes = 16 << 20;  // of a log
constexpr size_t kMostLists = 64;          // held before they are written
constexpr uint64_t kWindow = 4 << 20;      // read at once
constexpr uint64_t kRawBytes = 1 << 20;    // of the log as it is
constexpr uint64_t kChunkOfLog =
    32 << 10;  // a chunk of at least this size is an object of its own: other stores have it too
constexpr int kWaits = 100;  // for a record that is being written
constexpr std::chrono::milliseconds kWait(50);

Result<Sha256> TailOf(const File& file, uint64_t size) {
  std::vector<std::byte> tail(std::min(size, kTailSize));
  ZN_RETURN_IF_ERROR(file.ReadAt(static_cast<int64_t>(size - tail.size()), tail));
  return HashSha256(tail);
}

/// Does `file` begin with all of `earlier`?
Result<bool> Grew(const SourceFile& file, const FileRecord& earlier) {
  if (file.size < earlier.size) return false;
  ZN_ASSIGN_OR_RETURN(const Sha256 tail, TailOf(file.file, earlier.size));
  return tail == earlier.tail;
}

/// Where the next group of a log file stands behind `at`; the file's end when there is none.
/// `bytes` begin at `begin`.
uint64_t NextGroup(std::span<const std::byte> bytes, uint64_t begin, uint64_t at, uint32_t number,
                   uint32_t salt) {
  const uint64_t end = begin + bytes.size();
  for (at += kGroupAlignment; at < end; at += kGroupAlignment)
    if (DecodeGroupHeader(bytes.subspan(at - begin), {number, at}, salt)) return at;
  return end;
}

/// Is a whole block of it zero?
bool HasHole(std::span<const std::byte> bytes) {
  for (uint64_t at = 0; at < bytes.size(); at += kGroupAlignment)
    if (IsZero(bytes.subspan(at, std::min<uint64_t>(kGroupAlignment, bytes.size() - at))))
      return true;
  return false;
}

const FileRecord* FindFile(const SnapshotDocument& snapshot, const std::string& name) {
  const auto at = std::find_if(snapshot.files.begin(), snapshot.files.end(),
                               [&](const FileRecord& file) { return file.name == name; });
  return at == snapshot.files.end() ? nullptr : &*at;
}

}  // namespace

Result<bool> Continues(const StoreFiles& store, const SnapshotDocument& parent) {
  if (parent.kind != SourceKind::kStore || parent.store != store.superblock.uuid ||
      parent.superblock != store.superblock_bytes || parent.sequence > store.sequence)
    return false;
  // The end of its log is here, too: then so is everything before.
  const FileRecord* newest = nullptr;
  for (const FileRecord& file : parent.files)
    if (file.name.starts_with("log/")) newest = &file;
  if (newest == nullptr) return false;
  for (const SourceFile& file : store.files)
    if (file.name == newest->name) return Grew(file, *newest);
  return false;
}

/// Pieces stay where they are until their lists are written, so that tasks can change them.
struct StoreBackup::Building {
  struct Pending {
    std::deque<Piece> pieces;
    uint64_t begin = 0, length = 0;
  };
  FileRecord record;
  size_t list_pieces = kListPieces;  // at most
  std::deque<Pending> pending;
  std::atomic<bool> damaged{false};

  uint64_t end() const {
    if (!pending.empty()) return pending.back().begin + pending.back().length;
    return record.lists.empty() ? 0 : record.lists.back().begin + record.lists.back().length;
  }
  void NewList() {
    const uint64_t begin = end();
    pending.emplace_back();
    pending.back().begin = begin;
  }
  Piece& Add(Piece piece) {
    if (pending.empty() || pending.back().pieces.size() >= list_pieces) NewList();
    Pending& list = pending.back();
    list.length += piece.file_bytes();
    list.pieces.push_back(std::move(piece));
    return list.pieces.back();
  }
};

StoreBackup::StoreBackup(const Repository& repository, ObjectWriter& writer,
                         const BackupControl& control)
    : repository_(repository),
      writer_(writer),
      control_(control),
      rate_(control.bytes_per_second),
      pipeline_(control.threads) {}

Result<> StoreBackup::Run(const StoreFiles& store, const SnapshotDocument* parent,
                          SnapshotDocument& snapshot) {
  salt_ = store.superblock.record_salt;
  for (const SourceFile& file : store.files) total_ += file.size;
  for (const SourceFile& file : store.files) {
    const FileRecord* before = parent == nullptr ? nullptr : FindFile(*parent, file.name);
    auto record = One(file, before);
    if (!record) return std::move(record).error().Context(file.name);
    snapshot.bytes += record->size;
    snapshot.files.push_back(std::move(*record));
  }
  const std::lock_guard lock(mutex_);
  snapshot.damaged = damaged_;
  return {};
}

Result<FileRecord> StoreBackup::One(const SourceFile& file, const FileRecord* parent) {
  if (parent != nullptr) {
    if (parent->damaged) {
      parent = nullptr;  // it may have been mended since
    } else {
      ZN_ASSIGN_OR_RETURN(const bool grew, Grew(file, *parent));
      if (!grew) parent = nullptr;
    }
  }
  if (parent != nullptr && parent->size == file.size) {
    ZN_RETURN_IF_ERROR(Step(file.size));
    return *parent;
  }
  Building building;
  building.record.name = file.name;
  if (parent != nullptr && !parent->lists.empty() && file.kind != SourceFile::kMoved) {
    building.record.lists = parent->lists;
    const ListRef last = building.record.lists.back();
    building.record.lists.pop_back();  // it is written anew, longer
    if (file.kind == SourceFile::kPack) {
      building.NewList();
      ZN_ASSIGN_OR_RETURN(const auto bytes, repository_.Read(last.content));
      ZN_ASSIGN_OR_RETURN(auto pieces, DecodePieces(bytes));
      for (Piece& piece : pieces) building.Add(std::move(piece));
    }
    ZN_RETURN_IF_ERROR(Step(building.end()));
  }
  // A list of a log ends with a group, so that the next backup can go on there.
  if (file.kind == SourceFile::kLog) building.list_pieces = SIZE_MAX;
  const Result<> built = file.kind == SourceFile::kPack  ? Pack(file, building)
                         : file.kind == SourceFile::kLog ? Log(file, building)
                                                         : Plain(file, 0, file.size, building);
  const Result<> drained = pipeline_.Drain();  // also after an error: tasks use what is here
  ZN_RETURN_IF_ERROR(built);
  ZN_RETURN_IF_ERROR(drained);
  ZN_RETURN_IF_ERROR(Flush(building));
  building.record.size = building.end();
  building.record.damaged = building.damaged;
  ZN_ASSIGN_OR_RETURN(building.record.tail, TailOf(file.file, building.record.size));
  return std::move(building.record);
}

Result<> StoreBackup::Flush(Building& building) {
  ZN_RETURN_IF_ERROR(pipeline_.Drain());
  for (Building::Pending& list : building.pending) {
    const std::vector<Piece> pieces(std::make_move_iterator(list.pieces.begin()),
                                    std::make_move_iterator(list.pieces.end()));
    const auto bytes = EncodePieces(pieces);
    const Sha256 content = HashSha256(bytes);
    ZN_RETURN_IF_ERROR(writer_.Put(content, bytes));
    building.record.lists.push_back({content, list.begin, list.length});
  }
  building.pending.clear();
  return {};
}

Result<> StoreBackup::Step(uint64_t bytes) {
  if (control_.cancel != nullptr && *control_.cancel)
    return Error{ErrorCode::kCancelled, "stopped; what is stored already is used by the next run"};
  done_ += bytes;
  if (control_.progress) control_.progress({"backing up", done_, total_});
  return {};
}

void StoreBackup::Warn(const std::string& text) {
  const std::lock_guard lock(mutex_);
  ++damaged_;
  if (control_.warning) control_.warning(text);
}

Result<> StoreBackup::Read(const SourceFile& file, uint64_t offset, std::span<std::byte> out) {
  rate_.Take(static_cast<int64_t>(out.size()));
  return file.file.ReadAt(static_cast<int64_t>(offset), out);
}

Result<> StoreBackup::Plain(const SourceFile& file, uint64_t begin, uint64_t end,
                            Building& building) {
  for (uint64_t at = begin; at < end; at += kRawBytes) {
    auto bytes = std::make_shared<std::vector<std::byte>>(std::min(kRawBytes, end - at));
    ZN_RETURN_IF_ERROR(Read(file, at, *bytes));
    Piece& piece = building.Add(
        {Piece::kRaw, RecordType::kChunk, static_cast<uint32_t>(bytes->size()), {}, {}});
    ZN_RETURN_IF_ERROR(
        pipeline_.Submit(static_cast<int64_t>(bytes->size()), [this, bytes, &piece]() -> Result<> {
          piece.content = HashSha256(*bytes);
          return writer_.Put(piece.content, *bytes);
        }));
    ZN_RETURN_IF_ERROR(Step(bytes->size()));
    if (building.pending.size() > kMostLists) ZN_RETURN_IF_ERROR(Flush(building));
  }
  return {};
}

Result<> StoreBackup::Damage(const SourceFile& file, uint64_t begin, uint64_t end,
                             const std::string& what, Building& building) {
  building.damaged = true;
  Warn(file.name + " at offset " + std::to_string(begin) + ": " + what +
       "; its bytes are kept as they are");
  return Plain(file, begin, end, building);
}

Result<> StoreBackup::Log(const SourceFile& file, Building& building) {
  const uint64_t begin = building.end();
  if (begin == file.size) return {};
  const uint32_t number = ParseLogFileName(file.name.substr(4));
  // A file of the log has at most 64 MiB, or one group.
  auto bytes = std::make_shared<std::vector<std::byte>>(file.size - begin);
  ZN_RETURN_IF_ERROR(Read(file, begin, *bytes));
  uint64_t from = begin;  // of the piece in the making
  const auto cut = [&](uint64_t to) -> Result<> {
    if (to == from) return {};
    const auto part = std::span<const std::byte>(*bytes).subspan(from - begin, to - from);
    Piece& piece =
        building.Add({Piece::kRaw, RecordType::kChunk, static_cast<uint32_t>(part.size()), {}, {}});
    from = to;
    return pipeline_.Submit(0, [this, bytes, part, &piece]() -> Result<> {
      piece.content = HashSha256(part);
      return writer_.Put(piece.content, part);
    });
  };
  const auto cut_to = [&](uint64_t to) -> Result<> {
    while (to - from > 4 * kRawBytes) ZN_RETURN_IF_ERROR(cut(from + 4 * kRawBytes));
    return cut(to);
  };
  building.NewList();
  for (uint64_t at = begin; at < file.size;) {
    const auto here = std::span<const std::byte>(*bytes).subspan(at - begin);
    const auto header = DecodeGroupHeader(here, {number, at}, salt_);
    Result<> sound = header ? Result<>() : Result<>(header.error());
    if (sound && header->padded_length() > here.size())
      sound = Error{ErrorCode::kCorrupt, "the file ends within a group"};
    std::vector<std::pair<uint64_t, uint64_t>> chunks;
    if (sound)
      sound = VisitGroup(*header, here, salt_, true,
                         [&](const RecordHeader& record, uint64_t offset,
                             std::span<const std::byte> payload) -> Result<> {
                           if (record.type == RecordType::kChunk && payload.size() >= kChunkOfLog)
                             chunks.emplace_back(offset, offset + payload.size());
                           return {};
                         });
    if (!sound) {
      // Older files may have holes where the collection found nothing that is needed; what else is
      // no group is damage.
      const uint64_t next = NextGroup(*bytes, begin, at, number, salt_);
      const auto region = std::span<const std::byte>(*bytes).subspan(at - begin, next - at);
      if (!HasHole(region)) {
        building.damaged = true;
        Warn(file.name + " at offset " + std::to_string(at) + ": " + sound.error().message +
             "; its bytes are kept as they are");
      }
      ZN_RETURN_IF_ERROR(cut_to(at));
      ZN_RETURN_IF_ERROR(cut_to(next));
      at = next;
      continue;
    }
    for (const auto& [first, last] : chunks) {
      ZN_RETURN_IF_ERROR(cut_to(first));
      ZN_RETURN_IF_ERROR(cut(last));
    }
    at += header->padded_length();
    if (at - from >= kRawBytes || at == file.size) ZN_RETURN_IF_ERROR(cut_to(at));
    if (at - building.pending.back().begin >= kListBytes && at < file.size) {
      ZN_RETURN_IF_ERROR(cut_to(at));
      building.NewList();
    }
  }
  return Step(file.size - begin);
}

Result<> StoreBackup::CheckRecord(const SourceFile& file, uint64_t offset,
                                  std::span<const std::byte> record, Piece& piece,
                                  std::atomic<bool>& damaged) {
  const size_t head = PackRecordHeadSize(piece.length);
  const auto payload = record.subspan(head, piece.length);
  if (HashSha256(payload) == piece.content) return writer_.Put(piece.content, payload);
  std::vector<std::byte> again(record.begin(), record.end());
  // The last record of a pack that is being written may be there in part.
  for (int wait = 0; file.growing && wait < kWaits; ++wait) {
    std::this_thread::sleep_for(kWait);
    ZN_RETURN_IF_ERROR(file.file.ReadAt(static_cast<int64_t>(offset), again));
    const auto now = std::span<const std::byte>(again).subspan(head, piece.length);
    if (HashSha256(now) == piece.content) return writer_.Put(piece.content, now);
  }
  damaged = true;
  Warn(file.name + " at offset " + std::to_string(offset) +
       ": a record's bytes are not those its name stands for; they are kept as they are");
  piece.kind = Piece::kRaw;
  piece.length = static_cast<uint32_t>(again.size());
  piece.content = HashSha256(again);
  return writer_.Put(piece.content, again);
}

namespace {

/// Where the first record at or behind `from` begins; `size` when there is none.
Result<uint64_t> NextRecord(const SourceFile& file, uint64_t from, uint32_t salt) {
  constexpr uint64_t kStep = 1 << 20;
  for (uint64_t at = from; at + kRecordHeaderSize <= file.size; at += kStep) {
    std::vector<std::byte> bytes(std::min(kStep, file.size - at));
    ZN_RETURN_IF_ERROR(file.file.ReadAt(static_cast<int64_t>(at), bytes));
    for (uint64_t i = 0; i + kRecordHeaderSize <= bytes.size(); i += kRecordAlignment) {
      const auto header =
          DecodeRecordHeader(std::span<const std::byte>(bytes).subspan(i, kRecordHeaderSize), salt);
      if (header && header->length <= UINT32_MAX &&
          PackRecordSize(header->length) <= file.size - at - i)
        return at + i;
    }
  }
  return file.size;
}

}  // namespace

Result<> StoreBackup::Pack(const SourceFile& file, Building& building) {
  uint64_t at = building.end();
  if (at == 0) {
    Piece header{Piece::kInline,
                 RecordType::kChunk,
                 static_cast<uint32_t>(std::min<uint64_t>(file.size, kPackHeaderSize)),
                 {},
                 {}};
    header.bytes.resize(header.length);
    ZN_RETURN_IF_ERROR(Read(file, 0, header.bytes));
    if (auto sound = CheckPackHeader(header.bytes, salt_); !sound) {
      building.damaged = true;
      Warn(file.name + ": " + sound.error().message);
    }
    at = header.length;
    building.Add(std::move(header));
  }
  struct Found {
    uint64_t offset;  // in the window
    uint64_t size;
    Piece* piece;
  };
  while (at < file.size) {
    uint64_t window = std::min(kWindow, file.size - at);
    auto bytes = std::make_shared<std::vector<std::byte>>(window);
    ZN_RETURN_IF_ERROR(Read(file, at, *bytes));
    std::vector<Found> records;
    uint64_t used = 0;
    std::optional<std::string> bad;
    while (used < window) {
      if (window - used < kRecordHeaderSize) {
        if (at + window == file.size) bad = "the file ends within a record";
        break;
      }
      const auto header = DecodeRecordHeader(
          std::span<const std::byte>(*bytes).subspan(used, kRecordHeaderSize), salt_);
      if (!header || header->length > UINT32_MAX) {
        bad = header ? "a record has an impossible length" : header.error().message;
        break;
      }
      const uint64_t size = PackRecordSize(header->length);
      if (size > file.size - at - used) {
        bad = "the file ends within a record";
        break;
      }
      if (size > window - used) {
        if (used > 0) break;
        bytes->resize(size);  // larger than a window
        ZN_RETURN_IF_ERROR(Read(file, at + window, std::span(*bytes).subspan(window)));
        window = size;
      }
      Piece& piece = building.Add(
          {Piece::kRecord, header->type, static_cast<uint32_t>(header->length), header->name, {}});
      if (!writer_.Has(header->name)) records.push_back({used, size, &piece});
      used += size;
    }
    if (!records.empty()) {
      auto check = [this, &file, &building, at, bytes, records = std::move(records)]() -> Result<> {
        for (const Found& found : records) {
          const auto record = std::span<const std::byte>(*bytes).subspan(found.offset, found.size);
          ZN_RETURN_IF_ERROR(
              CheckRecord(file, at + found.offset, record, *found.piece, building.damaged));
        }
        return {};
      };
      ZN_RETURN_IF_ERROR(pipeline_.Submit(static_cast<int64_t>(bytes->size()), std::move(check)));
    }
    at += used;
    ZN_RETURN_IF_ERROR(Step(used));
    if (building.pending.size() > kMostLists) ZN_RETURN_IF_ERROR(Flush(building));
    if (!bad) continue;

    ZN_ASSIGN_OR_RETURN(uint64_t next, NextRecord(file, at + kRecordAlignment, salt_));
    if (next == file.size && file.growing)
      return {};  // it is just being written, or was when its writer ended
    // Of several that are written at once a later one may be there first.
    bool mended = false;
    for (int wait = 0; file.growing && wait < kWaits && !mended; ++wait) {
      std::this_thread::sleep_for(kWait);
      ZN_ASSIGN_OR_RETURN(const uint64_t now, NextRecord(file, at, salt_));
      mended = now == at;
    }
    if (mended) continue;
    ZN_RETURN_IF_ERROR(Damage(file, at, next, *bad, building));
    at = next;
  }
  return {};
}

}  // namespace zn::backup
