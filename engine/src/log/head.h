// STORE/head: one mapped page with the newest durable position, which readers in other processes
// poll. It is never synced: whoever finds it damaged or behind scans the log instead.
// docs/format.md, "head".
//
//   offset  size
//   0       4     magic "ZNH1"
//   4       4     version, 1
//   8       8     counter: odd while the page is being changed
//   16      8     durable position, offset
//   24      4     durable position, file
//   28      4     group of the newest checkpoint, file
//   32      8     group of the newest checkpoint, offset
//   40      8     sequence of the newest durable group
//   48      8     the machine's boot during which it was written; 0: not known
//   56      4     zero
//   60      4     crc32c of bytes 0..7 and 16..59, seeded with the store's salt
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/file_system.h"
#include "log/group.h"

namespace zn {

inline constexpr size_t kHeadSize = 4096;

struct Head {
  LogPosition durable;     // the end of the newest durable group
  uint64_t sequence = 0;   // its sequence
  LogPosition checkpoint;  // the start of the newest durable group with a checkpoint
  uint64_t boot = 0;       // LogOptions::boot of who wrote it
  friend bool operator==(const Head&, const Head&) = default;
};

using HeadWords = std::array<uint64_t, 8>;
/// The counter is left 0.
HeadWords EncodeHead(const Head& head, uint32_t salt);
std::optional<Head> DecodeHead(const HeadWords& words, uint32_t salt);

/// The page, mapped. One writer in all processes; any number of readers.
class HeadPage {
 public:
  static Result<std::unique_ptr<HeadPage>> Open(FileSystem& files, const std::string& path,
                                                uint32_t salt, bool writable);
  ~HeadPage();
  HeadPage(const HeadPage&) = delete;
  HeadPage& operator=(const HeadPage&) = delete;

  /// nullopt when the page holds nothing valid, or is changed all the time while it is being read.
  std::optional<Head> Load() const;
  /// REQUIRES: opened writable; one thread at a time.
  void Store(const Head& head);

 private:
  HeadPage(uint64_t* words, uint32_t salt) : words_(words), salt_(salt) {}
  uint64_t* words_;
  uint32_t salt_;
};

}  // namespace zn
