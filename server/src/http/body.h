// Bodies of replies: pieces that share their bytes with the cache, gathered by sendmsg; and streams
// of such pieces for bodies that are not to stand in memory at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/buffer.h"
#include "zn/engine/error.h"

namespace zn::server {

using Pieces = std::vector<Buffer>;

uint64_t TotalSize(const Pieces& pieces);
Buffer BufferOf(std::string text);
std::string Flatten(const Pieces& pieces);
/// Bytes [offset, offset + count) of `pieces`, sharing their owners.
Pieces SlicePieces(const Pieces& pieces, uint64_t offset, uint64_t count);

/// Collects a body: small bytes are copied together, large ones stay where they are and are pinned.
class PieceWriter {
 public:
  /// Where to append text. Do not keep the reference over a call of Pin or Take.
  std::string& text() { return text_; }
  void Append(std::string_view bytes) { text_.append(bytes); }
  void Append(std::span<const std::byte> bytes) {
    text_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  /// Copies up to kCopyBelow bytes, pins more. Neighbours of one owner become one piece.
  void Pin(const Buffer& buffer);
  size_t size() const { return pinned_bytes_ + text_.size(); }
  Pieces Take();

  static constexpr size_t kCopyBelow = 4096;

 private:
  void FlushText();
  std::string text_;
  Pieces pieces_;
  size_t pinned_bytes_ = 0;
};

/// A body that is produced as it is sent. Used on the pool, by one thread at a time.
class BodyStream {
 public:
  virtual ~BodyStream() = default;
  /// Of the whole body, when it is known beforehand; it is then kept to exactly.
  virtual std::optional<uint64_t> length() const = 0;
  /// Appends the next pieces, at most a few MiB; false at the end (pieces may have been appended
  /// then, too).
  virtual Result<bool> Next(Pieces* pieces) = 0;
  /// Leaves out whole parts of the front without producing them, before the first Next; returns how
  /// many bytes that were, at most `bytes`.
  virtual Result<uint64_t> Skip(uint64_t bytes) {
    (void)bytes;
    return uint64_t{0};
  }
};

/// Bytes [offset, offset + count) of `inner`.
Result<std::unique_ptr<BodyStream>> RangeOf(std::unique_ptr<BodyStream> inner, uint64_t offset,
                                            uint64_t count);

}  // namespace zn::server
