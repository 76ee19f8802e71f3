#include "pack/pack_store_impl.h"

#include <algorithm>
#include <array>
#include <map>

namespace zn {
namespace {

constexpr std::array<std::byte, kRecordAlignment> kZeros{};
constexpr uint64_t kWritebackStep = 16 << 20;  // so that little is left to write when Sync comes

}  // namespace

PackStoreImpl::PackStoreImpl(std::shared_ptr<FileSystem> files, const PackStoreOptions& options)
    : files_(std::move(files)),
      options_(options),
      packs_(files_, options.directory, options.salt, options.seal_bytes) {}

Result<std::unique_ptr<PackStore>> PackStoreImpl::Open(std::shared_ptr<FileSystem> files,
                                                       const PackStoreOptions& options) {
  std::unique_ptr<PackStoreImpl> store(new PackStoreImpl(std::move(files), options));
  ZN_RETURN_IF_ERROR(store->List());
  return std::unique_ptr<PackStore>(std::move(store));
}

Result<> PackStoreImpl::List() {
  if (!options_.read_only) ZN_RETURN_IF_ERROR(files_->MakeDirectory(options_.directory));
  ZN_ASSIGN_OR_RETURN(auto names, files_->List(options_.directory));
  std::vector<uint32_t> sealed;
  std::set<uint32_t> collected;
  for (const std::string& name : names) {
    if (uint32_t pack = ParsePackFileName(name, ".pack")) {
      next_pack_ = std::max(next_pack_, pack + 1);
      ++stats_.packs;
    } else if (uint32_t moved = ParsePackFileName(name, ".moved")) {
      next_pack_ = std::max(next_pack_, moved + 1);
      collected.insert(moved);
    } else if (uint32_t index = ParsePackFileName(name, ".idx")) {
      next_pack_ = std::max(next_pack_, index + 1);
      sealed.push_back(index);
    } else if (!options_.read_only && name.ends_with(".tmp")) {
      ZN_RETURN_IF_ERROR(files_->Remove(options_.directory + "/" + name));
    }
  }
  std::sort(sealed.begin(), sealed.end());
  // What a collected pack still has is not to be found, as not all of it has gone elsewhere; and what has is read there, or
  // a collection would take the copies for dead. Other processes may still need the pack itself.
  for (uint32_t pack : collected) {
    auto moves = packs_.Moves(pack);
    if (!moves) continue;  // damaged: without its pack, whoever needs it says so
    collected_.insert(pack);
    if (!options_.read_only) packs_.SetMoved(pack, std::move(*moves));
  }
  for (uint32_t pack : sealed)
    if (!collected_.contains(pack)) packs_.AddSealed(pack);
  return {};
}

PackStoreImpl::~PackStoreImpl() {
  if (options_.read_only) return;
  // Nobody refers to what no Sync returned for; an error here costs an index, which only
  // deduplication uses.
  (void)SyncNow(/*seal_all=*/true);
}

Error PackStoreImpl::Failure() const {
  return Error{ErrorCode::kUnavailable,
               "the packs stopped writing, reopen the store: " + failure_->message};
}

Error PackStoreImpl::Fail(Error error) {
  std::lock_guard lock(mutex_);
  if (!failure_) failure_ = error;
  return error;
}

Result<std::shared_ptr<PackStoreImpl::OpenPack>> PackStoreImpl::PackFor(uint64_t size) {
  if (!open_.empty()) {
    OpenPack& last = *open_.back();
    const uint64_t most = static_cast<uint64_t>(std::max<int64_t>(options_.seal_bytes, 0));
    if (!last.full && (last.end == kPackHeaderSize || last.end + size <= most)) return open_.back();
    last.full = true;
  }
  auto pack = std::make_shared<OpenPack>();
  pack->number = next_pack_;
  ZN_ASSIGN_OR_RETURN(pack->file, files_->Create(packs_.PathOf(pack->number, ".pack")));
  ++next_pack_;
  std::array<std::byte, kPackHeaderSize> header;
  EncodePackHeader(options_.salt, header.data());
  std::span<const std::byte> pieces[] = {header};
  ZN_RETURN_IF_ERROR(pack->file->Write(0, pieces));
  ZN_RETURN_IF_ERROR(packs_.AddOpenPack(pack->number, pack->file->file()));
  open_.push_back(pack);
  names_dirty_ = true;
  ++stats_.packs;
  stats_.bytes_written += kPackHeaderSize;
  return pack;
}

Result<RecordRef> PackStoreImpl::Put(RecordType type, const Sha256& name,
                                     std::span<const std::byte> payload) {
  if (options_.read_only) return Error{ErrorCode::kReadOnly, "the packs are open for reading"};
  if (payload.size() > UINT32_MAX) {
    return Error{ErrorCode::kTooLarge, "a chunk may have at most 4 GiB when encoded"};
  }
  const auto head = EncodePackRecordHead(type, name, payload, options_.salt);
  const uint64_t size = PackRecordSize(payload.size());

  std::shared_ptr<OpenPack> pack;
  uint64_t offset, put;
  {
    std::lock_guard lock(mutex_);
    if (failure_) return Failure();
    auto found = PackFor(size);
    if (!found) {
      failure_ = found.error();
      return std::move(found).error();
    }
    pack = std::move(*found);
    offset = pack->end;
    pack->end += size;
    pack->dirty = true;
    ++pack->writers;
    put = ++puts_;
    writing_.insert(put);
  }
  std::span<const std::byte> pieces[] = {
      head, payload, std::span(kZeros).first(size - head.size() - payload.size())};
  Result<> written = pack->file->Write(static_cast<int64_t>(offset), pieces);

  RecordRef ref{name, offset + head.size(), pack->number, static_cast<uint32_t>(payload.size())};
  uint64_t writeback_from = 0, writeback_to = 0;
  if (written) packs_.SetReadable(pack->number, offset + size);
  {
    std::lock_guard lock(mutex_);
    --pack->writers;
    writing_.erase(put);
    if (!written) {
      if (!failure_) failure_ = written.error();
    } else {
      stats_.bytes_written += static_cast<int64_t>(size);
      if (recent_.size() < options_.recent_names) recent_.emplace(name, ref);
      if (pack->end - pack->written_back >= kWritebackStep) {
        writeback_from = pack->written_back;
        writeback_to = pack->written_back = pack->end;
      }
    }
  }
  written_.notify_all();
  if (!written) return std::move(written).error();
  if (writeback_to != 0) {
    pack->file->StartWriteback(static_cast<int64_t>(writeback_from),
                               static_cast<int64_t>(writeback_to - writeback_from));
  }
  return ref;
}

Result<> PackStoreImpl::Sync() {
  if (options_.read_only) return {};
  return SyncNow(/*seal_all=*/false);
}

Result<> PackStoreImpl::SyncNow(bool seal_all) {
  // One at a time: whoever comes second must not return before the first has synced what both wait
  // for.
  std::lock_guard one(sync_mutex_);
  std::vector<std::shared_ptr<OpenPack>> dirty, sealing;
  bool sync_names;
  {
    std::unique_lock lock(mutex_);
    const uint64_t last = puts_;
    written_.wait(lock, [&] { return writing_.empty() || *writing_.begin() > last; });
    if (failure_) return Failure();
    for (const auto& pack : open_) {
      if (pack->dirty) dirty.push_back(pack);
      // Others may still be writing into it: they are not ours, and set it again when they are not
      // done.
      pack->dirty = pack->writers > 0;
      if ((pack->full || seal_all) && pack->writers == 0) sealing.push_back(pack);
    }
    sync_names = std::exchange(names_dirty_, false);
  }
  for (const auto& pack : dirty) {
    if (auto synced = pack->file->Sync(); !synced) return Fail(std::move(synced).error());
  }
  if (sync_names) {
    if (auto synced = files_->SyncDirectory(options_.directory); !synced) {
      return Fail(std::move(synced).error());
    }
  }
  for (const auto& pack : sealing) {
    if (auto sealed = Seal(*pack); !sealed) return Fail(std::move(sealed).error());
    packs_.AddSealed(pack->number);
    std::lock_guard lock(mutex_);
    std::erase(open_, pack);
    std::erase_if(recent_, [&](const auto& entry) { return entry.second.file == pack->number; });
  }
  return {};
}

Result<> PackStoreImpl::Seal(const OpenPack& pack) {
  ZN_ASSIGN_OR_RETURN(auto map, Mapping::Map(pack.file->file(), static_cast<int64_t>(pack.end)));
  ZN_ASSIGN_OR_RETURN(int64_t size, pack.file->file().Size());
  if (static_cast<uint64_t>(size) < pack.end) {
    return Error{ErrorCode::kCorrupt, pack.file->file().path() + ": became shorter"};
  }
  PackScan scan = ScanPack({map->data(), map->size()}, options_.salt, /*check_payloads=*/false);
  if (scan.bad) return std::move(*scan.bad).Context(pack.file->file().path());
  auto bytes = EncodePackIndex(std::move(scan.entries), pack.end, options_.salt);
  return WriteWhole(packs_.PathOf(pack.number, ".idx"), bytes);
}

Result<> PackStoreImpl::WriteWhole(const std::string& path, std::span<const std::byte> bytes) {
  const std::string temporary = path + ".tmp";
  ZN_RETURN_IF_ERROR(files_->Remove(temporary));
  ZN_ASSIGN_OR_RETURN(auto file, files_->Create(temporary));
  std::span<const std::byte> pieces[] = {bytes};
  ZN_RETURN_IF_ERROR(file->Write(0, pieces));
  ZN_RETURN_IF_ERROR(file->Sync());
  ZN_RETURN_IF_ERROR(files_->Rename(temporary, path));
  return files_->SyncDirectory(options_.directory);
}

std::optional<RecordRef> PackStoreImpl::Find(const Sha256& name) const {
  {
    std::lock_guard lock(mutex_);
    auto it = recent_.find(name);
    if (it != recent_.end()) return it->second;
  }
  return packs_.FindSealed(name);
}

Result<> PackStoreImpl::Close(uint64_t least) {
  if (options_.read_only) return {};
  {
    std::lock_guard lock(mutex_);
    bool any = false;
    for (const auto& pack : open_) {
      pack->full |= pack->end >= least;
      any |= pack->full;
    }
    if (!any) return {};
  }
  return SyncNow(/*seal_all=*/false);
}

uint32_t PackStoreImpl::FirstWritable() const {
  std::lock_guard lock(mutex_);
  uint32_t first = next_pack_;
  for (const auto& pack : open_) first = std::min(first, pack->number);
  return first;
}

Result<std::vector<PackStore::Pack>> PackStoreImpl::ListClosed() const {
  const uint32_t open = FirstWritable();
  ZN_ASSIGN_OR_RETURN(const auto names, files_->List(options_.directory));
  std::map<uint32_t, Pack> packs;
  for (const std::string& name : names) {
    const uint32_t number = ParsePackFileName(name, ".pack");
    if (number == 0 || number >= open) continue;
    const auto file = files_->OpenForReading(packs_.PathOf(number, ".pack"));
    if (!file && file.error().code == ErrorCode::kNotFound) continue;  // the writer removed it just now
    if (!file) return file.error();
    ZN_ASSIGN_OR_RETURN(const int64_t size, file->Size());
    packs[number] = {number, static_cast<uint64_t>(size), false};
  }
  std::vector<Pack> closed;
  std::lock_guard lock(mutex_);
  for (auto& [number, pack] : packs) {
    pack.collected = collected_.contains(number);
    closed.push_back(pack);
  }
  return closed;
}

Result<std::vector<uint32_t>> PackStoreImpl::ListMoved() const {
  ZN_ASSIGN_OR_RETURN(const auto names, files_->List(options_.directory));
  std::set<uint32_t> moved;
  for (const std::string& name : names)
    if (const uint32_t number = ParsePackFileName(name, ".moved")) moved.insert(number);
  for (const std::string& name : names) moved.erase(ParsePackFileName(name, ".pack"));
  return std::vector<uint32_t>(moved.begin(), moved.end());
}

Result<> PackStoreImpl::Replace(uint32_t pack, std::vector<Move> moves) {
  if (options_.read_only) return Error{ErrorCode::kReadOnly, "the packs are open for reading"};
  const auto bytes = EncodeMoves(moves, options_.salt);
  ZN_RETURN_IF_ERROR(WriteWhole(packs_.PathOf(pack, ".moved"), bytes));
  ZN_ASSIGN_OR_RETURN(moves, DecodeMoves(bytes, options_.salt));  // as readers elsewhere have it: sorted
  packs_.SetMoved(pack, std::move(moves));
  std::lock_guard lock(mutex_);
  collected_.insert(pack);
  return {};
}

Result<> PackStoreImpl::Remove(uint32_t pack) {
  if (options_.read_only) return Error{ErrorCode::kReadOnly, "the packs are open for reading"};
  ZN_RETURN_IF_ERROR(packs_.Moves(pack));
  ZN_RETURN_IF_ERROR(files_->SyncDirectory(options_.directory));  // the table's name comes first, whoever gave it
  ZN_RETURN_IF_ERROR(files_->Remove(packs_.PathOf(pack, ".idx")));
  ZN_RETURN_IF_ERROR(files_->Remove(packs_.PathOf(pack, ".pack")));
  packs_.Forget(pack);
  std::lock_guard lock(mutex_);
  --stats_.packs;
  return {};
}

Result<> PackStoreImpl::RemoveMoves(uint32_t pack) {
  if (options_.read_only) return Error{ErrorCode::kReadOnly, "the packs are open for reading"};
  ZN_RETURN_IF_ERROR(files_->Remove(packs_.PathOf(pack, ".moved")));
  packs_.Forget(pack);
  return {};
}

PackStore::Stats PackStoreImpl::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

Result<std::unique_ptr<PackStore>> OpenPackStore(std::shared_ptr<FileSystem> files,
                                                 const PackStoreOptions& options) {
  return PackStoreImpl::Open(std::move(files), options);
}

Result<std::unique_ptr<PackStore>> OpenLocalPackStore(const LocalPackStoreOptions& options) {
  return OpenPackStore(LocalFileSystem(), options);
}

}  // namespace zn
