// Finding records in files whose structure cannot be relied on, and making damaged headers again.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "check/store_image.h"
#include "log/record.h"

namespace zn::check {

/// Is a record met that begins within the payload of another?
enum class Payloads { kSkip, kSearch };

/// Every place of a file where a whole record begins (its head is sound, its payload not looked
/// at), ascending. `visit` returns false to stop.
void ForEachRecord(const StoreImage& image, const FileImage& file, Payloads payloads,
                   const std::function<bool(uint64_t begin, const RecordHeader& header)>& visit);

/// The header of a log's record that begins `bytes`, when header or payload are damaged in a way
/// that leaves no doubt what stood there: of name, length, checksum of the payload and checksum of
/// the header enough agree with the payload. `bytes` goes on to where the next record can begin at
/// the latest.
std::optional<RecordHeader> RecoverHeader(std::span<const std::byte> bytes, uint32_t salt);

}  // namespace zn::check
