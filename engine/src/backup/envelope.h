// The envelope of a repository's small documents (indexes, snapshots, tables of bundles): length
// and checksum, and in an encrypted repository a key of its own. docs/backup.md, "Envelopes".
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backup/crypto.h"
#include "zn/engine/error.h"

namespace zn::backup {

inline constexpr size_t kEnvelopeHeaderSize = 64;

/// What a document is; part of its key's derivation, so that none is taken for one of another kind.
enum class Document : uint32_t {
  kIndex = 0x3149425a,
  kSnapshot = 0x3153425a,
  kTable = 0x3154425a
};  // "ZBI1", ...

std::vector<std::byte> PutInEnvelope(Document kind, std::span<const std::byte> payload,
                                     const std::optional<Key>& master);

/// The payload. kCorrupt says what is wrong: cut short, another kind, a wrong checksum, or not
/// authentic.
Result<std::vector<std::byte>> TakeFromEnvelope(Document kind, std::span<const std::byte> bytes,
                                                const std::optional<Key>& master);

/// How many bytes a document with this payload has.
inline size_t EnvelopeSize(size_t payload, bool encrypted) {
  return kEnvelopeHeaderSize + payload + (encrypted ? kTagSize : 0);
}

}  // namespace zn::backup
