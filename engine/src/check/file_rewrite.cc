#include "check/file_rewrite.h"

#include <algorithm>
#include <ctime>

#include "base/bytes.h"

namespace zn::check {
namespace {

constexpr uint64_t kCopySize = 1 << 20;
constexpr uint64_t kSectorSize = 4096;  // what is lost when one cannot be read

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

std::string UtcTime(int64_t ns) {
  const std::time_t seconds = ns / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

Result<std::string> Quarantine::FreeName(const std::string& wanted) {
  const std::string folder = store_ + "/quarantine";
  if (!PathExists(folder)) {
    ZN_RETURN_IF_ERROR(MakeDirectory(folder));
    ZN_RETURN_IF_ERROR(SyncDirectory(store_));
  }
  std::string name = wanted;
  for (int i = 2; PathExists(folder + "/" + name); ++i) name = wanted + "." + std::to_string(i);
  return name;
}

Result<> Quarantine::WriteReason(const std::string& name, const std::string& what,
                                 std::string_view reason) {
  const std::string text = "what: " + what + "\nwhy: " + std::string(reason) +
                           "\nwhen: " + UtcTime(clock_()) + "\nby: zn-fsck --repair\n";
  return WriteFileAtomically(store_ + "/quarantine/" + name + ".reason",
                             std::as_bytes(std::span(text.data(), text.size())));
}

Result<> Quarantine::Keep(const std::string& file, uint64_t offset,
                          std::span<const std::byte> bytes, std::string_view reason) {
  if (IsZero(bytes)) return {};  // there is nothing to keep
  const std::string base = file.substr(file.rfind('/') + 1);
  ZN_ASSIGN_OR_RETURN(const std::string name, FreeName(base + ".at-" + std::to_string(offset)));
  ZN_RETURN_IF_ERROR(WriteReason(
      name, file + ", " + std::to_string(bytes.size()) + " bytes at " + std::to_string(offset),
      reason));
  return WriteFileAtomically(store_ + "/quarantine/" + name, bytes);
}

Result<> Quarantine::Move(const std::string& file, std::string_view reason) {
  std::string base = file;
  std::replace(base.begin(), base.end(), '/', '-');
  ZN_ASSIGN_OR_RETURN(const std::string name, FreeName(base));
  ZN_RETURN_IF_ERROR(WriteReason(name, file, reason));
  ZN_RETURN_IF_ERROR(RenameFile(store_ + "/" + file, store_ + "/quarantine/" + name));
  ZN_RETURN_IF_ERROR(SyncDirectory(store_ + "/quarantine"));
  return SyncDirectory(FolderOf(store_ + "/" + file));
}

void ReadBest(const File& file, uint64_t size, uint64_t offset, std::span<std::byte> out) {
  std::fill(out.begin(), out.end(), std::byte{0});
  if (offset >= size) return;
  const std::span<std::byte> part = out.first(std::min<uint64_t>(out.size(), size - offset));
  if (file.ReadAt(static_cast<int64_t>(offset), part)) return;
  for (uint64_t at = 0; at < part.size(); at += kSectorSize) {
    const auto sector = part.subspan(at, std::min<uint64_t>(kSectorSize, part.size() - at));
    if (!file.ReadAt(static_cast<int64_t>(offset + at), sector))
      std::fill(sector.begin(), sector.end(), std::byte{0});
  }
}

Result<std::unique_ptr<FileRewrite>> FileRewrite::Begin(const std::string& store,
                                                        const std::string& file,
                                                        Quarantine& quarantine) {
  std::unique_ptr<FileRewrite> rewrite(new FileRewrite(store, file, quarantine));
  const std::string path = rewrite->path();
  const std::string folder = FolderOf(path);
  if (!PathExists(folder)) {
    ZN_RETURN_IF_ERROR(MakeDirectory(folder));
    ZN_RETURN_IF_ERROR(SyncDirectory(store));
  }
  const std::string copy = rewrite->copy_path();
  ZN_RETURN_IF_ERROR(RemoveFile(copy));  // of a run that was killed
  ZN_ASSIGN_OR_RETURN(rewrite->out_, File::Open(copy, File::kCreateNew));
  if (!PathExists(path)) return rewrite;
  ZN_ASSIGN_OR_RETURN(const File in, File::Open(path, File::kRead));
  ZN_ASSIGN_OR_RETURN(const int64_t size, in.Size());
  rewrite->size_ = static_cast<uint64_t>(size);
  ZN_RETURN_IF_ERROR(rewrite->out_.Truncate(size));
  std::vector<std::byte> block(std::min(kCopySize, rewrite->size_));
  for (uint64_t at = 0; at < rewrite->size_; at += block.size()) {
    const auto part = std::span(block).first(std::min<uint64_t>(block.size(), rewrite->size_ - at));
    ReadBest(in, rewrite->size_, at, part);
    // Holes stay holes.
    for (uint64_t i = 0; i < part.size(); i += kSectorSize) {
      uint64_t end = i;
      while (end < part.size() &&
             !IsZero(part.subspan(end, std::min<uint64_t>(kSectorSize, part.size() - end))))
        end = std::min<uint64_t>(end + kSectorSize, part.size());
      if (end > i)
        ZN_RETURN_IF_ERROR(
            rewrite->out_.WriteAt(static_cast<int64_t>(at + i), part.subspan(i, end - i)));
      if (end > i) i = end - 1 - (end - 1) % kSectorSize;
    }
  }
  return rewrite;
}

FileRewrite::~FileRewrite() {
  if (!committed_) (void)RemoveFile(copy_path());
}

Result<> FileRewrite::Put(uint64_t offset, std::span<const std::byte> bytes,
                          std::string_view reason) {
  std::vector<std::byte> before(bytes.size());
  ReadBest(out_, size_, offset, before);
  if (std::equal(before.begin(), before.end(), bytes.begin()) && offset + bytes.size() <= size_)
    return {};
  ZN_RETURN_IF_ERROR(quarantine_.Keep(name_, offset, before, reason));
  size_ = std::max<uint64_t>(size_, offset + bytes.size());
  return out_.WriteAt(static_cast<int64_t>(offset), bytes);
}

Result<> FileRewrite::Resize(uint64_t size, std::string_view reason) {
  if (size < size_) {
    std::vector<std::byte> tail(size_ - size);
    ReadBest(out_, size_, size, tail);
    ZN_RETURN_IF_ERROR(quarantine_.Keep(name_, size, tail, reason));
  }
  size_ = size;
  return out_.Truncate(static_cast<int64_t>(size));
}

Result<> FileRewrite::Commit() {
  ZN_RETURN_IF_ERROR(out_.SyncData());
  ZN_RETURN_IF_ERROR(RenameFile(copy_path(), path()));
  committed_ = true;
  return SyncDirectory(FolderOf(path()));
}

Result<> ReplaceFile(const std::string& store, const std::string& file,
                     std::span<const std::byte> bytes, std::string_view reason,
                     Quarantine& quarantine) {
  const std::string path = store + "/" + file;
  if (PathExists(path)) {
    ZN_ASSIGN_OR_RETURN(const File in, File::Open(path, File::kRead));
    ZN_ASSIGN_OR_RETURN(const int64_t size, in.Size());
    std::vector<std::byte> before(static_cast<size_t>(size));
    ReadBest(in, before.size(), 0, before);
    ZN_RETURN_IF_ERROR(quarantine.Keep(file, 0, before, reason));
  }
  return WriteFileAtomically(path, bytes);
}

}  // namespace zn::check
