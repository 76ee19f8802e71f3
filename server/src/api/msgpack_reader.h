// MessagePack, read one token at a time from bytes in memory.
// https://github.com/msgpack/msgpack/blob/master/spec.md
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/error.h"

namespace zn::server::msgpack {

enum class Type : uint8_t { kNil, kBool, kInt, kUInt, kFloat, kStr, kBin, kArray, kMap };

struct Token {
  Type type = Type::kNil;
  bool boolean = false;
  int64_t integer = 0;       // kInt: negative; kUInt: when it fits
  uint64_t unsigned_ = 0;    // kUInt
  double number = 0;         // kFloat; float 32 widened
  std::string_view bytes;    // kStr, kBin: within what is read
  uint64_t count = 0;        // kArray: elements; kMap: pairs. Never more than the bytes left could hold
};

/// Allocates nothing; never reads behind `bytes`. Errors are kInvalidArgument naming the byte.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  Result<Token> Next();
  /// Passes over one whole value, whatever its depth.
  Result<> Skip();
  /// As Next, which must be of this type.
  Result<Token> Expect(Type type, std::string_view what);
  /// A str or bin: names and texts come as either, by who packed them.
  Result<std::string_view> Text(std::string_view what);

  bool done() const { return at_ == bytes_.size(); }
  size_t offset() const { return at_; }
  void Seek(size_t offset) { at_ = offset; }
  std::string_view bytes() const { return bytes_; }

 private:
  Error Bad(std::string_view what) const;
  template <class T>
  Result<T> Big();

  std::string_view bytes_;
  size_t at_ = 0;
};

/// Finds where values end in bytes that come piece by piece, without looking at any byte twice.
class Scanner {
 public:
  /// Looks at more bytes (behind those of the calls before). True when one value is complete; `used` is how many of
  /// `bytes` belong to it, the next call begins behind them. kInvalidArgument for what is not MessagePack.
  Result<bool> Feed(std::string_view bytes, size_t* used);

 private:
  uint64_t values_ = 1;   // still to come
  uint64_t skip_ = 0;     // of the current value's payload
  uint8_t head_[9] = {};  // of the value at hand, as far as it came
  size_t head_size_ = 0;
};

/// One whole value as JSON text: byte strings are taken for text, and what is not UTF-8 in them becomes U+FFFD.
/// kInvalidArgument beyond 64 levels and for a key that is no text.
Result<> AppendJson(Reader& reader, std::string& out);

}  // namespace zn::server::msgpack
