#include "http/body.h"

#include <algorithm>

namespace zn::server {
namespace {

class RangeStream final : public BodyStream {
 public:
  RangeStream(std::unique_ptr<BodyStream> inner, uint64_t drop, uint64_t count)
      : inner_(std::move(inner)), drop_(drop), left_(count), count_(count) {}
  std::optional<uint64_t> length() const override { return count_; }

  Result<bool> Next(Pieces* out) override {
    Pieces pieces;
    ZN_ASSIGN_OR_RETURN(bool more, inner_->Next(&pieces));
    uint64_t total = TotalSize(pieces);
    uint64_t drop = std::min(drop_, total);
    uint64_t take = std::min(total - drop, left_);
    drop_ -= drop;
    left_ -= take;
    if (take > 0)
      for (Buffer& piece : SlicePieces(pieces, drop, take)) out->push_back(std::move(piece));
    return more && left_ > 0;
  }

 private:
  std::unique_ptr<BodyStream> inner_;
  uint64_t drop_, left_, count_;
};

}  // namespace

uint64_t TotalSize(const Pieces& pieces) {
  uint64_t total = 0;
  for (const Buffer& piece : pieces) total += piece.size();
  return total;
}

Buffer BufferOf(std::string text) {
  auto owner = std::make_shared<const std::string>(std::move(text));
  return Buffer(owner, std::as_bytes(std::span(owner->data(), owner->size())));
}

std::string Flatten(const Pieces& pieces) {
  std::string out;
  out.reserve(TotalSize(pieces));
  for (const Buffer& piece : pieces)
    out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  return out;
}

Pieces SlicePieces(const Pieces& pieces, uint64_t offset, uint64_t count) {
  Pieces out;
  for (const Buffer& piece : pieces) {
    if (count == 0) break;
    if (offset >= piece.size()) {
      offset -= piece.size();
      continue;
    }
    size_t take = static_cast<size_t>(std::min<uint64_t>(count, piece.size() - offset));
    out.push_back(piece.Slice(static_cast<size_t>(offset), take));
    offset = 0;
    count -= take;
  }
  return out;
}

void PieceWriter::FlushText() {
  if (text_.empty()) return;
  pinned_bytes_ += text_.size();
  pieces_.push_back(BufferOf(std::move(text_)));
  text_.clear();
}

void PieceWriter::Pin(const Buffer& buffer) {
  if (text_.empty() && !pieces_.empty()) {
    Buffer& last = pieces_.back();
    if (last.owner() == buffer.owner() && last.data() + last.size() == buffer.data()) {
      last = Buffer(last.owner(), {last.data(), last.size() + buffer.size()});
      pinned_bytes_ += buffer.size();
      return;
    }
  }
  if (buffer.size() < kCopyBelow) {
    Append(buffer.bytes());
    return;
  }
  FlushText();
  pinned_bytes_ += buffer.size();
  pieces_.push_back(buffer);
}

Pieces PieceWriter::Take() {
  FlushText();
  pinned_bytes_ = 0;
  return std::move(pieces_);
}

Result<std::unique_ptr<BodyStream>> RangeOf(std::unique_ptr<BodyStream> inner, uint64_t offset,
                                            uint64_t count) {
  ZN_ASSIGN_OR_RETURN(uint64_t skipped, inner->Skip(offset));
  return std::unique_ptr<BodyStream>(
      std::make_unique<RangeStream>(std::move(inner), offset - skipped, count));
}

}  // namespace zn::server
