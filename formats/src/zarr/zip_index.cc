#include "zarr/zip_index.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "zarr/store.h"

namespace zn::formats::zarr {
namespace {

constexpr uint32_t kLocalMagic = 0x04034b50, kDirectoryMagic = 0x02014b50, kEndMagic = 0x06054b50,
                   kEnd64Magic = 0x06064b50, kLocator64Magic = 0x07064b50;
constexpr size_t kLocalSize = 30, kDirectorySize = 46, kEndSize = 22, kEnd64Size = 56,
                 kLocator64Size = 20;
constexpr uint64_t kMaxDirectory = uint64_t{1} << 30;

template <class T>
T Load(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

Error Corrupt(const std::string& what) {
  return {ErrorCode::kCorrupt,
          "is a damaged or incomplete zip archive: " + what + "; copy it again from its source"};
}

struct Directory {
  uint64_t offset = 0, size = 0, entries = 0;
};

/// The end record, found from the back: a comment of up to 65,535 bytes may follow it.
Result<Directory> FindDirectory(const ByteRange& file) {
  const uint64_t tail_size = std::min<uint64_t>(file.size(), kEndSize + 0xffff);
  if (tail_size < kEndSize) return Corrupt("shorter than its end record");
  std::vector<std::byte> tail(static_cast<size_t>(tail_size));
  ZN_RETURN_IF_ERROR(file.ReadAt(file.size() - tail_size, tail));
  size_t at = tail.size() - kEndSize;
  while (Load<uint32_t>(tail, at) != kEndMagic ||
         Load<uint16_t>(tail, at + 20) != tail.size() - at - kEndSize)
    if (at-- == 0) return Corrupt("it has no end record");
  Directory directory{Load<uint32_t>(tail, at + 16), Load<uint32_t>(tail, at + 12),
                      Load<uint16_t>(tail, at + 10)};
  uint64_t end = file.size() - tail.size() + at;
  const bool wide = directory.offset == UINT32_MAX || directory.size == UINT32_MAX ||
                    directory.entries == UINT16_MAX;
  if (wide && end >= kLocator64Size) {
    std::byte locator[kLocator64Size];
    ZN_RETURN_IF_ERROR(file.ReadAt(end - kLocator64Size, locator));
    if (Load<uint32_t>(locator, 0) == kLocator64Magic) {
      const uint64_t end64 = Load<uint64_t>(locator, 8);
      if (end64 > end || end - end64 < kEnd64Size + kLocator64Size)
        return Corrupt("its zip64 end record lies elsewhere");
      std::byte record[kEnd64Size];
      ZN_RETURN_IF_ERROR(file.ReadAt(end64, record));
      if (Load<uint32_t>(record, 0) != kEnd64Magic) return Corrupt("its zip64 end record is none");
      directory = {Load<uint64_t>(record, 48), Load<uint64_t>(record, 40),
                   Load<uint64_t>(record, 32)};
      end = end64;
    }
  }
  if (directory.offset > end || directory.size > end - directory.offset)
    return Corrupt("its directory lies beyond its end");
  if (directory.size > kMaxDirectory)
    return Error{ErrorCode::kTooLarge,
                 "is a zip archive with a directory above 1 GiB; unpack it first"};
  if (directory.entries > directory.size / kDirectorySize)
    return Corrupt("its directory is too short for its members");
  return directory;
}

/// The zip64 extra field gives, in this order, what did not fit into 32 bits.
bool ApplyZip64(std::span<const std::byte> extra, ZipEntry& entry) {
  for (size_t at = 0; at + 4 <= extra.size();) {
    const size_t size = Load<uint16_t>(extra, at + 2);
    if (size > extra.size() - at - 4) return false;
    if (Load<uint16_t>(extra, at) == 1) {
      std::span<const std::byte> values = extra.subspan(at + 4, size);
      for (uint64_t* value : {&entry.size, &entry.packed_size, &entry.header}) {
        if (*value != UINT32_MAX) continue;
        if (values.size() < 8) return false;
        *value = Load<uint64_t>(values, 0);
        values = values.subspan(8);
      }
      return true;
    }
    at += 4 + size;
  }
  return entry.size != UINT32_MAX && entry.packed_size != UINT32_MAX && entry.header != UINT32_MAX;
}

}  // namespace

Result<std::map<std::string, ZipEntry>> ReadZipIndex(const ByteRange& file) {
  ZN_ASSIGN_OR_RETURN(const Directory directory, FindDirectory(file));
  std::vector<std::byte> bytes(static_cast<size_t>(directory.size));
  ZN_RETURN_IF_ERROR(file.ReadAt(directory.offset, bytes));
  std::map<std::string, ZipEntry> index;
  size_t at = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    const std::string number = "member " + std::to_string(i);
    if (bytes.size() - at < kDirectorySize || Load<uint32_t>(bytes, at) != kDirectoryMagic)
      return Corrupt(number + " is not in its directory");
    const std::span<const std::byte> record = std::span<const std::byte>(bytes).subspan(at);
    const size_t name_size = Load<uint16_t>(record, 28), extra_size = Load<uint16_t>(record, 30),
                 comment_size = Load<uint16_t>(record, 32);
    if (record.size() - kDirectorySize < name_size + extra_size + comment_size)
      return Corrupt(number + " runs beyond its directory");
    ZipEntry entry;
    entry.encrypted = (Load<uint16_t>(record, 8) & 1) != 0;
    entry.method = Load<uint16_t>(record, 10);
    entry.crc = Load<uint32_t>(record, 16);
    entry.packed_size = Load<uint32_t>(record, 20);
    entry.size = Load<uint32_t>(record, 24);
    entry.header = Load<uint32_t>(record, 42);
    if (!ApplyZip64(record.subspan(kDirectorySize + name_size, extra_size), entry))
      return Corrupt(number + " lacks its 64-bit sizes");
    if (entry.header > directory.offset || entry.packed_size > directory.offset - entry.header)
      return Corrupt(number + " lies beyond its directory");
    std::string name(reinterpret_cast<const char*>(record.data() + kDirectorySize), name_size);
    if (IsValidKey(name)) index.insert_or_assign(std::move(name), entry);
    at += kDirectorySize + name_size + extra_size + comment_size;
  }
  return index;
}

Result<uint64_t> FindZipData(const ByteRange& file, const std::string& name,
                             const ZipEntry& entry) {
  std::byte header[kLocalSize];
  ZN_RETURN_IF_ERROR(file.ReadAt(entry.header, header));
  const size_t name_size = Load<uint16_t>(header, 26), extra_size = Load<uint16_t>(header, 28);
  if (Load<uint32_t>(header, 0) != kLocalMagic || name_size != name.size())
    return Corrupt(name + " is not where its directory says");
  std::string local(name_size, '\0');
  ZN_RETURN_IF_ERROR(file.ReadAt(entry.header + kLocalSize,
                                 std::as_writable_bytes(std::span(local.data(), local.size()))));
  if (local != name) return Corrupt(name + " is not where its directory says");
  const uint64_t data = entry.header + kLocalSize + name_size + extra_size;
  if (data > file.size() || entry.packed_size > file.size() - data)
    return Corrupt(name + " runs beyond the file");
  return data;
}

}  // namespace zn::formats::zarr
