#include "backup/bundle.h"

#include <cstring>

#include "backup/envelope.h"
#include "base/bytes.h"
#include "base/hash.h"

namespace zn::backup {
namespace {

constexpr uint32_t kHeaderMagic = 0x3142425a;  // "ZBB1"
constexpr uint32_t kFooterMagic = 0x3145425a;  // "ZBE1"
constexpr uint32_t kVersion = 1;
constexpr uint64_t kMostTable = uint64_t{1} << 30;

Nonce NonceAt(uint64_t offset) {
  Nonce nonce{};
  std::memcpy(nonce.data(), &offset, sizeof offset);
  return nonce;
}

}  // namespace

std::array<std::byte, kBundleHeaderSize> EncodeBundleHeader(const RandomId& id) {
  ByteWriter out;
  out.Put(kHeaderMagic);
  out.Put(kVersion);
  out.PutBytes(id.bytes);
  out.PutBytes(std::array<std::byte, 36>{});
  out.Put(Crc32c(out.bytes()));
  std::array<std::byte, kBundleHeaderSize> header;
  std::memcpy(header.data(), out.bytes().data(), header.size());
  return header;
}

Result<> CheckBundleHeader(std::span<const std::byte> bytes, const RandomId& id) {
  const auto want = EncodeBundleHeader(id);
  if (bytes.size() < want.size() || std::memcmp(bytes.data(), want.data(), want.size()) != 0)
    return Error{ErrorCode::kCorrupt, "does not begin as this bundle must"};
  return {};
}

void PutEntries(std::vector<std::byte>& out, std::span<const BundleEntry> entries) {
  ByteWriter writer;
  writer.Put(static_cast<uint32_t>(entries.size()));
  for (const BundleEntry& entry : entries) {
    writer.PutBytes(entry.id.value.bytes);
    writer.Put(entry.offset);
    writer.Put(entry.length);
  }
  out.insert(out.end(), writer.bytes().begin(), writer.bytes().end());
}

Result<std::vector<BundleEntry>> TakeEntries(std::span<const std::byte>& in, uint64_t size,
                                             bool sealed) {
  ByteReader reader(in);
  const auto count = reader.Get<uint32_t>();
  if (!reader.ok() || count > reader.remaining() / kBundleEntrySize)
    return Error{ErrorCode::kCorrupt, "is cut short within the places of its objects"};
  std::vector<BundleEntry> entries(count);
  for (BundleEntry& entry : entries) {
    const auto name = reader.GetBytes(entry.id.value.bytes.size());
    std::memcpy(entry.id.value.bytes.data(), name.data(), name.size());
    entry.offset = reader.Get<uint64_t>();
    entry.length = reader.Get<uint32_t>();
    const uint64_t stored = uint64_t{entry.length} + (sealed ? kTagSize : 0);
    if (entry.offset < kBundleHeaderSize || entry.offset > size || stored > size - entry.offset)
      return Error{ErrorCode::kCorrupt, "has an object outside its bundle"};
  }
  in = in.last(reader.remaining());
  return entries;
}

std::vector<std::byte> EncodeBundleEnd(uint64_t at, std::span<const BundleEntry> entries,
                                       const std::optional<Key>& master) {
  std::vector<std::byte> payload;
  PutEntries(payload, entries);
  std::vector<std::byte> end = PutInEnvelope(Document::kTable, payload, master);
  ByteWriter footer;
  footer.Put(at);
  footer.Put(kFooterMagic);
  footer.Put(Crc32c(footer.bytes()));
  end.insert(end.end(), footer.bytes().begin(), footer.bytes().end());
  return end;
}

Result<BundleTable> ReadBundleTable(const File& file, const RandomId& id,
                                    const std::optional<Key>& master) {
  ZN_ASSIGN_OR_RETURN(const int64_t file_size, file.Size());
  const auto size = static_cast<uint64_t>(file_size);
  if (size < kBundleHeaderSize + kBundleFooterSize)
    return Error{ErrorCode::kCorrupt, "is cut short"};
  std::array<std::byte, kBundleHeaderSize> header;
  ZN_RETURN_IF_ERROR(file.ReadAt(0, header));
  ZN_RETURN_IF_ERROR(CheckBundleHeader(header, id));
  std::array<std::byte, kBundleFooterSize> footer;
  ZN_RETURN_IF_ERROR(file.ReadAt(static_cast<int64_t>(size - footer.size()), footer));
  ByteReader in(footer);
  const auto at = in.Get<uint64_t>();
  const auto magic = in.Get<uint32_t>();
  const uint64_t end = size - kBundleFooterSize;
  if (in.Get<uint32_t>() != Crc32c(std::span(footer).first(kBundleFooterSize - 4)) ||
      magic != kFooterMagic || at < kBundleHeaderSize || at > end || end - at > kMostTable)
    return Error{ErrorCode::kCorrupt, "does not end as a bundle must; it may be cut short"};
  std::vector<std::byte> bytes(end - at);
  ZN_RETURN_IF_ERROR(file.ReadAt(static_cast<int64_t>(at), bytes));
  auto payload = TakeFromEnvelope(Document::kTable, bytes, master);
  if (!payload) return std::move(payload).error().Context("its table");
  std::span<const std::byte> rest = *payload;
  ZN_ASSIGN_OR_RETURN(auto entries, TakeEntries(rest, at, master.has_value()));
  if (!rest.empty()) return Error{ErrorCode::kCorrupt, "has more in its table than it says"};
  return BundleTable{id, size, std::move(entries)};
}

BundleCipher::BundleCipher(const std::optional<Key>& master, const RandomId& bundle) {
  if (master) key_ = DeriveKey(*master, "bundle", bundle.bytes);
}

std::vector<std::byte> BundleCipher::Seal(const ObjectId& id, uint64_t offset,
                                          std::span<const std::byte> content) const {
  std::vector<std::byte> stored(content.size() + kTagSize);
  // A bundle is written once and by one process, so offsets in it serve as nonces.
  backup::Seal(*key_, NonceAt(offset), id.value.bytes, content, stored.data());
  return stored;
}

bool BundleCipher::Unseal(const BundleEntry& entry, std::span<const std::byte> stored,
                          std::byte* out) const {
  return backup::Unseal(*key_, NonceAt(entry.offset), entry.id.value.bytes, stored, out);
}

std::string BundlePath(const RandomId& id) {
  const std::string name = id.Hex();
  return "data/" + name.substr(0, 2) + "/" + name + ".bundle";
}

}  // namespace zn::backup
