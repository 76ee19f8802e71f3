// The payload of control records (type 10): transactions and large values. docs/format.md, "Control records".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "log/record.h"
#include "tree/key_tree.h"

namespace zn {

/// One change of one key, as a transaction lists it.
struct RecordOp {
  bool erase = false;
  KeyTree::Entry entry;  // only the key when `erase`
};
void PutRecordOp(ByteWriter& out, const RecordOp& op);
/// Exactly `count` operations and nothing else.
Result<std::vector<RecordOp>> DecodeRecordOps(std::span<const std::byte> bytes, uint32_t count);

/// A saved tree and what was done to it since: the map at one moment.
struct RecordsAt {
  uint64_t number = 0;  // of the newest transaction
  RecordRef root;
  uint8_t level = 0;
  uint32_t op_count = 0;
  std::vector<std::byte> ops;  // encoded
};
void PutRecordsAt(ByteWriter& out, const RecordsAt& at);
Result<RecordsAt> GetRecordsAt(ByteReader& in);

/// A transaction's record is a RecordsAt too: either with its own operations and no root, or, `folded`, with a root that
/// has all operations since the last one and its own in it.
struct StateRecord {
  enum Kind : uint8_t { kTransaction = 1, kFolded = 2, kValue = 3 };
  Kind kind = kTransaction;
  RecordsAt at;                      // not for kValue
  std::span<const std::byte> value;  // kValue only; within the payload
};
std::vector<std::byte> EncodeTransaction(const RecordsAt& at, bool folded);
std::vector<std::byte> EncodeValue(std::string_view value);
Result<StateRecord> DecodeStateRecord(std::span<const std::byte> payload);

}  // namespace zn
