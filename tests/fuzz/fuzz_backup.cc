// The documents of a repository: whatever stands in them, they decode or say why not; what decodes,
// encodes to itself.
#include <algorithm>

#include "backup/bundle.h"
#include "backup/envelope.h"
#include "backup/file_list.h"
#include "backup/object_index.h"
#include "backup/repository_config.h"
#include "backup/snapshot_document.h"
#include "base/check.h"

namespace {

using namespace zn::backup;

void Same(std::span<const std::byte> a, std::span<const std::byte> b) {
  ZN_CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  switch (data[0] % 6) {
    case 0:
      if (const auto snapshot = DecodeSnapshot(bytes))
        ZN_CHECK(DecodeSnapshot(EncodeSnapshot(*snapshot)));
      break;
    case 1:
      for (const bool sealed : {false, true})
        if (const auto bundles = DecodeIndex(bytes, sealed)) Same(EncodeIndex(*bundles), bytes);
      break;
    case 2:
      if (const auto pieces = DecodePieces(bytes)) Same(EncodePieces(*pieces), bytes);
      break;
    case 3:
      if (const auto entries = DecodeTree(bytes)) {
        for (const TreeEntry& entry : *entries) ZN_CHECK(IsSafePath(entry.path));
        ZN_CHECK(DecodeTree(EncodeTree(*entries)));
      }
      break;
    case 4:
      for (const Document kind : {Document::kIndex, Document::kSnapshot, Document::kTable})
        (void)TakeFromEnvelope(kind, bytes, std::nullopt);
      (void)TakeFromEnvelope(Document::kIndex, bytes, Key{});
      break;
    default:
      (void)DecodeConfig(bytes);
      break;
  }
  return 0;
}
