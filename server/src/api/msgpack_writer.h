// MessagePack, written straight into a string.
// https://github.com/msgpack/msgpack/blob/master/spec.md
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "zn/engine/dtype.h"
#include "zn/engine/shape.h"

namespace zn::server::msgpack {

inline void PutBig(std::string& out, uint64_t value, int bytes) {
  char text[8];
  for (int i = 0; i < bytes; ++i) text[i] = static_cast<char>(value >> (8 * (bytes - 1 - i)));
  out.append(text, static_cast<size_t>(bytes));
}

inline void PutSized(std::string& out, uint64_t n, int code8, int code16, int code32) {
  if (n < 256 && code8 >= 0) {
    out.push_back(static_cast<char>(code8));
    PutBig(out, n, 1);
  } else if (n < 65536) {
    out.push_back(static_cast<char>(code16));
    PutBig(out, n, 2);
  } else {
    out.push_back(static_cast<char>(code32));
    PutBig(out, n, 4);
  }
}

inline void PutNil(std::string& out) { out.push_back(static_cast<char>(0xc0)); }
inline void PutBool(std::string& out, bool value) {
  out.push_back(static_cast<char>(value ? 0xc3 : 0xc2));
}

inline void PutUnsigned(std::string& out, uint64_t value) {
  if (value < 128) {
    out.push_back(static_cast<char>(value));
  } else if (value < 256) {
    out.push_back(static_cast<char>(0xcc));
    PutBig(out, value, 1);
  } else if (value < 65536) {
    out.push_back(static_cast<char>(0xcd));
    PutBig(out, value, 2);
  } else if (value >> 32 == 0) {
    out.push_back(static_cast<char>(0xce));
    PutBig(out, value, 4);
  } else {
    out.push_back(static_cast<char>(0xcf));
    PutBig(out, value, 8);
  }
}

inline void PutInteger(std::string& out, int64_t value) {
  if (value >= 0) {
    PutUnsigned(out, static_cast<uint64_t>(value));
  } else if (value >= -32) {
    out.push_back(static_cast<char>(value));
  } else {
    out.push_back(static_cast<char>(0xd3));
    PutBig(out, static_cast<uint64_t>(value), 8);
  }
}

inline void PutDouble(std::string& out, double value) {
  out.push_back(static_cast<char>(0xcb));
  PutBig(out, std::bit_cast<uint64_t>(value), 8);
}

inline void PutStringHead(std::string& out, size_t size) {
  if (size < 32) {
    out.push_back(static_cast<char>(0xa0 | size));
  } else {
    PutSized(out, size, 0xd9, 0xda, 0xdb);
  }
}
inline void PutString(std::string& out, std::string_view text) {
  PutStringHead(out, text.size());
  out.append(text);
}

/// The bytes follow; at most 2^32 - 1.
inline void PutBinHead(std::string& out, uint64_t size) { PutSized(out, size, 0xc4, 0xc5, 0xc6); }
inline void PutBin(std::string& out, std::string_view bytes) {
  PutBinHead(out, bytes.size());
  out.append(bytes);
}

inline void PutArrayHead(std::string& out, uint64_t size) {
  if (size < 16) {
    out.push_back(static_cast<char>(0x90 | size));
  } else {
    PutSized(out, size, -1, 0xdc, 0xdd);
  }
}
inline void PutMapHead(std::string& out, uint64_t size) {
  if (size < 16) {
    out.push_back(static_cast<char>(0x80 | size));
  } else {
    PutSized(out, size, -1, 0xde, 0xdf);
  }
}

inline void PutShape(std::string& out, const Shape& shape) {
  PutArrayHead(out, shape.rank());
  for (int64_t extent : shape) PutInteger(out, extent);
}

enum class KeyKind { kBin, kStr };

inline void PutKey(std::string& out, std::string_view key, KeyKind kind) {
  if (kind == KeyKind::kBin) {
    PutBin(out, key);
  } else {
    PutString(out, key);
  }
}

/// All of an array as msgpack_numpy writes it but its `size` bytes, which follow. Rank 0 is a
/// scalar.
inline void PutNumpyHead(std::string& out, DType dtype, const Shape& shape, uint64_t size,
                         KeyKind keys) {
  const bool scalar = shape.rank() == 0;
  PutMapHead(out, scalar ? 3 : 5);
  PutKey(out, "nd", keys);
  PutBool(out, !scalar);
  PutKey(out, "type", keys);
  PutString(out, NumpyName(dtype));
  if (!scalar) {
    PutKey(out, "kind", keys);
    PutBinHead(out, 0);
    PutKey(out, "shape", keys);
    PutShape(out, shape);
  }
  PutKey(out, "data", keys);
  PutBinHead(out, size);
}

/// A JSON text as native values; false when it is not JSON.
bool PutJson(std::string& out, std::string_view json);

}  // namespace zn::server::msgpack
