// Payloads of commits, roots, versions, refs, models and checkpoints: any bytes give an error or a value that encodes back.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "control/record_format.h"
#include "room/records.h"
#include "room/superblock.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  switch (data[0] % 8) {
    case 0:
      if (const auto commit = zn::DecodeCommit(bytes); commit && !zn::DecodeCommit(zn::EncodeCommit(*commit))) abort();
      break;
    case 1:
      if (const auto root = zn::DecodeRoot(bytes); root && !zn::DecodeRoot(zn::EncodeRoot(*root))) abort();
      break;
    case 2:
      if (const auto v = zn::DecodeVersion(bytes); v && !zn::DecodeVersion(zn::EncodeVersion(*v))) abort();
      break;
    case 3: (void)zn::DecodeRef(bytes); break;
    case 4: (void)zn::DecodeModel(bytes); break;
    case 5: (void)zn::DecodeCheckpoint(bytes); break;
    case 6: (void)zn::DecodeSuperblock(bytes); break;
    case 7:
      if (const auto record = zn::DecodeStateRecord(bytes); record && record->kind != zn::StateRecord::kValue)
        (void)zn::DecodeRecordOps(record->at.ops, record->at.op_count);
      break;
  }
  return 0;
}
