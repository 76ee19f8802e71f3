// The HDF5 filters that this reader undoes itself, outside libhdf5's lock: deflate, shuffle,
// fletcher32, and h5py's lzf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "zn/engine/error.h"

namespace zn::formats::h5 {

/// One stage of a dataset's pipeline, in the order of writing.
struct Filter {
  int id = 0;          // as HDF5 numbers them
  size_t element = 1;  // of shuffle
};

inline constexpr int kDeflate = 1, kShuffle = 2, kFletcher32 = 3, kLzf = 32000;

/// True when Undo knows every stage: only filters above, and at most one that compresses.
bool CanUndo(std::span<const Filter> filters);

/// Undoes `filters` for a chunk of exactly out.size() raw bytes, stages with their bit set in
/// `mask` left out. kCorrupt says which stage failed. Any thread.
Result<> Undo(std::span<const Filter> filters, uint32_t mask, std::span<const std::byte> stored,
              std::span<std::byte> out);

/// HDF5's checksum of `bytes`: Fletcher's over 16-bit big-endian words.
uint32_t Fletcher32(std::span<const std::byte> bytes);

}  // namespace zn::formats::h5
