#include "log/log_impl.h"

#include <algorithm>

namespace zn {
namespace {

constexpr std::array<std::byte, kGroupAlignment> kZeros{};

}  // namespace

LogImpl::LogImpl(std::shared_ptr<FileSystem> files, const LogOptions& options)
    : files_(std::move(files)),
      options_(options),
      // A little more than a file usually has, so that it is mapped once.
      maps_(files_, options.directory, options.salt,
            options.max_file_bytes + options.max_file_bytes / 4) {}

Result<std::unique_ptr<Log>> LogImpl::Open(std::shared_ptr<FileSystem> files,
                                           const LogOptions& options) {
  std::unique_ptr<LogImpl> log(new LogImpl(std::move(files), options));
  if (!options.read_only) {
    ZN_RETURN_IF_ERROR(log->Recover());
  } else {
    // A log that is not there is an error now; what is in it is found by Replay.
    ZN_RETURN_IF_ERROR(log->files_->List(options.directory));
  }
  return std::unique_ptr<Log>(std::move(log));
}

Result<> LogImpl::Recover() {
  ZN_RETURN_IF_ERROR(files_->MakeDirectory(options_.directory));
  ZN_ASSIGN_OR_RETURN(head_page_, HeadPage::Open(*files_, options_.head_path, options_.salt, true));
  const std::optional<Head> hint = head_page_->Load();
  ZN_ASSIGN_OR_RETURN(Recovered found, RecoverLog(*files_, maps_, options_, hint));
  ZN_RETURN_IF_ERROR(maps_.Extend(found.head.durable));
  head_ = found.head;
  head_.boot = options_.boot;
  next_ = head_.durable;
  next_sequence_ = head_.sequence + 1;
  durable_sequence_.store(head_.sequence, std::memory_order_release);
  new_file_next_ = found.tail_is_dead || next_.file == 0;
  ends_with_checkpoint_ = found.ends_with_checkpoint;
  stats_.files = next_.file;
  if (next_.file == 0) return {};
  if (hint != head_) head_page_->Store(head_);
  if (!new_file_next_) {
    ZN_ASSIGN_OR_RETURN(file_, files_->OpenForWriting(maps_.PathOf(next_.file)));
  }
  return {};
}

Error LogImpl::Failure() const {
  return Error{ErrorCode::kUnavailable,
               "the log stopped writing, reopen the store: " + failure_->message};
}

std::shared_ptr<LogImpl::Group> LogImpl::BeginGroup() {
  auto group = std::make_shared<Group>();
  group->header.sequence = next_sequence_++;
  group->length = kGroupHeaderSize;
  const bool new_file =
      new_file_next_ || next_.offset >= static_cast<uint64_t>(options_.max_file_bytes);
  group->header.position = new_file ? LogPosition{next_.file + 1, 0} : next_;
  std::vector<std::byte> checkpoint;
  if (new_file && checkpoint_writer_) checkpoint = checkpoint_writer_();
  {
    std::unique_lock pending(pending_mutex_);
    gathering_ = group;
  }
  if (new_file) {
    group->header.flags = kBeginsFile | kHasCheckpoint;
    AddRecord(*group, RecordType::kCheckpoint, std::move(checkpoint));
  }
  return group;
}

RecordRef LogImpl::AddRecord(Group& group, RecordType type, std::vector<std::byte> payload) {
  RecordHeader header{type, payload.size(), HashSha256(payload), Crc32c(payload, options_.salt)};
  Record record;
  EncodeRecordHeader(header, options_.salt, record.header.data());
  record.payload = std::move(payload);
  record.offset = group.header.position.offset + group.length + kRecordHeaderSize;
  group.length += PaddedRecordSize(header.length);
  RecordRef ref{header.name, record.offset, group.header.position.file | RecordRef::kLogBit,
                static_cast<uint32_t>(header.length)};
  std::unique_lock pending(pending_mutex_);
  group.records.push_back(std::move(record));
  return ref;
}

void LogImpl::DropFrom(Group& group, size_t records, uint64_t length) {
  std::unique_lock pending(pending_mutex_);
  if (records == 0) {
    gathering_.reset();
    --next_sequence_;
    return;
  }
  group.records.resize(records);
  group.length = length;
}

Result<Ticket> LogImpl::Append(const std::function<Result<>(const AppendRecord&)>& build) {
  if (options_.read_only) return Error{ErrorCode::kReadOnly, "the log is open for reading"};
  std::lock_guard lock(mutex_);
  if (failure_) return Failure();
  size_t records_before = 0;
  uint64_t length_before = 0;
  std::shared_ptr<Group> group = gathering_;
  if (group == nullptr) {
    group = BeginGroup();
  } else {
    records_before = group->records.size();
    length_before = group->length;
  }
  bool too_large = false;
  const AppendRecord append = [&](RecordType type, std::vector<std::byte> payload) -> RecordRef {
    if (payload.size() > UINT32_MAX) {
      too_large = true;
      return {};
    }
    return AddRecord(*group, type, std::move(payload));
  };
  const size_t records_at_start = group->records.size();
  Result<> built = build(append);
  if (built && too_large) {
    built = Error{ErrorCode::kTooLarge, "a record of the log may have at most 4 GiB"};
  }
  if (!built) {
    DropFrom(*group, records_before, length_before);
    return std::move(built).error();
  }
  if (group->records.size() == records_at_start) {
    // Nothing of its own is waited for, but what it saw may still be on its way.
    if (records_before != 0) return group->header.sequence;
    DropFrom(*group, 0, 0);
    if (in_flight_) return in_flight_->header.sequence;
    return durable_sequence_.load(std::memory_order_relaxed);
  }
  ends_with_checkpoint_ = false;
  return group->header.sequence;
}

Result<> LogImpl::Wait(Ticket ticket) {
  if (ticket <= durable_sequence_.load(std::memory_order_acquire)) return {};
  std::unique_lock lock(mutex_);
  while (true) {
    if (ticket <= durable_sequence_.load(std::memory_order_relaxed)) return {};
    if (failure_) return Failure();
    std::shared_ptr<Group> group = gathering_;
    if (in_flight_ && in_flight_->header.sequence == ticket) group = in_flight_;
    if (group == nullptr || group->header.sequence != ticket) {
      return Error{ErrorCode::kInvalidArgument, "no group has ticket " + std::to_string(ticket)};
    }
    if (!writing_) {
      LeadGroup(lock);
      if (group->error) return *group->error;
      continue;
    }
    ++group->waiters;
    int seen = group->signal.load(std::memory_order_acquire);
    lock.unlock();
    group->signal.wait(seen, std::memory_order_acquire);
    seen = group->signal.load(std::memory_order_acquire);
    if (seen == kDone) return {};
    if (seen == kFailed) return *group->error;
    lock.lock();
    --group->waiters;
  }
}

void LogImpl::LeadGroup(std::unique_lock<std::mutex>& lock) {
  writing_ = true;
  std::shared_ptr<Group> group = gathering_;
  group->header.length = group->length;
  group->header.records = static_cast<uint32_t>(group->records.size());
  group->header.durable_to = head_.durable;
  {
    std::unique_lock pending(pending_mutex_);
    in_flight_ = std::move(gathering_);
    gathering_.reset();
  }
  next_ = group->header.end();
  new_file_next_ = false;
  lock.unlock();

  Result<> written = WriteGroup(*group);

  lock.lock();
  writing_ = false;
  if (!written) {
    failure_ = written.error();
    const bool no_space = failure_->code == ErrorCode::kNoSpace;
    // Everything gathered since builds on what is lost.
    for (const auto& lost : {group, gathering_}) {
      if (lost == nullptr) continue;
      lost->error = Failure();
      if (no_space) lost->error->code = ErrorCode::kNoSpace;
      lost->signal.store(kFailed, std::memory_order_release);
      lost->signal.notify_all();
    }
    return;  // both stay readable from memory, for whoever still holds their references
  }
  head_.durable = group->header.end();
  head_.sequence = group->header.sequence;
  if (group->header.flags & kHasCheckpoint) head_.checkpoint = group->header.position;
  head_page_->Store(head_);
  stats_.groups += 1;
  stats_.syncs += 1;
  stats_.bytes_written += static_cast<int64_t>(group->header.padded_length());
  stats_.files = head_.durable.file;
  durable_sequence_.store(head_.sequence, std::memory_order_release);
  {
    std::unique_lock pending(pending_mutex_);
    in_flight_.reset();
  }
  std::shared_ptr<Group> next = gathering_;
  if (next != nullptr && next->waiters > 0) {
    next->signal.store(kLead, std::memory_order_release);
    next->signal.notify_one();
  }
  group->signal.store(kDone, std::memory_order_release);
  group->signal.notify_all();
}

Result<> LogImpl::WriteGroup(const Group& group) {
  const GroupHeader& header = group.header;
  std::array<std::byte, kGroupHeaderSize> encoded;
  EncodeGroupHeader(header, options_.salt, encoded.data());
  std::vector<std::span<const std::byte>> pieces;
  pieces.reserve(2 + 3 * group.records.size());
  pieces.emplace_back(encoded);
  for (const Record& record : group.records) {
    pieces.emplace_back(record.header);
    if (record.payload.empty()) continue;
    pieces.emplace_back(record.payload);
    size_t padding =
        PaddedRecordSize(record.payload.size()) - kRecordHeaderSize - record.payload.size();
    if (padding != 0) pieces.push_back(std::span(kZeros).first(padding));
  }
  if (uint64_t padding = header.padded_length() - header.length) {
    pieces.push_back(std::span(kZeros).first(padding));
  }
  const bool new_file = header.flags & kBeginsFile;
  if (new_file) {
    ZN_ASSIGN_OR_RETURN(file_, files_->Create(maps_.PathOf(header.position.file)));
  }
  ZN_RETURN_IF_ERROR(file_->Write(static_cast<int64_t>(header.position.offset), pieces));
  ZN_RETURN_IF_ERROR(file_->Sync());
  if (new_file) ZN_RETURN_IF_ERROR(files_->SyncDirectory(options_.directory));
  return maps_.Extend(header.end());
}

uint64_t LogImpl::durable_sequence() const {
  return durable_sequence_.load(std::memory_order_acquire);
}

Result<Buffer> LogImpl::Read(const RecordRef& ref) const {
  auto durable = maps_.Read(ref);
  if (durable) return Buffer(nullptr, *durable);
  if (durable.error().code != ErrorCode::kNotFound) return std::move(durable).error();
  {
    std::shared_lock pending(pending_mutex_);
    for (const auto& group : {in_flight_, gathering_}) {
      if (group == nullptr || (group->header.position.file | RecordRef::kLogBit) != ref.file) {
        continue;
      }
      auto it = std::lower_bound(
          group->records.begin(), group->records.end(), ref.offset,
          [](const Record& record, uint64_t offset) { return record.offset < offset; });
      if (it == group->records.end() || it->offset != ref.offset) continue;
      if (it->payload.size() != ref.length) break;
      // The payload's own storage stays where it is when `records` grows.
      return Buffer(group, it->payload);
    }
  }
  // It may have become durable in between.
  durable = maps_.Read(ref);
  if (!durable) return std::move(durable).error();
  return Buffer(nullptr, *durable);
}

void LogImpl::SetCheckpointWriter(CheckpointWriter writer) {
  std::lock_guard lock(mutex_);
  checkpoint_writer_ = std::move(writer);
}

Result<> LogImpl::Checkpoint() {
  if (options_.read_only) return Error{ErrorCode::kReadOnly, "the log is open for reading"};
  Ticket ticket;
  {
    std::lock_guard lock(mutex_);
    if (failure_) return Failure();
    std::shared_ptr<Group> group = gathering_;
    if (group == nullptr) {
      if (ends_with_checkpoint_ && !in_flight_) return {};
      group = BeginGroup();
    }
    if (!(group->records.size() == 1 && (group->header.flags & kHasCheckpoint))) {
      std::vector<std::byte> payload;
      if (checkpoint_writer_) payload = checkpoint_writer_();
      AddRecord(*group, RecordType::kCheckpoint, std::move(payload));
      group->header.flags |= kHasCheckpoint;
    }
    ends_with_checkpoint_ = true;
    ticket = group->header.sequence;
  }
  return Wait(ticket);
}

Result<std::optional<Head>> LogImpl::ReplayTarget() {
  if (!options_.read_only) {
    std::lock_guard lock(mutex_);
    if (head_.durable.file == 0) return std::optional<Head>();
    return std::optional<Head>(head_);
  }
  if (head_page_ == nullptr) {
    if (auto page = HeadPage::Open(*files_, options_.head_path, options_.salt, false)) {
      head_page_ = std::move(*page);
    }
  }
  std::optional<Head> hint;
  if (head_page_ != nullptr) hint = head_page_->Load();
  if (hint) {
    if (OfThisBoot(*hint)) return hint;
    // Nobody has written since the machine started: what the power cut left of head may be behind,
    // and every group that can be read is on the disk.
    if (replayed_.file != 0) return std::optional<Head>();
  }
  Result<Recovered> recovered = RecoverLog(*files_, maps_, options_, hint);
  if (!recovered) {
    // What a writer that has just begun adds meanwhile can look like damage.
    if (hint) hint = head_page_->Load();
    if (hint && OfThisBoot(*hint)) return hint;
    return std::move(recovered).error();
  }
  const Recovered& found = *recovered;
  if (found.head.durable.file == 0) return std::optional<Head>();
  return std::optional<Head>(found.head);
}

Result<> LogImpl::Replay(const std::function<Result<>(uint64_t, const LoggedRecord&)>& visit) {
  ZN_ASSIGN_OR_RETURN(std::optional<Head> target, ReplayTarget());
  if (!target) return {};
  const bool from_checkpoint = replayed_.file == 0;
  LogPosition at = from_checkpoint ? target->checkpoint : replayed_;
  std::vector<uint32_t> numbers;
  bool first = from_checkpoint;
  while (at < target->durable) {
    ZN_ASSIGN_OR_RETURN(auto bytes, maps_.WholeFile(at.file));
    uint64_t end = target->durable.offset;
    LogPosition next;
    if (at.file < target->durable.file) {
      // What follows the end that the next file gives is a torn tail.
      if (numbers.empty()) {
        ZN_ASSIGN_OR_RETURN(numbers, ListLogFiles(*files_, options_.directory));
      }
      auto it = std::upper_bound(numbers.begin(), numbers.end(), at.file);
      if (it == numbers.end()) {
        return Error{ErrorCode::kCorrupt, LogFileName(target->durable.file) + " is missing"};
      }
      next = {*it, 0};
      ZN_ASSIGN_OR_RETURN(auto following, maps_.WholeFile(*it));
      auto header = DecodeGroupHeader(following, next, options_.salt);
      if (!header) return std::move(header).error().Context(LogFileName(*it) + " at offset 0");
      if (header->durable_to.file != at.file || header->durable_to.offset < at.offset) {
        return Error{ErrorCode::kCorrupt, LogFileName(*it) + " does not follow " +
                                              LogFileName(at.file) + " at offset " +
                                              std::to_string(at.offset)};
      }
      end = header->durable_to.offset;
    }
    if (end > bytes.size()) {
      return Error{ErrorCode::kCorrupt, LogFileName(at.file) + ": ends at offset " +
                                            std::to_string(bytes.size()) + ", before " +
                                            std::to_string(end) + ", which had been synced"};
    }
    ZN_RETURN_IF_ERROR(maps_.Extend({at.file, end}));
    while (at.offset < end) {
      auto here = bytes.subspan(at.offset);
      auto header = DecodeGroupHeader(here, at, options_.salt);
      if (!header) {
        return std::move(header).error().Context(LogFileName(at.file) + " at offset " +
                                                 std::to_string(at.offset));
      }
      uint64_t begin = 0;  // a checkpoint restates what stands before it
      if (first) {
        ZN_RETURN_IF_ERROR(VisitGroup(
            *header, here, options_.salt, false,
            [&](const RecordHeader& record, uint64_t offset, std::span<const std::byte>) {
              if (record.type == RecordType::kCheckpoint) begin = offset;
              return Result<>();
            }));
      }
      ZN_RETURN_IF_ERROR(VisitGroup(
          *header, here, options_.salt, true,
          [&](const RecordHeader& record, uint64_t offset,
              std::span<const std::byte> payload) -> Result<> {
            if (offset < begin) return {};
            LoggedRecord logged{record.type,
                                RecordRef{record.name, offset, at.file | RecordRef::kLogBit,
                                          static_cast<uint32_t>(record.length)},
                                payload};
            return visit(header->sequence, logged);
          }));
      first = false;
      at = header->end();
      replayed_ = at;
      if (options_.read_only) {
        durable_sequence_.store(header->sequence, std::memory_order_release);
      }
    }
    if (next.file != 0) at = next;
  }
  return {};
}

Result<std::vector<Log::ClosedFile>> LogImpl::ListClosed() const {
  uint32_t newest;
  if (options_.read_only) {
    newest = replayed_.file;
  } else {
    std::lock_guard lock(mutex_);
    newest = head_.durable.file;
  }
  ZN_ASSIGN_OR_RETURN(const auto numbers, ListLogFiles(*files_, options_.directory));
  std::vector<ClosedFile> closed;
  for (const uint32_t number : numbers) {
    if (number >= newest) break;
    const std::string path = maps_.PathOf(number);
    ZN_ASSIGN_OR_RETURN(const File file, files_->OpenForReading(path));
    ZN_ASSIGN_OR_RETURN(const int64_t size, file.Size());
    ZN_ASSIGN_OR_RETURN(const int64_t allocated, files_->AllocatedBytes(path));
    closed.push_back({number, static_cast<uint64_t>(size), allocated, true});
  }
  // The newest file's first group says how long the one before it is at least.
  if (!closed.empty()) closed.back().removable = false;
  return closed;
}

Result<> LogImpl::Remove(uint32_t file) {
  if (options_.read_only) return Error{ErrorCode::kReadOnly, "the log is open for reading"};
  const std::string path = maps_.PathOf(file);
  // Whoever has it mapped, this process too, keeps its blocks from being free: so they are given back first.
  ZN_ASSIGN_OR_RETURN(const File opened, files_->OpenForReading(path));
  ZN_ASSIGN_OR_RETURN(const int64_t size, opened.Size());
  if (size > 0) (void)files_->PunchHole(path, 0, size);
  maps_.Uncheck(file);
  return files_->Remove(path);
}

Result<> LogImpl::GiveBack(uint32_t file, std::span<const std::pair<uint64_t, uint64_t>> parts) {
  if (options_.read_only) return Error{ErrorCode::kReadOnly, "the log is open for reading"};
  Result<> done;
  for (const auto& [first, second] : parts) {
    const uint64_t begin = (first + kGroupAlignment - 1) / kGroupAlignment * kGroupAlignment;
    const uint64_t end = second / kGroupAlignment * kGroupAlignment;
    if (begin >= end) continue;
    done = files_->PunchHole(maps_.PathOf(file), static_cast<int64_t>(begin), static_cast<int64_t>(end - begin));
    if (!done) break;
  }
  maps_.Uncheck(file);  // what was dead must not be taken for sound, should a writer look for it again
  return done;
}

Log::Stats LogImpl::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

Result<std::unique_ptr<Log>> OpenLog(std::shared_ptr<FileSystem> files, const LogOptions& options) {
  return LogImpl::Open(std::move(files), options);
}

Result<std::unique_ptr<Log>> OpenLocalLog(const LocalLogOptions& options) {
  return OpenLog(LocalFileSystem(), options);
}

}  // namespace zn
