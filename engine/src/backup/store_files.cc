#include "backup/store_files.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "log/recovery.h"
#include "pack/pack_format.h"

namespace zn::backup {
namespace {

constexpr int kMostAttempts = 100;  // of what a writer can upset

void Pause() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }

/// Up to where the log is durable. After a crash `head` may be behind or lost, so the log is asked
/// too.
Result<Head> FindEnd(const std::string& directory, uint32_t salt) {
  const auto disk = LocalFileSystem();
  LogOptions options;
  options.directory = directory + "/log";
  options.head_path = directory + "/head";
  options.salt = salt;
  options.read_only = true;
  Result<Head> end = Error{ErrorCode::kInternal, "no attempt was made"};
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    std::unique_ptr<HeadPage> page;
    if (auto opened = HeadPage::Open(*disk, options.head_path, salt, false))
      page = std::move(*opened);
    const std::optional<Head> before = page ? page->Load() : std::nullopt;
    const LogMaps maps(disk, options.directory, salt, options.max_file_bytes);
    auto found = RecoverLog(*disk, maps, options, before);
    if (found) {
      end = found->head;
      // A valid head that was overtaken while the log was read is no worse.
      if (before && before->durable > end->durable) end = *before;
      return end;
    }
    end = std::move(found).error();
    // What a writer adds meanwhile can look like damage: then head has moved on.
    const std::optional<Head> after = page ? page->Load() : std::nullopt;
    if (before == after) break;
    Pause();
  }
  return end;
}

using Names = std::set<std::string>;

Result<Names> ListNames(const std::string& directory) {
  Names names;
  for (const char* folder : {"log", "packs"}) {
    if (!PathExists(directory + "/" + folder)) continue;
    ZN_ASSIGN_OR_RETURN(const auto entries, ListDirectory(directory + "/" + folder));
    for (const std::string& entry : entries) names.insert(std::string(folder) + "/" + entry);
  }
  return names;
}

std::optional<SourceFile::Kind> KindOf(const std::string& name) {
  if (name.starts_with("log/")) {
    if (ParseLogFileName(name.substr(4)) == 0) return std::nullopt;
    return SourceFile::kLog;
  }
  const std::string_view leaf = std::string_view(name).substr(6);
  if (ParsePackFileName(leaf, ".pack") != 0) return SourceFile::kPack;
  if (ParsePackFileName(leaf, ".moved") != 0) return SourceFile::kMoved;
  return std::nullopt;
}

using Files = std::map<std::string, SourceFile>;

/// Opens what is not open yet. False when a name is gone already.
Result<bool> OpenAll(const std::string& directory, const Names& names, Files& files) {
  for (const std::string& name : names) {
    const auto kind = KindOf(name);
    if (!kind || files.count(name) != 0) continue;
    auto file = File::Open(directory + "/" + name, File::kRead);
    if (!file) {
      if (file.error().code == ErrorCode::kNotFound) return false;
      return std::move(file).error();
    }
    files.emplace(name, SourceFile{name, *kind, std::move(*file), 0, false});
  }
  return true;
}

/// How much of the log's files counts: the next file says how much of the one before had been
/// synced.
Result<> MeasureLog(Files& files, const Head& end, uint32_t salt) {
  SourceFile* before = nullptr;
  uint32_t before_number = 0;
  for (auto at = files.begin(); at != files.end();) {
    SourceFile& file = at->second;
    if (file.kind != SourceFile::kLog) {
      ++at;
      continue;
    }
    const uint32_t number = ParseLogFileName(file.name.substr(4));
    if (number > end.durable.file) {  // begun since, or never finished
      at = files.erase(at);
      continue;
    }
    ZN_ASSIGN_OR_RETURN(const int64_t size, file.file.Size());
    file.size = number == end.durable.file ? end.durable.offset : static_cast<uint64_t>(size);
    if (static_cast<uint64_t>(size) < file.size)
      return Error{ErrorCode::kCorrupt,
                   file.name + " ends before " + std::to_string(file.size) +
                       ", which had been synced; run zn-fsck to see what can be saved"};
    if (before != nullptr) {
      std::array<std::byte, kGroupHeaderSize> bytes;
      ZN_RETURN_IF_ERROR(file.file.ReadAt(0, bytes));
      const auto header = DecodeGroupHeader(bytes, {number, 0}, salt);
      if (header && header->durable_to.file == before_number)
        before->size = std::min(before->size, header->durable_to.offset);
    }
    before = &file;
    before_number = number;
    ++at;
  }
  return {};
}

}  // namespace

Result<StoreFiles> OpenStoreFiles(const std::string& directory) {
  const std::string superblock = directory + "/superblock";
  if (!PathExists(superblock))
    return Error{ErrorCode::kNotFound, directory + " is not a ZnStore (it has no superblock)"};
  StoreFiles store;
  ZN_ASSIGN_OR_RETURN(store.superblock_bytes, ReadWholeFile(superblock, 1 << 20));
  auto decoded = DecodeSuperblock(store.superblock_bytes);
  if (!decoded) return std::move(decoded).error().Context(superblock);
  store.superblock = *decoded;
  const uint32_t salt = store.superblock.record_salt;

  for (int attempt = 0; attempt < kMostAttempts; ++attempt, Pause()) {
    Files files;
    ZN_ASSIGN_OR_RETURN(const Names before, ListNames(directory));
    ZN_ASSIGN_OR_RETURN(const bool opened, OpenAll(directory, before, files));
    if (!opened) continue;
    ZN_ASSIGN_OR_RETURN(const Head end, FindEnd(directory, salt));
    ZN_ASSIGN_OR_RETURN(const Names after, ListNames(directory));
    // Packs that are new hold what the log says by now. One that went took records along, and where
    // to stands in a file that is new too; its own file is open already. But a new name that is
    // gone again was never looked at.
    bool known = true;
    for (const std::string& name : after)
      if (KindOf(name) == SourceFile::kMoved && before.count(name) == 0 &&
          before.count(name.substr(0, name.size() - 6) + ".pack") == 0)
        known = false;
    if (!known) continue;
    ZN_ASSIGN_OR_RETURN(const bool opened_new, OpenAll(directory, after, files));
    if (!opened_new) continue;

    ZN_RETURN_IF_ERROR(MeasureLog(files, end, salt));
    store.sequence = end.sequence;
    for (auto& [name, file] : files) {
      if (file.kind != SourceFile::kLog) {
        ZN_ASSIGN_OR_RETURN(const int64_t size, file.file.Size());
        file.size = static_cast<uint64_t>(size);
        file.growing = file.kind == SourceFile::kPack &&
                       after.count(name.substr(0, name.size() - 5) + ".idx") == 0;
      }
      store.files.push_back(std::move(file));
    }
    return store;
  }
  return Error{ErrorCode::kBusy, directory + ": its files change faster than they can be listed"};
}

}  // namespace zn::backup
