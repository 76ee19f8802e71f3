#include "log/recovery.h"

#include <algorithm>

namespace zn {
namespace {

constexpr std::string_view kAdvice = "; run zn-fsck to see what can be saved";

Result<> Ignore(const RecordHeader&, uint64_t, std::span<const std::byte>) { return {}; }

Error Corrupt(LogPosition at, const std::string& what) {
  return Error{ErrorCode::kCorrupt, LogFileName(at.file) + " at offset " +
                                        std::to_string(at.offset) + ": " + what +
                                        std::string(kAdvice)};
}

bool AllZero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

class Recovery {
 public:
  Recovery(FileSystem& files, const LogMaps& maps, const LogOptions& options,
           std::optional<Head> hint)
      : files_(files), maps_(maps), options_(options), hint_(hint) {}

  Result<Recovered> Run() {
    ZN_ASSIGN_OR_RETURN(numbers_, ListLogFiles(files_, options_.directory));
    if (hint_ &&
        std::find(numbers_.begin(), numbers_.end(), hint_->durable.file) == numbers_.end()) {
      return Corrupt(hint_->durable, "the file is missing, though head names it");
    }
    ZN_RETURN_IF_ERROR(DropUnfinishedFile());
    if (numbers_.empty()) return Recovered{};
    return ScanNewest();
  }

 private:
  /// nullopt when it is damaged. Once head names the file its first group is known to have been
  /// synced, and only the header is looked at.
  Result<std::optional<GroupHeader>> FirstGroup(uint32_t file) {
    ZN_ASSIGN_OR_RETURN(auto bytes, maps_.WholeFile(file));
    auto header = DecodeGroupHeader(bytes, {file, 0}, options_.salt);
    const bool synced = hint_ && hint_->durable.file >= file;
    if (header && header->padded_length() <= bytes.size() &&
        (synced || VisitGroup(*header, bytes, options_.salt, true, Ignore))) {
      return std::optional<GroupHeader>(*header);
    }
    if (!header && header.error().code == ErrorCode::kUnsupported) {
      return std::move(header).error().Context(LogFileName(file));
    }
    return std::optional<GroupHeader>();
  }

  /// The newest file has no valid first group when the crash came while it was begun. Nothing in it
  /// was acknowledged.
  Result<> DropUnfinishedFile() {
    if (numbers_.empty()) return {};
    uint32_t newest = numbers_.back();
    ZN_ASSIGN_OR_RETURN(auto first, FirstGroup(newest));
    if (first) return {};
    ZN_ASSIGN_OR_RETURN(auto bytes, maps_.WholeFile(newest));
    if ((hint_ && hint_->durable.file >= newest) ||
        FindLaterGroup(bytes, {newest, kGroupAlignment}, {newest, 0}, options_.salt)) {
      return Corrupt({newest, 0}, "the file's first group is damaged, but had been synced");
    }
    numbers_.pop_back();
    if (options_.read_only) return {};
    ZN_RETURN_IF_ERROR(files_.MakeDirectory(options_.quarantine));
    ZN_ASSIGN_OR_RETURN(auto taken, files_.List(options_.quarantine));
    std::string name = LogFileName(newest).substr(4);
    std::string target = name;
    for (int i = 2; std::find(taken.begin(), taken.end(), target) != taken.end(); ++i) {
      target = name + "." + std::to_string(i);
    }
    ZN_RETURN_IF_ERROR(files_.Rename(maps_.PathOf(newest), options_.quarantine + "/" + target));
    maps_.Forget(newest);  // the next file begun will have this number
    ZN_RETURN_IF_ERROR(files_.SyncDirectory(options_.quarantine));
    return files_.SyncDirectory(options_.directory);
  }

  Result<Recovered> ScanNewest() {
    const uint32_t file = numbers_.back();
    ZN_ASSIGN_OR_RETURN(auto first, FirstGroup(file));
    if (!first) return Corrupt({file, 0}, "the file's first group is damaged");
    ZN_RETURN_IF_ERROR(CheckFileBefore(*first));
    ZN_ASSIGN_OR_RETURN(auto bytes, maps_.WholeFile(file));

    Recovered result;
    result.head.checkpoint = {file, 0};
    if (hint_ && hint_->checkpoint.file == file && hint_->checkpoint.offset < bytes.size()) {
      auto group = DecodeGroupHeader(bytes.subspan(hint_->checkpoint.offset), hint_->checkpoint,
                                     options_.salt);
      if (group && (group->flags & kHasCheckpoint)) result.head.checkpoint = hint_->checkpoint;
    }
    FileWalk walk = WalkLogFile(bytes, result.head.checkpoint, options_.salt);
    if (walk.last.records == 0 && result.head.checkpoint.offset != 0) {
      // The hint led to a damaged group.
      result.head.checkpoint = {file, 0};
      walk = WalkLogFile(bytes, result.head.checkpoint, options_.salt);
    }
    if (walk.last.records == 0) {
      return Corrupt({file, 0}, walk.bad ? walk.bad->message : "no group begins here");
    }
    const LogPosition end{file, walk.end};
    if (walk.bad) {
      if (walk.bad->code == ErrorCode::kUnsupported) return *walk.bad;
      if (hint_ && hint_->durable > end) {
        return Corrupt(end, walk.bad->message + ", though it had been synced, as head says");
      }
      if (auto later = FindLaterGroup(bytes, end, end, options_.salt)) {
        return Corrupt(end, walk.bad->message + ", though it had been synced, as the group at " +
                                "offset " + std::to_string(later->position.offset) + " says");
      }
    } else if (hint_ && hint_->durable > end) {
      return Corrupt(end, "the file ends here, but head says that more had been synced");
    }
    result.head.durable = end;
    result.head.sequence = walk.last.sequence;
    result.tail_is_dead = walk.bad.has_value();
    result.ends_with_checkpoint =
        !walk.bad && walk.last.position == result.head.checkpoint && walk.last.records == 1;
    if (options_.read_only) return result;
    if (walk.bad) ZN_RETURN_IF_ERROR(KeepTornTail(end, bytes.subspan(end.offset)));
    if (!hint_ || hint_->durable < end) {
      ZN_RETURN_IF_ERROR(WriteAgain(walk.last, bytes));
    }
    return result;
  }

