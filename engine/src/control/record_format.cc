#include "control/record_format.h"

#include <cstring>

#include "zn/engine/records.h"

namespace zn {
namespace {

constexpr uint8_t kPayloadVersion = 1;
enum OpCode : uint8_t { kPutInline = 1, kPutRecord = 2, kErase = 3 };

Error Malformed() { return {ErrorCode::kCorrupt, "malformed control record; run zn-fsck"}; }

void PutRef(ByteWriter& out, const RecordRef& ref) { out.PutBytes(std::as_bytes(std::span(&ref, 1))); }
RecordRef GetRef(ByteReader& in) {
  RecordRef ref;
  const auto bytes = in.GetBytes(kEncodedRefSize);
  if (bytes.size() == kEncodedRefSize) std::memcpy(&ref, bytes.data(), kEncodedRefSize);
  return ref;
}

bool GetOp(ByteReader& in, RecordOp& op) {
  const auto code = in.Get<uint8_t>();
  const auto size = in.Get<uint16_t>();
  const auto key = in.GetBytes(size);
  op.entry.key.assign(reinterpret_cast<const char*>(key.data()), key.size());
  switch (code) {
    case kPutInline: op.entry.value = in.GetString(); break;
    case kPutRecord: op.entry.ref = GetRef(in); break;
    case kErase: op.erase = true; break;
    default: return false;
  }
  return in.ok() && !op.entry.key.empty() && op.entry.key.size() <= kMaxRecordKey &&
         (code != kPutRecord || op.entry.ref);
}

}  // namespace

void PutRecordOp(ByteWriter& out, const RecordOp& op) {
  out.Put<uint8_t>(op.erase ? kErase : op.entry.ref ? kPutRecord : kPutInline);
  out.Put(static_cast<uint16_t>(op.entry.key.size()));
  out.PutBytes(std::as_bytes(std::span(op.entry.key)));
  if (op.erase) return;
  if (op.entry.ref) {
    PutRef(out, op.entry.ref);
  } else {
    out.PutString(op.entry.value);
  }
}

Result<std::vector<RecordOp>> DecodeRecordOps(std::span<const std::byte> bytes, uint32_t count) {
  ByteReader in(bytes);
  std::vector<RecordOp> ops;
  for (uint32_t i = 0; i < count; ++i) {
    RecordOp op;
    if (!GetOp(in, op)) return Malformed();
    ops.push_back(std::move(op));
  }
  if (in.remaining() != 0) return Malformed();
  return ops;
}

void PutRecordsAt(ByteWriter& out, const RecordsAt& at) {
  out.Put(at.number);
  out.Put<uint8_t>(at.root ? 1 : 0);
  if (at.root) {
    out.Put(at.level);
    PutRef(out, at.root);
  }
  out.Put(at.op_count);
  out.Put(static_cast<uint32_t>(at.ops.size()));
  out.PutBytes(at.ops);
}

Result<RecordsAt> GetRecordsAt(ByteReader& in) {
  RecordsAt at;
  at.number = in.Get<uint64_t>();
  if (in.Get<uint8_t>() != 0) {
    at.level = in.Get<uint8_t>();
    at.root = GetRef(in);
  }
  at.op_count = in.Get<uint32_t>();
  const auto ops = in.GetBytes(in.Get<uint32_t>());
  if (!in.ok() || at.level > kMaxTreeLevel) return Malformed();
  at.ops.assign(ops.begin(), ops.end());
  return at;
}

std::vector<std::byte> EncodeTransaction(const RecordsAt& at, bool folded) {
  ByteWriter out;
  out.Put(kPayloadVersion);
  out.Put(folded ? StateRecord::kFolded : StateRecord::kTransaction);
  PutRecordsAt(out, at);
  return out.Take();
}

std::vector<std::byte> EncodeValue(std::string_view value) {
  ByteWriter out;
  out.Put(kPayloadVersion);
  out.Put(StateRecord::kValue);
  out.PutBytes(std::as_bytes(std::span(value)));
  return out.Take();
}

Result<StateRecord> DecodeStateRecord(std::span<const std::byte> payload) {
  ByteReader in(payload);
  StateRecord record;
  if (in.Get<uint8_t>() != kPayloadVersion) return Malformed();
  const auto kind = in.Get<uint8_t>();
  if (!in.ok() || kind < StateRecord::kTransaction || kind > StateRecord::kValue) return Malformed();
  record.kind = static_cast<StateRecord::Kind>(kind);
  if (record.kind == StateRecord::kValue) {
    record.value = in.GetBytes(in.remaining());
    return record;
  }
  ZN_ASSIGN_OR_RETURN(record.at, GetRecordsAt(in));
  if (in.remaining() != 0) return Malformed();
  return record;
}

}  // namespace zn
