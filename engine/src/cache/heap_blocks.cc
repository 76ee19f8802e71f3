#include "cache/heap_blocks.h"

#include <mutex>
#include <utility>
#include <vector>

namespace zn {
namespace {

// Chunks of a field differ in size by their largest frame: rounded up, most fit one another's blocks.
constexpr size_t kUnit = 64 << 10;

struct Memory {
  std::unique_ptr<std::byte[]> bytes;
  size_t size = 0;
};

}  // namespace

struct HeapBlocks::Idle {
  std::mutex mutex;
  std::vector<Memory> blocks;  // guarded by mutex
  size_t bytes = 0;            // of them; guarded by mutex
  const size_t most;

  explicit Idle(size_t max_idle) : most(max_idle) {}

  // The block given back last that is large enough and not twice as large as that.
  Memory Take(size_t size) {
    std::lock_guard lock(mutex);
    for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
      if (block->size < size || block->size / 2 > size) continue;
      Memory found = std::move(*block);
      blocks.erase(std::next(block).base());
      bytes -= found.size;
      return found;
    }
    return {};
  }

  void Give(Memory block) {
    std::lock_guard lock(mutex);
    if (bytes + block.size > most) return;
    bytes += block.size;
    blocks.push_back(std::move(block));
  }
};

HeapBlocks::HeapBlocks(size_t max_idle) : idle_(std::make_shared<Idle>(max_idle)) {}

HeapBlocks::Block HeapBlocks::Take(size_t size) {
  const size_t room = (size + kUnit - 1) / kUnit * kUnit;
  Memory memory = idle_->Take(room);
  if (memory.bytes == nullptr) memory = {std::make_unique_for_overwrite<std::byte[]>(room), room};
  const std::span<std::byte> bytes(memory.bytes.get(), size);
  std::shared_ptr<const void> lent(bytes.data(), [home = idle_, owned = std::make_shared<Memory>(std::move(memory))](
                                                     const void*) { home->Give(std::move(*owned)); });
  return {bytes, Buffer(std::move(lent), bytes)};
}

}  // namespace zn
