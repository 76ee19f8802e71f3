#include "check/healing_sources.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/hash.h"
#include "cache/chunk_cache.h"
#include "cache/npy.h"
#include "check/file_rewrite.h"
#include "check/record_search.h"
#include "log/group.h"
#include "pack/pack_format.h"

namespace zn::check {
namespace {

constexpr int64_t kLargestCacheFile = int64_t{1} << 34;

/// Widens `rows` rows of `from_bytes` to `to_bytes`, fill values behind.
std::vector<std::byte> Widen(std::span<const std::byte> kept, DType dtype, size_t from_bytes,
                             size_t to_bytes, size_t rows) {
  std::vector<std::byte> raw(rows * to_bytes);
  for (size_t i = 0; i < rows; ++i) {
    std::byte* const row = raw.data() + i * to_bytes;
    std::memcpy(row, kept.data() + i * from_bytes, from_bytes);
    FillElements(dtype, {row + from_bytes, to_bytes - from_bytes});
  }
  return raw;
}

/// Does the file of a store that begins so have this salt?
bool FitsSalt(const std::string& path, bool log, uint32_t number, uint32_t salt) {
  const auto file = File::Open(path, File::kRead);
  std::byte head[kGroupHeaderSize];
  if (!file || !file->ReadAt(0, head)) return false;
  return log ? DecodeGroupHeader(head, {number, 0}, salt).has_value()
             : CheckPackHeader(head, salt).has_value();
}

}  // namespace

HealingSources::HealingSources(const std::string& store, BackupRepository* backup,
                               std::string scratch)
    : store_(store), backup_(backup), scratch_(std::move(scratch)) {}

HealingSources::~HealingSources() {
  if (!restored_.empty()) (void)RemoveTree(scratch_);
}

void HealingSources::LookForDuplicates(StoreImage& image, std::span<const DamagedRecord> damaged) {
  duplicates_.clear();
  std::set<Place> places;
  for (const DamagedRecord& record : damaged) {
    if (record.senseless) continue;
    duplicates_[record.ref.name];
    places.emplace(record.ref.file, record.ref.offset);
  }
  if (duplicates_.empty()) return;
  for (const auto& [number, file] : image.files()) {
    const uint32_t in = number;  // clang 14 lets lambdas see no structured bindings
    const FileImage& from = file;
    // What was written to a wrong place may lie across records of the log.
    const Payloads payloads = in & RecordRef::kLogBit ? Payloads::kSearch : Payloads::kSkip;
    ForEachRecord(image, from, payloads, [&](uint64_t begin, const RecordHeader& header) {
      const auto wanted = duplicates_.find(header.name);
      if (wanted == duplicates_.end()) return true;
      const uint64_t payload = begin + StoreImage::HeadSize(from, header.length);
      if (places.count({in, payload}) == 0)
        wanted->second.push_back({header.name, payload, in, static_cast<uint32_t>(header.length)});
      return true;
    });
  }
}

std::optional<HealingSources::Copy> HealingSources::Find(const StoreImage& image,
                                                         const DamagedRecord& record) {
  if (record.senseless) return std::nullopt;
  if (auto copy = FromItself(image, record)) return copy;
  if (auto copy = FromDuplicate(image, record)) return copy;
  if (auto copy = FromCache(record)) return copy;
  return FromBackup(record);
}

std::optional<HealingSources::Copy> HealingSources::FromItself(const StoreImage& image,
                                                               const DamagedRecord& record) const {
  const auto file = const_cast<StoreImage&>(image).Find(record.ref.file);
  if (file == nullptr || record.ref.offset > file->size ||
      record.ref.length > file->size - record.ref.offset)
    return std::nullopt;
  std::vector<std::byte> payload(record.ref.length);
  if (!file->file.ReadAt(static_cast<int64_t>(record.ref.offset), payload) ||
      HashSha256(payload) != record.ref.name)
    return std::nullopt;
  return Copy{std::move(payload), "its own bytes: only its header was hurt"};
}

std::optional<HealingSources::Copy> HealingSources::FromDuplicate(
    const StoreImage& image, const DamagedRecord& record) const {
  const auto known = duplicates_.find(record.ref.name);
  if (known == duplicates_.end()) return std::nullopt;
  for (const RecordRef& ref : known->second) {
    std::vector<std::byte> payload;
    if (ref.length == record.ref.length && !image.ReadChecked(ref, &payload))
      return Copy{std::move(payload), "a record of the same name in " + FileNameOf(ref.file) +
                                          " at " + std::to_string(ref.offset)};
  }
  return std::nullopt;
}

std::optional<HealingSources::Copy> HealingSources::FromCache(const DamagedRecord& record) {
  if (!record.geometry || record.geometry->dtype == DType::kJson) return std::nullopt;
  const Geometry& geometry = *record.geometry;
  const auto pipeline = pipelines_.Get(geometry.codecs, geometry.dtype);
  const auto boots = ListDirectory(store_ + "/cache");
  if (!pipeline || !(*pipeline)->CanEncode() || !boots) return std::nullopt;
  const Sha256 name =
      CacheFileNameOf({record.ref.name, geometry.dtype, record.shape.encoded, &geometry.codecs});
  for (const std::string& boot : *boots) {
    const std::string path = store_ + "/cache/" + boot + "/" + name.Hex() + ".npy";
    if (!PathExists(path)) continue;
    const auto bytes = ReadWholeFile(path, kLargestCacheFile);
    const auto header = bytes ? DecodeNpyHeader(*bytes) : Result<NpyHeader>(bytes.error());
    if (!header || header->dtype != geometry.dtype || header->shape.rank() == 0 ||
        header->shape[0] != record.shape.encoded[0])
      continue;
    // It may have been kept for a reader with more or fewer atoms than this one.
    const auto rows = static_cast<size_t>(header->shape[0]);
    const auto kept = std::span(*bytes).subspan(header->data_offset);
    const size_t row_bytes = rows == 0 ? 0 : kept.size() / rows;
    if (rows == 0 || row_bytes * rows != kept.size() || row_bytes > record.shape.encoded_row_bytes)
      continue;
    const auto raw = Widen(kept, geometry.dtype, row_bytes, record.shape.encoded_row_bytes, rows);
    auto payload = (*pipeline)->Encode(raw, record.shape.encoded);
    if (payload && HashSha256(*payload) == record.ref.name)
      return Copy{std::move(*payload), "the cache, encoded again"};
  }
  return std::nullopt;
}

std::optional<HealingSources::Copy> HealingSources::FromBackup(const DamagedRecord& record) {
  if (backup_ == nullptr) return std::nullopt;
  const auto found = backup_->FindContent(record.ref.name);
  if (!found) {
    backup_error_ = found.error().message;
    return std::nullopt;
  }
  if (!*found || (*found)->bytes().size() != record.ref.length) return std::nullopt;
  const auto bytes = (*found)->bytes();
  return Copy{{bytes.begin(), bytes.end()}, "the backup"};
}

const std::vector<BackupSnapshot>& HealingSources::Snapshots() {
  if (snapshots_) return *snapshots_;
  snapshots_.emplace();
  if (backup_ == nullptr) return *snapshots_;
  auto listed = backup_->List([&](const std::string& damaged) { backup_error_ = damaged; });
  if (!listed) {
    backup_error_ = listed.error().message;
    return *snapshots_;
  }
  for (BackupSnapshot& snapshot : *listed)
    if (snapshot.is_store) snapshots_->push_back(std::move(snapshot));
  std::reverse(snapshots_->begin(), snapshots_->end());
  return *snapshots_;
}

std::optional<File> HealingSources::BackedUp(const StoreImage& image, const std::string& file) {
  const auto known = restored_.find(file);
  if (known == restored_.end()) {
    std::string& path = restored_[file];
    const std::string uuid = FormatUuid(image.superblock().uuid);
    for (const BackupSnapshot& snapshot : Snapshots()) {
      if (snapshot.store != uuid) continue;
      std::string to = file;
      std::replace(to.begin(), to.end(), '/', '-');
      to = scratch_ + "/" + to;
      if (!MakeDirectory(scratch_) || !RemoveFile(to)) break;
      const auto restored = backup_->RestoreFile(snapshot.id, file, to);
      if (restored) {
        path = to;
        break;
      }
      if (restored.error().code != ErrorCode::kNotFound) backup_error_ = restored.error().message;
    }
  }
  const std::string& path = restored_[file];
  if (path.empty()) return std::nullopt;
  auto opened = File::Open(path, File::kRead);
  return opened ? std::optional(std::move(*opened)) : std::nullopt;
}

std::optional<std::vector<std::byte>> HealingSources::BackedUpSuperblock() {
  const auto fits = [&](uint32_t salt) {
    for (const bool log : {false, true}) {
      const std::string folder = store_ + (log ? "/log/" : "/packs/");
      const auto names = ListDirectory(folder);
      if (!names) continue;
      for (const std::string& name : *names) {
        const uint32_t number = log ? ParseLogFileName(name) : ParsePackFileName(name, ".pack");
        if (number != 0 && FitsSalt(folder + name, log, number, salt)) return true;
      }
    }
    return false;
  };
  for (const BackupSnapshot& snapshot : Snapshots()) {
    auto bytes = backup_->SuperblockOf(snapshot.id);
    if (!bytes) continue;
    const auto superblock = DecodeSuperblock(*bytes);
    if (superblock && fits(superblock->record_salt)) return std::move(*bytes);
  }
  return std::nullopt;
}

}  // namespace zn::check
