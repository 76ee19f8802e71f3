// Recognises readers that go through a field in order, chunk by chunk.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "zn/engine/version.h"

namespace zn::internal {

/// Thread-safe, lock-free; forgetful where many fields are read at once, which costs time only.
class ReadAhead {
 public:
  /// Chunks to decode ahead of a reader: what the threads get done while it takes one.
  static constexpr int kChunks = 4;

  /// A reader came to the first row of the chunk of ids [begin, end), which was not decoded. True
  /// when it came from the chunk before; the caller then decodes up to kChunks more, each as long
  /// as this one, and the reader is expected behind them.
  bool Continues(uint64_t room, uint32_t field, FrameId begin, FrameId end) {
    const uint64_t key = (room * 0x9e3779b97f4a7c15u + field + 1) * 0xd6e8feb86659fd93u;
    std::atomic<uint64_t>& expected = expected_[key >> 58];
    const bool continues =
        expected.load(std::memory_order_relaxed) == (key ^ static_cast<uint64_t>(begin));
    const FrameId next = continues ? end + kChunks * (end - begin) : end;
    expected.store(key ^ static_cast<uint64_t>(next), std::memory_order_relaxed);
    return continues;
  }

 private:
  std::array<std::atomic<uint64_t>, 64> expected_{};
};

}  // namespace zn::internal
