#include "backup/file_list.h"

#include <algorithm>

#include "base/bytes.h"
#include "pack/pack_format.h"

namespace zn::backup {
namespace {

constexpr uint8_t kVersion = 1;
enum class ListKind : uint8_t { kPieces = 1, kTree = 2 };

Error Corrupt(const std::string& what) { return Error{ErrorCode::kCorrupt, "a list " + what}; }

void PutHeader(ByteWriter& out, ListKind kind, size_t count) {
  out.Put(kVersion);
  out.Put(kind);
  out.Put(static_cast<uint32_t>(count));
}

/// How many entries follow, each at least `least` bytes long.
Result<uint32_t> TakeHeader(ByteReader& in, ListKind kind, size_t least) {
  const auto version = in.Get<uint8_t>();
  const auto is = in.Get<ListKind>();
  const auto count = in.Get<uint32_t>();
  if (!in.ok()) return Corrupt("is cut short");
  if (version != kVersion)
    return Error{ErrorCode::kUnsupported,
                 "a list has version " + std::to_string(version) + ", of a later ZnStore"};
  if (is != kind) return Corrupt("is of another kind");
  if (count > in.remaining() / least) return Corrupt("is cut short");
  return count;
}

void GetHash(ByteReader& in, Sha256& out) {
  const auto bytes = in.GetBytes(out.bytes.size());
  std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
}

}  // namespace

uint64_t Piece::file_bytes() const { return kind == kRecord ? PackRecordSize(length) : length; }

std::vector<std::byte> EncodePieces(std::span<const Piece> pieces) {
  ByteWriter out;
  PutHeader(out, ListKind::kPieces, pieces.size());
  for (const Piece& piece : pieces) {
    out.Put(piece.kind);
    out.Put(piece.type);
    out.Put(piece.length);
    if (piece.kind == Piece::kInline) {
      out.PutBytes(piece.bytes);
    } else {
      out.PutBytes(piece.content.bytes);
    }
  }
  return out.Take();
}

Result<std::vector<Piece>> DecodePieces(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  ZN_ASSIGN_OR_RETURN(const uint32_t count, TakeHeader(in, ListKind::kPieces, 6));
  std::vector<Piece> pieces(count);
  for (Piece& piece : pieces) {
    piece.kind = in.Get<Piece::Kind>();
    piece.type = in.Get<RecordType>();
    piece.length = in.Get<uint32_t>();
    if (piece.kind == Piece::kInline) {
      if (piece.length > kMostInline) return Corrupt("has too many bytes in itself");
      const auto held = in.GetBytes(piece.length);
      piece.bytes.assign(held.begin(), held.end());
    } else if (piece.kind == Piece::kRaw || piece.kind == Piece::kRecord) {
      GetHash(in, piece.content);
    } else {
      return Corrupt("has a piece of no known kind");
    }
    if (!in.ok()) return Corrupt("is cut short");
  }
  if (in.remaining() != 0) return Corrupt("is longer than it says");
  return pieces;
}

std::vector<std::byte> EncodeTree(std::span<const TreeEntry> entries) {
  ByteWriter out;
  PutHeader(out, ListKind::kTree, entries.size());
  for (const TreeEntry& entry : entries) {
    out.PutString(entry.path);
    out.Put(entry.kind);
    out.Put(entry.mode);
    out.Put(entry.time_ns);
    out.Put(entry.changed_ns);
    out.Put(entry.size);
    out.Put(static_cast<uint32_t>(entry.parts.size()));
    for (const TreeEntry::Part& part : entry.parts) {
      out.Put(part.length);
      out.PutBytes(part.content.bytes);
    }
  }
  return out.Take();
}

Result<std::vector<TreeEntry>> DecodeTree(std::span<const std::byte> bytes) {
  constexpr size_t kLeastEntry = 37, kPartSize = 36;
  ByteReader in(bytes);
  ZN_ASSIGN_OR_RETURN(const uint32_t count, TakeHeader(in, ListKind::kTree, kLeastEntry));
  std::vector<TreeEntry> entries(count);
  for (TreeEntry& entry : entries) {
    entry.path = in.GetString();
    entry.kind = in.Get<TreeEntry::Kind>();
    entry.mode = in.Get<uint32_t>() & 07777;
    entry.time_ns = in.Get<int64_t>();
    entry.changed_ns = in.Get<int64_t>();
    entry.size = in.Get<uint64_t>();
    const auto parts = in.Get<uint32_t>();
    if (!in.ok() || parts > in.remaining() / kPartSize) return Corrupt("is cut short");
    if (!IsSafePath(entry.path)) return Corrupt("has a path that leads elsewhere");
    if (entry.kind != TreeEntry::kFile && entry.kind != TreeEntry::kFolder)
      return Corrupt("has an entry of no known kind");
    entry.parts.resize(parts);
    uint64_t size = 0;
    for (TreeEntry::Part& part : entry.parts) {
      part.length = in.Get<uint32_t>();
      GetHash(in, part.content);
      size += part.length;
    }
    if (size != entry.size) return Corrupt("has a file whose parts are not its size");
  }
  if (!in.ok()) return Corrupt("is cut short");
  if (in.remaining() != 0) return Corrupt("is longer than it says");
  return entries;
}

bool IsSafePath(std::string_view path) {
  if (path.empty() || path.size() > 4000 || path.find('\0') != std::string_view::npos) return false;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view name = path.substr(at, end - at);
    if (name.empty() || name == "." || name == ".." || name.size() > 255) return false;
    at = end + 1;
  }
  return true;
}

}  // namespace zn::backup