  /// The newest file says how much of the one before had been synced.
  Result<> CheckFileBefore(const GroupHeader& first) {
    if (first.durable_to.file == 0) return {};
    auto file = files_.OpenForReading(maps_.PathOf(first.durable_to.file));
    if (!file) {
      return Corrupt(first.durable_to, "the file is missing, though a later one follows it");
    }
    ZN_ASSIGN_OR_RETURN(int64_t size, file->Size());
    if (static_cast<uint64_t>(size) < first.durable_to.offset) {
      return Corrupt({first.durable_to.file, static_cast<uint64_t>(size)},
                     "the file ends here, but " + std::to_string(first.durable_to.offset) +
                         " bytes of it had been synced");
    }
    return {};
  }

  /// A copy, because readers may have the file mapped.
  Result<> KeepTornTail(LogPosition end, std::span<const std::byte> tail) {
    if (AllZero(tail)) return {};
    ZN_RETURN_IF_ERROR(files_.MakeDirectory(options_.quarantine));
    std::string path = options_.quarantine + "/" + LogFileName(end.file).substr(4) + ".at-" +
                       std::to_string(end.offset);
    ZN_RETURN_IF_ERROR(files_.Remove(path));
    ZN_ASSIGN_OR_RETURN(auto file, files_.Create(path));
    std::span<const std::byte> pieces[] = {tail};
    ZN_RETURN_IF_ERROR(file->Write(0, pieces));
    ZN_RETURN_IF_ERROR(file->Sync());
    return files_.SyncDirectory(options_.quarantine);
  }

  /// The last group may have come from the page cache: of a writer that ended before it had synced
  /// it, or whose sync had failed (and then the system takes its pages for clean). Written once
  /// more it is synced for certain.
  Result<> WriteAgain(const GroupHeader& last, std::span<const std::byte> bytes) {
    ZN_ASSIGN_OR_RETURN(auto file, files_.OpenForWriting(maps_.PathOf(last.position.file)));
    uint64_t begin = last.position.offset;
    auto group = bytes.subspan(begin, last.end().offset - begin);
    std::vector<std::byte> copy(group.begin(), group.end());
    std::span<const std::byte> pieces[] = {copy};
    ZN_RETURN_IF_ERROR(file->Write(static_cast<int64_t>(begin), pieces));
    ZN_RETURN_IF_ERROR(file->Sync());
    return files_.SyncDirectory(options_.directory);
  }

  FileSystem& files_;
  const LogMaps& maps_;
  const LogOptions& options_;
  const std::optional<Head> hint_;
  std::vector<uint32_t> numbers_;
};

}  // namespace

FileWalk WalkLogFile(std::span<const std::byte> bytes, LogPosition from, uint32_t salt) {
  FileWalk walk;
  walk.end = from.offset;
  while (walk.end < bytes.size()) {
    LogPosition at{from.file, walk.end};
    auto header = DecodeGroupHeader(bytes.subspan(at.offset), at, salt);
    if (!header) {
      walk.bad = std::move(header).error().Context(LogFileName(at.file) + " at offset " +
                                                   std::to_string(at.offset));
      return walk;
    }
    if (walk.last.records != 0 && header->sequence != walk.last.sequence + 1) {
      walk.bad = Error{ErrorCode::kCorrupt, "a group is out of sequence"};
      return walk;
    }
    if (header->padded_length() > bytes.size() - at.offset) {
      walk.bad = Error{ErrorCode::kCorrupt, "the file ends within a group"};
      return walk;
    }
    auto visited = VisitGroup(*header, bytes.subspan(at.offset), salt, true, Ignore);
    if (!visited) {
      walk.bad = std::move(visited).error();
      return walk;
    }
    walk.last = *header;
    walk.end = header->end().offset;
  }
  return walk;
}

std::optional<GroupHeader> FindLaterGroup(std::span<const std::byte> bytes, LogPosition from,
                                          LogPosition beyond, uint32_t salt) {
  for (uint64_t at = from.offset; at < bytes.size(); at += kGroupAlignment) {
    auto header = DecodeGroupHeader(bytes.subspan(at), {from.file, at}, salt);
    if (header && header->durable_to > beyond) return *header;
  }
  return std::nullopt;
}

Result<std::vector<uint32_t>> ListLogFiles(const FileSystem& files, const std::string& directory) {
  ZN_ASSIGN_OR_RETURN(auto names, files.List(directory));
  std::vector<uint32_t> numbers;
  for (const std::string& name : names) {
    if (uint32_t number = ParseLogFileName(name)) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Result<Recovered> RecoverLog(FileSystem& files, const LogMaps& maps, const LogOptions& options,
                             std::optional<Head> hint) {
  return Recovery(files, maps, options, hint).Run();
}

}  // namespace zn
