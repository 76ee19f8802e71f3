// Memory of chunks that are kept only while a reader passes: taken again by the next one, so that going through a field
// faults in no new pages.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "zn/engine/buffer.h"

namespace zn {

/// All members may be called from any thread. Blocks outlive it.
class HeapBlocks {
 public:
  /// At most `max_idle` bytes are kept of blocks that nobody uses.
  explicit HeapBlocks(size_t max_idle);

  /// `size` bytes of whatever was there; given back when the last Buffer of it goes.
  struct Block {
    std::span<std::byte> bytes;
    Buffer buffer;  // the same, as readers get it
  };
  Block Take(size_t size);

 private:
  struct Idle;
  std::shared_ptr<Idle> idle_;
};

}  // namespace zn
