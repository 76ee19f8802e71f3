// Frames from one process to another: what zn-import, as a sandboxed child of the server, writes into a pipe.
//
// A stream is messages: u8 kind, u64 length (little-endian), payload. The reading side trusts nothing of it: the writer
// has parsed a stranger's file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "zn/engine/batch.h"
#include "zn/engine/error.h"

namespace zn::formats {

enum class StreamMessage : uint8_t {
  kBatch = 1,     // EncodeBatch
  kProgress = 2,  // float64: of [0, 1]
  kWarning = 3,   // UTF-8
  kError = 4,     // UTF-8: why there is no more; the last message
  kEnd = 5,       // empty: everything was read; the last message
};

inline constexpr size_t kStreamHeader = 9;
inline constexpr uint64_t kMaxStreamMessage = uint64_t{2} << 30;

struct StreamHeader {
  StreamMessage kind = StreamMessage::kEnd;
  uint64_t length = 0;
};
void EncodeStreamHeader(const StreamHeader& header, std::byte* out);
/// kInvalidArgument for an unknown kind or a length beyond kMaxStreamMessage. `bytes` has kStreamHeader of them.
Result<StreamHeader> DecodeStreamHeader(std::span<const std::byte> bytes);

/// u32 frames, i32 n_atoms each, u32 columns; a column: string name, u8 kind, u8 dtype, u8 rank, i64 extents, string
/// attributes, u8 has present, present, u64 lengths, i64 each, u64 texts, strings, u64 bytes of data, data. A string is u32
/// length and bytes.
std::vector<std::byte> EncodeBatch(const FrameBatch& batch);
/// The columns share `bytes`. kInvalidArgument for anything that is not such a batch, ValidateBatch included.
Result<FrameBatch> DecodeBatch(const Buffer& bytes);

}  // namespace zn::formats
