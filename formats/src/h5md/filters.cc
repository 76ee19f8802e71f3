#include "h5md/filters.h"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace zn::formats::h5 {
namespace {

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
};

Result<> Inflate(std::span<const std::byte> in, std::span<std::byte> out) {
  thread_local std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(
      libdeflate_alloc_decompressor());
  if (!decompressor) return Error{ErrorCode::kTooLarge, "no memory to inflate with"};
  size_t written = 0;
  libdeflate_result result = libdeflate_zlib_decompress(decompressor.get(), in.data(), in.size(),
                                                        out.data(), out.size(), &written);
  if (result != LIBDEFLATE_SUCCESS || written != out.size()) {
    return Error{ErrorCode::kCorrupt,
                 "does not inflate to " + std::to_string(out.size()) + " bytes"};
  }
  return {};
}

// LZF: a byte below 32 is followed by that many literals and one more; otherwise its three high
// bits are a length (7: the next byte adds to it) and the rest, with one more byte, the distance
// back.
Result<> InflateLzf(std::span<const std::byte> in, std::span<std::byte> out) {
  Error bad{ErrorCode::kCorrupt,
            "does not unpack (lzf) to " + std::to_string(out.size()) + " bytes"};
  size_t i = 0, o = 0;
  while (i < in.size()) {
    size_t control = static_cast<uint8_t>(in[i++]);
    if (control < 32) {
      size_t count = control + 1;
      if (count > in.size() - i || count > out.size() - o) return bad;
      std::memcpy(out.data() + o, in.data() + i, count);
      i += count;
      o += count;
      continue;
    }
    size_t count = control >> 5;
    if (count == 7) {
      if (i == in.size()) return bad;
      count += static_cast<uint8_t>(in[i++]);
    }
    count += 2;
    if (i == in.size()) return bad;
    size_t distance = (control & 31) << 8 | static_cast<uint8_t>(in[i++]);
    ++distance;
    if (distance > o || count > out.size() - o) return bad;
    for (; count > 0; --count, ++o) out[o] = out[o - distance];
  }
  if (o != out.size()) return bad;
  return {};
}

bool Compresses(const Filter& filter) { return filter.id == kDeflate || filter.id == kLzf; }

template <class T>
void UnshuffleAs(const std::byte* in, size_t count, std::byte* out) {
  const auto* planes = reinterpret_cast<const uint8_t*>(in);
  for (size_t i = 0; i < count; ++i) {
    T value = 0;
    for (size_t b = 0; b < sizeof(T); ++b)
      value |= static_cast<T>(planes[b * count + i]) << (8 * b);
    std::memcpy(out + i * sizeof(T), &value, sizeof(T));
  }
}

// Bytes behind the last whole element were not shuffled.
void Unshuffle(std::span<const std::byte> in, size_t element, std::span<std::byte> out) {
  size_t count = in.size() / element;
  if (element == 4) {
    UnshuffleAs<uint32_t>(in.data(), count, out.data());
  } else if (element == 8) {
    UnshuffleAs<uint64_t>(in.data(), count, out.data());
  } else {
    for (size_t b = 0; b < element; ++b)
      for (size_t i = 0; i < count; ++i) out[i * element + b] = in[b * count + i];
  }
  std::copy(in.begin() + count * element, in.end(), out.begin() + count * element);
}

Result<std::span<const std::byte>> CheckFletcher(std::span<const std::byte> in) {
  if (in.size() < 4) return Error{ErrorCode::kCorrupt, "is too short for its checksum"};
  auto bytes = in.first(in.size() - 4);
  uint32_t stored;
  std::memcpy(&stored, in.data() + bytes.size(), 4);
  uint32_t sum = Fletcher32(bytes);
  // Libraries before 1.6.3 wrote the bytes of each half swapped on little-endian machines.
  uint32_t old = ((sum & 0x00ff00ffu) << 8) | ((sum & 0xff00ff00u) >> 8);
  if (stored != sum && stored != old) return Error{ErrorCode::kCorrupt, "contradicts its checksum"};
  return bytes;
}

}  // namespace

uint32_t Fletcher32(std::span<const std::byte> bytes) {
  const auto* p = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t words = bytes.size() / 2;
  uint32_t a = 0, b = 0;
  while (words > 0) {
    size_t block = std::min<size_t>(words, 360);  // as many as cannot overflow `b`
    words -= block;
    for (; block > 0; --block, p += 2) {
      a += static_cast<uint32_t>(p[0]) << 8 | p[1];
      b += a;
    }
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
  }
  if (bytes.size() % 2 != 0) {
    a += static_cast<uint32_t>(*p) << 8;
    b += a;
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
  }
  a = (a & 0xffff) + (a >> 16);
  b = (b & 0xffff) + (b >> 16);
  return b << 16 | a;
}

bool CanUndo(std::span<const Filter> filters) {
  int compressors = 0;
  for (const Filter& filter : filters) {
    if (Compresses(filter)) {
      ++compressors;
    } else if (filter.id == kShuffle) {
      if (filter.element == 0) return false;
    } else if (filter.id != kFletcher32) {
      return false;
    }
  }
  return compressors <= 1 && filters.size() <= 32;
}

Result<> Undo(std::span<const Filter> filters, uint32_t mask, std::span<const std::byte> stored,
              std::span<std::byte> out) {
  // What the compressor's stage must give: the raw chunk and a checksum for each fletcher32 in
  // front of it.
  size_t uncompressed = out.size();
  for (size_t i = 0; i < filters.size() && !Compresses(filters[i]); ++i) {
    if (filters[i].id == kFletcher32 && !(mask >> i & 1)) uncompressed += 4;
  }
  // Stages ping-pong between two buffers; the last one that moves bytes writes to `out`.
  std::vector<std::byte> buffers[2];
  std::span<const std::byte> current = stored;
  int next = 0;
  auto moves = [&](size_t i) {
    return !(mask >> i & 1) &&
           (Compresses(filters[i]) || (filters[i].id == kShuffle && filters[i].element > 1));
  };
  for (size_t i = filters.size(); i-- > 0;) {
    if (mask >> i & 1) continue;
    if (filters[i].id == kFletcher32) {
      ZN_ASSIGN_OR_RETURN(current, CheckFletcher(current));
      continue;
    }
    if (!moves(i)) continue;
    size_t size = Compresses(filters[i]) ? uncompressed : current.size();
    bool last = size == out.size();
    for (size_t j = 0; j < i && last; ++j) last = !moves(j);
    std::span<std::byte> target = out;
    if (!last) {
      buffers[next].resize(size);
      target = buffers[next];
      next ^= 1;
    }
    if (filters[i].id == kDeflate) {
      ZN_RETURN_IF_ERROR(Inflate(current, target));
    } else if (filters[i].id == kLzf) {
      ZN_RETURN_IF_ERROR(InflateLzf(current, target));
    } else {
      Unshuffle(current, filters[i].element, target);
    }
    current = target;
  }
  if (current.size() != out.size()) {
    return Error{ErrorCode::kCorrupt, "holds " + std::to_string(current.size()) +
                                          " bytes instead of " + std::to_string(out.size())};
  }
  if (current.data() != out.data()) std::copy(current.begin(), current.end(), out.begin());
  return {};
}

}  // namespace zn::formats::h5
