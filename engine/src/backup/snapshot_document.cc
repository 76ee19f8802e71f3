#include "backup/snapshot_document.h"

#include <algorithm>

#include "base/bytes.h"
#include "log/group.h"
#include "pack/pack_format.h"
#include "room/superblock.h"

namespace zn::backup {
namespace {

constexpr uint8_t kVersion = 1;

template <size_t N>
void GetArray(ByteReader& in, std::array<std::byte, N>& out) {
  const auto bytes = in.GetBytes(N);
  if (bytes.size() == N) std::copy(bytes.begin(), bytes.end(), out.begin());
}

/// Only files that a store has: whatever a snapshot says, a restore writes nowhere else.
bool IsStoreFile(std::string_view name) {
  if (name.starts_with("log/")) return ParseLogFileName(name.substr(4)) != 0;
  if (!name.starts_with("packs/")) return false;
  name.remove_prefix(6);
  return ParsePackFileName(name, ".pack") != 0 || ParsePackFileName(name, ".moved") != 0;
}

Error Corrupt(const std::string& what) { return Error{ErrorCode::kCorrupt, what}; }

}  // namespace

std::vector<std::byte> EncodeSnapshot(const SnapshotDocument& snapshot) {
  ByteWriter out;
  out.Put(kVersion);
  out.Put(snapshot.kind);
  out.PutBytes(snapshot.id.bytes);
  out.PutBytes(snapshot.parent.bytes);
  out.Put(snapshot.time_ns);
  out.PutString(snapshot.host);
  out.PutString(snapshot.source);
  out.PutString(snapshot.description);
  out.Put(static_cast<uint32_t>(snapshot.tags.size()));
  for (const std::string& tag : snapshot.tags) out.PutString(tag);
  out.Put(snapshot.bytes);
  out.Put(snapshot.new_bytes);
  out.Put(snapshot.new_objects);
  out.Put(snapshot.damaged);
  out.PutBytes(snapshot.store);
  out.Put(static_cast<uint32_t>(snapshot.superblock.size()));
  out.PutBytes(snapshot.superblock);
  out.Put(snapshot.sequence);
  out.Put(static_cast<uint32_t>(snapshot.files.size()));
  for (const FileRecord& file : snapshot.files) {
    out.PutString(file.name);
    out.Put(file.size);
    out.PutBytes(file.tail.bytes);
    out.Put(static_cast<uint8_t>(file.damaged));
    out.Put(static_cast<uint32_t>(file.lists.size()));
    for (const ListRef& list : file.lists) {
      out.PutBytes(list.content.bytes);
      out.Put(list.begin);
      out.Put(list.length);
    }
  }
  return out.Take();
}

Result<SnapshotDocument> DecodeSnapshot(std::span<const std::byte> payload) {
  constexpr size_t kLeastFile = 49, kListSize = 48;
  ByteReader in(payload);
  SnapshotDocument snapshot;
  if (const auto version = in.Get<uint8_t>(); version != kVersion)
    return Error{ErrorCode::kUnsupported,
                 "has version " + std::to_string(version) + ", of a later ZnStore"};
  snapshot.kind = in.Get<SourceKind>();
  GetArray(in, snapshot.id.bytes);
  GetArray(in, snapshot.parent.bytes);
  snapshot.time_ns = in.Get<int64_t>();
  snapshot.host = in.GetString();
  snapshot.source = in.GetString();
  snapshot.description = in.GetString();
  const auto tags = in.Get<uint32_t>();
  for (uint32_t i = 0; i < tags && in.ok(); ++i) snapshot.tags.emplace_back(in.GetString());
  snapshot.bytes = in.Get<uint64_t>();
  snapshot.new_bytes = in.Get<uint64_t>();
  snapshot.new_objects = in.Get<uint64_t>();
  snapshot.damaged = in.Get<uint32_t>();
  GetArray(in, snapshot.store);
  const auto superblock = in.GetBytes(in.Get<uint32_t>());
  snapshot.superblock.assign(superblock.begin(), superblock.end());
  snapshot.sequence = in.Get<uint64_t>();
  const auto files = in.Get<uint32_t>();
  if (!in.ok() || files > in.remaining() / kLeastFile) return Corrupt("is cut short");
  if (snapshot.kind != SourceKind::kStore && snapshot.kind != SourceKind::kDirectory)
    return Corrupt("is of no known kind");
  if (snapshot.kind == SourceKind::kStore && snapshot.superblock.size() != kSuperblockSize)
    return Corrupt("has no superblock");
  snapshot.files.resize(files);
  for (FileRecord& file : snapshot.files) {
    file.name = in.GetString();
    file.size = in.Get<uint64_t>();
    GetArray(in, file.tail.bytes);
    file.damaged = in.Get<uint8_t>() != 0;
    const auto lists = in.Get<uint32_t>();
    if (!in.ok() || lists > in.remaining() / kListSize) return Corrupt("is cut short");
    file.lists.resize(lists);
    uint64_t end = 0;
    for (ListRef& list : file.lists) {
      GetArray(in, list.content.bytes);
      list.begin = in.Get<uint64_t>();
      list.length = in.Get<uint64_t>();
      if (list.begin != end || list.length > UINT64_MAX - end)
        return Corrupt("has lists that leave a gap");
      end += list.length;
    }
    if (snapshot.kind == SourceKind::kStore && !IsStoreFile(file.name))
      return Corrupt("names a file that no store has: " + file.name.substr(0, 100));
    if (snapshot.kind == SourceKind::kStore && end != file.size)
      return Corrupt("has lists that do not make their file");
  }
  if (!in.ok()) return Corrupt("is cut short");
  if (in.remaining() != 0) return Corrupt("is longer than it says");
  if (snapshot.kind == SourceKind::kDirectory && snapshot.files.size() != 1)
    return Corrupt("is of a directory and does not have one list of it");
  return snapshot;
}

}  // namespace zn::backup
