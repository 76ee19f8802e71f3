#include "backup/envelope.h"

#include <cstring>

#include "base/bytes.h"
#include "base/copy.h"
#include "base/hash.h"

namespace zn::backup {
namespace {

constexpr uint32_t kVersion = 1;
constexpr size_t kContextSize = 48;  // of the header: what is known before the payload is sealed
constexpr size_t kSaltOffset = 16, kSaltSize = 32;

Key DocumentKey(const Key& master, std::span<const std::byte> header) {
  return DeriveKey(master, "document", header.first(kContextSize));
}

}  // namespace

std::vector<std::byte> PutInEnvelope(Document kind, std::span<const std::byte> payload,
                                     const std::optional<Key>& master) {
  ByteWriter begin;
  begin.Put(kind);
  begin.Put(kVersion);
  begin.Put(static_cast<uint64_t>(payload.size()));
  std::vector<std::byte> bytes = begin.Take();
  bytes.resize(EnvelopeSize(payload.size(), master.has_value()));
  const auto header = std::span(bytes).first(kEnvelopeHeaderSize);
  const auto body = std::span(bytes).subspan(kEnvelopeHeaderSize);
  if (master) {
    FillRandom(header.subspan(kSaltOffset, kSaltSize));
    // Each document has its own key, so one nonce serves all.
    Seal(DocumentKey(*master, header), Nonce{}, header.first(kContextSize), payload, body.data());
  } else {
    CopyBytes(body.data(), payload.data(), payload.size());
  }
  const uint32_t body_crc = Crc32c(body);
  std::memcpy(header.data() + kContextSize, &body_crc, sizeof body_crc);
  const uint32_t crc = Crc32c(header.first(kEnvelopeHeaderSize - sizeof body_crc));
  std::memcpy(header.data() + kEnvelopeHeaderSize - sizeof crc, &crc, sizeof crc);
  return bytes;
}

Result<std::vector<std::byte>> TakeFromEnvelope(Document kind, std::span<const std::byte> bytes,
                                                const std::optional<Key>& master) {
  if (bytes.size() < kEnvelopeHeaderSize)
    return Error{ErrorCode::kCorrupt, "is cut short: it ends within its header"};
  ByteReader in(bytes.first(kEnvelopeHeaderSize));
  const auto magic = in.Get<Document>();
  const auto version = in.Get<uint32_t>();
  const auto length = in.Get<uint64_t>();
  in.GetBytes(kSaltSize);
  const auto body_crc = in.Get<uint32_t>();
  in.Get<uint64_t>();
  if (in.Get<uint32_t>() != Crc32c(bytes.first(kEnvelopeHeaderSize - 4)))
    return Error{ErrorCode::kCorrupt, "wrong checksum of its header"};
  if (magic != kind) return Error{ErrorCode::kCorrupt, "is a document of another kind"};
  if (version != kVersion)
    return Error{ErrorCode::kUnsupported,
                 "has version " + std::to_string(version) + ", of a later ZnStore"};
  const auto body = bytes.subspan(kEnvelopeHeaderSize);
  const size_t extra = master ? kTagSize : 0;
  if (body.size() < extra || body.size() - extra != length)
    return Error{ErrorCode::kCorrupt,
                 body.size() < length + extra ? "is cut short" : "is longer than it says"};
  if (Crc32c(body) != body_crc) return Error{ErrorCode::kCorrupt, "wrong checksum"};
  std::vector<std::byte> payload(length);
  if (!master) {
    CopyBytes(payload.data(), body.data(), body.size());
  } else if (!Unseal(DocumentKey(*master, bytes), Nonce{}, bytes.first(kContextSize), body,
                     payload.data())) {
    return Error{ErrorCode::kCorrupt,
                 "is not authentic: it was changed, or belongs to another repository"};
  }
  return payload;
}

}  // namespace zn::backup
