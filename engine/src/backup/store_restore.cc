#include "backup/store_restore.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/copy.h"
#include "base/hash.h"
#include "log/group.h"
#include "room/open_store.h"
#include "room/superblock.h"

namespace zn::backup {
namespace {

constexpr uint64_t kJobBytes = 4 << 20;
constexpr std::string_view kPart = ".part";  // of a file that is not whole

/// A restored store begins so many epochs later: the one that was backed up gave out fences of its
/// own since, and none of them may count here. It would have to be started a million times for one
/// to do.
constexpr uint64_t kEpochStep = 1 << 20;

}  // namespace

RestoreRun::RestoreRun(const Repository& repository, const RestoreOptions& options,
                       const BackupControl& control, uint64_t total)
    : repository_(repository),
      options_(options),
      control_(control),
      total_(total),
      rate_(control.bytes_per_second),
      pipeline_(control.threads) {}

Result<> RestoreRun::Object(const Sha256& content, std::span<std::byte> out,
                            const std::string& where) {
  rate_.Take(static_cast<int64_t>(out.size()));
  auto read = repository_.ReadInto(content, out);
  if (read) return {};
  Error error = std::move(read).error().Context(where);
  const bool lost = error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kNotFound ||
                    error.code == ErrorCode::kIo;
  if (!lost || !options_.keep_going) return error;
  ++damaged_;
  const std::lock_guard lock(mutex_);
  if (control_.warning) control_.warning(error.message + "; zeros stand there instead");
  std::fill(out.begin(), out.end(), std::byte{0});
  return {};
}

Result<> RestoreRun::Step(uint64_t bytes) {
  if (control_.cancel != nullptr && *control_.cancel)
    return Error{ErrorCode::kCancelled, "stopped; the same command goes on from here"};
  done_ += bytes;
  if (control_.progress) control_.progress({"restoring", done_, total_});
  return {};
}

namespace {

/// Fills `out`, the place of `piece` in its file.
Result<> Assemble(RestoreRun& run, const Piece& piece, uint32_t salt, const std::string& where,
                  std::span<std::byte> out) {
  if (piece.kind == Piece::kInline) {
    CopyBytes(out.data(), piece.bytes.data(), piece.bytes.size());
    return {};
  }
  if (piece.kind != Piece::kRecord) return run.Object(piece.content, out, where);
  const size_t head_size = PackRecordHeadSize(piece.length);
  const auto payload = out.subspan(head_size, piece.length);
  ZN_RETURN_IF_ERROR(run.Object(piece.content, payload, where));
  const auto head = EncodePackRecordHead(piece.type, piece.content, payload, salt);
  CopyBytes(out.data(), head.data(), head_size);
  const auto padding = out.subspan(head_size + piece.length);
  std::fill(padding.begin(), padding.end(), std::byte{0});
  return {};
}

Result<> WritePieces(RestoreRun& run, const FileRecord& file, uint32_t salt, const File& out,
                     std::vector<PackEntry>* entries) {
  for (const ListRef& list : file.lists) {
    ZN_ASSIGN_OR_RETURN(const auto bytes, run.repository().Read(list.content));
    ZN_ASSIGN_OR_RETURN(auto decoded, DecodePieces(bytes));
    const auto pieces = std::make_shared<const std::vector<Piece>>(std::move(decoded));
    uint64_t at = list.begin;
    for (size_t first = 0; first < pieces->size();) {
      size_t last = first;
      uint64_t size = 0;
      while (last < pieces->size() &&
             (last == first || size + (*pieces)[last].file_bytes() <= kJobBytes)) {
        const Piece& piece = (*pieces)[last++];
        if (piece.kind == Piece::kRecord && entries != nullptr)
          entries->push_back(
              {piece.content, at + size + PackRecordHeadSize(piece.length), piece.length});
        size += piece.file_bytes();
      }
      if (size > list.begin + list.length - at)
        return Error{ErrorCode::kCorrupt, "a list is longer than its snapshot says"};
      auto write = [&run, &file, &out, salt, pieces, first, last, at, size]() -> Result<> {
        const auto storage = std::make_unique_for_overwrite<std::byte[]>(size);
        const std::span<std::byte> job(storage.get(), size);
        uint64_t in_job = 0;
        for (size_t i = first; i < last; ++i) {
          const std::string where = file.name + " at offset " + std::to_string(at + in_job);
          const uint64_t piece_bytes = (*pieces)[i].file_bytes();
          ZN_RETURN_IF_ERROR(
              Assemble(run, (*pieces)[i], salt, where, job.subspan(in_job, piece_bytes)));
          in_job += piece_bytes;
        }
        if (IsZero(job)) return {};  // a hole stays one
        ZN_RETURN_IF_ERROR(out.WriteAt(static_cast<int64_t>(at), job));
        // So that the disk is at work meanwhile, and the sync in the end finds little to do.
        out.StartWriteback(static_cast<int64_t>(at), static_cast<int64_t>(size));
        return {};
      };
      ZN_RETURN_IF_ERROR(run.pipeline().Submit(static_cast<int64_t>(size), std::move(write)));
      ZN_RETURN_IF_ERROR(run.Step(size));
      at += size;
      first = last;
    }
    if (at != list.begin + list.length)
      return Error{ErrorCode::kCorrupt, "a list is shorter than its snapshot says"};
  }
  return {};
}

}  // namespace

Result<> RestoreFile(RestoreRun& run, const FileRecord& file, uint32_t salt,
                     const std::string& path, std::vector<PackEntry>* entries) {
  ZN_ASSIGN_OR_RETURN(const File out, File::Open(path, File::kCreateNew));
  const Result<> written = WritePieces(run, file, salt, out, entries);
  const Result<> drained = run.pipeline().Drain();  // also after an error: tasks use what is here
  if (!written) return Error(written.error()).Context(file.name);
  ZN_RETURN_IF_ERROR(drained);
  ZN_RETURN_IF_ERROR(out.Truncate(static_cast<int64_t>(file.size)));
  return out.SyncData();
}

Result<RestoreSummary> RestoreStore(const Repository& repository, const SnapshotDocument& snapshot,
                                    const std::string& target, const RestoreOptions& options,
                                    const BackupControl& control) {
  ZN_ASSIGN_OR_RETURN(Superblock superblock, DecodeSuperblock(snapshot.superblock));
  for (const char* part : {"log", "packs", "incoming", "cache", "quarantine"})
    ZN_RETURN_IF_ERROR(MakeDirectory(target + "/" + part));
  RestoreSummary summary;
  RestoreRun run(repository, options, control, snapshot.bytes);
  for (const FileRecord& file : snapshot.files) {
    const std::string path = target + "/" + file.name;
    ++summary.files;
    summary.bytes += file.size;
    if (PathExists(path)) {
      summary.resumed_bytes += file.size;
      ZN_RETURN_IF_ERROR(run.Step(file.size));
      continue;
    }
    const std::string part = path + std::string(kPart);
    ZN_RETURN_IF_ERROR(RemoveFile(part));
    std::vector<PackEntry> entries;
    ZN_RETURN_IF_ERROR(RestoreFile(run, file, superblock.record_salt, part, &entries));
    if (file.name.ends_with(".pack")) {
      // Nothing is written to it any more: it is sealed.
      const std::string index = path.substr(0, path.size() - 5) + ".idx";
      ZN_RETURN_IF_ERROR(RemoveFile(index));
      ZN_RETURN_IF_ERROR(WriteFileAtomically(
          index, EncodePackIndex(std::move(entries), file.size, superblock.record_salt)));
    }
    ZN_RETURN_IF_ERROR(RenameFile(part, path));
  }
  for (const char* part : {"/log", "/packs", ""}) ZN_RETURN_IF_ERROR(SyncDirectory(target + part));
  summary.damaged = run.damaged();
  if (!options.keep_id) superblock.uuid = NewSuperblock(superblock.created_ns).uuid;
  ZN_RETURN_IF_ERROR(WriteFileAtomically(target + "/superblock", EncodeSuperblock(superblock)));
  // Opened once, as a writer: whether it can be, is known now, and the new epoch is in its log.
  internal::StoreSeams seams;
  seams.epoch_step = kEpochStep;
  StoreOptions store_options;
  store_options.background_maintenance = false;
  auto opened = internal::OpenStoreWith(std::move(seams), target, store_options);
  if (!opened) return std::move(opened).error().Context("the restored store cannot be opened");
  return summary;
}

}  // namespace zn::backup
