// A file's bytes in order, decompressed on the way: gzip (several members), bzip2 and xz (several
// streams).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "zn/engine/error.h"

namespace zn::formats {

enum class Compression { kNone, kGzip, kBzip2, kXz };

/// By the first bytes of the file.
Compression DetectCompression(std::span<const std::byte> head);

/// One thread at a time, except for position().
class ByteSource {
 public:
  /// kNotFound, kIo; kInvalidArgument for a directory.
  static Result<std::unique_ptr<ByteSource>> Open(const std::string& path);
  virtual ~ByteSource() = default;

  /// Fills `out` as far as there is something, blocking; less than its size only at the end.
  /// kCorrupt when a compressed stream is damaged or ends early; the bytes before the damage come
  /// first, the error with the next call.
  virtual Result<size_t> Read(std::span<char> out) = 0;

  virtual Compression compression() const = 0;
  /// Bytes of the file as it lies on disk, and how many of them were read.
  virtual int64_t file_size() const = 0;
  virtual int64_t position() const = 0;
};

/// The first decompressed bytes of a file, at most `limit`; what comes before damage when it is
/// damaged.
Result<std::vector<std::byte>> ReadHead(const std::string& path, size_t limit);

}  // namespace zn::formats
