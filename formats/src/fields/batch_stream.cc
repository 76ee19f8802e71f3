#include "zn/formats/batch_stream.h"

#include <cstring>
#include <utility>

namespace zn::formats {
namespace {

class Writer {
 public:
  template <class T>
  void Put(T value) {
    PutBytes(std::as_bytes(std::span(&value, 1)));
  }
  void PutBytes(std::span<const std::byte> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void PutString(const std::string& text) {
    Put(static_cast<uint32_t>(text.size()));
    PutBytes(std::as_bytes(std::span(text)));
  }
  std::vector<std::byte> Take() { return std::move(out_); }
  void Reserve(size_t size) { out_.reserve(size); }

 private:
  std::vector<std::byte> out_;
};

// Reading behind the end gives zeros and clears ok(), so that one check at the end serves all.
class Reader {
 public:
  explicit Reader(const Buffer& bytes) : bytes_(bytes) {}

  template <class T>
  T Get() {
    T value{};
    if (Has(sizeof(T))) std::memcpy(&value, bytes_.data() + Advance(sizeof(T)), sizeof(T));
    return value;
  }
  std::string GetString() {
    const auto size = Get<uint32_t>();
    if (!Has(size)) return {};
    return std::string(reinterpret_cast<const char*>(bytes_.data() + Advance(size)), size);
  }
  Buffer GetBuffer(uint64_t size) {
    if (!Has(size)) return {};
    return bytes_.Slice(Advance(size), size);
  }
  /// `count` items of at least `least` bytes each must be left; nothing is allocated for more.
  bool HasItems(uint64_t count, size_t least) {
    ok_ = ok_ && count <= (bytes_.size() - at_) / least;
    return ok_;
  }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && at_ == bytes_.size(); }

 private:
  bool Has(uint64_t size) {
    ok_ = ok_ && size <= bytes_.size() - at_;
    return ok_;
  }
  size_t Advance(size_t size) { return std::exchange(at_, at_ + size); }
  const Buffer& bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace

void EncodeStreamHeader(const StreamHeader& header, std::byte* out) {
  out[0] = static_cast<std::byte>(header.kind);
  std::memcpy(out + 1, &header.length, 8);
}

Result<StreamHeader> DecodeStreamHeader(std::span<const std::byte> bytes) {
  StreamHeader header;
  const auto kind = std::to_integer<uint8_t>(bytes[0]);
  std::memcpy(&header.length, bytes.data() + 1, 8);
  if (kind < 1 || kind > 5 || header.length > kMaxStreamMessage)
    return Error{ErrorCode::kInvalidArgument, "the stream of frames is not one"};
  header.kind = static_cast<StreamMessage>(kind);
  return header;
}

std::vector<std::byte> EncodeBatch(const FrameBatch& batch) {
  Writer out;
  size_t size = 1024 + 4 * batch.n_atoms.size();
  for (const Column& column : batch.columns) size += column.data.size() + 8 * column.lengths.size() + 1024;
  out.Reserve(size);
  out.Put(static_cast<uint32_t>(batch.n_atoms.size()));
  out.PutBytes(std::as_bytes(std::span(batch.n_atoms)));
  out.Put(static_cast<uint32_t>(batch.columns.size()));
  for (const Column& column : batch.columns) {
    out.PutString(column.name);
    out.Put(static_cast<uint8_t>(column.kind));
    out.Put(static_cast<uint8_t>(column.dtype));
    out.Put(static_cast<uint8_t>(column.inner.rank()));
    for (int64_t extent : column.inner) out.Put(extent);
    out.PutString(column.attributes);
    out.Put(static_cast<uint8_t>(!column.present.empty()));
    out.PutBytes(std::as_bytes(std::span(column.present)));
    out.Put(static_cast<uint64_t>(column.lengths.size()));
    out.PutBytes(std::as_bytes(std::span(column.lengths)));
    out.Put(static_cast<uint64_t>(column.text.size()));
    for (const std::string& text : column.text) out.PutString(text);
    out.Put(static_cast<uint64_t>(column.data.size()));
    out.PutBytes(column.data.bytes());
  }
  return out.Take();
}

Result<FrameBatch> DecodeBatch(const Buffer& bytes) {
  const Error malformed{ErrorCode::kInvalidArgument, "a batch of frames is malformed"};
  Reader in(bytes);
  FrameBatch batch;
  const auto frames = in.Get<uint32_t>();
  if (!in.HasItems(frames, 4)) return malformed;
  batch.n_atoms.resize(frames);
  for (int32_t& n : batch.n_atoms) n = in.Get<int32_t>();
  const auto columns = in.Get<uint32_t>();
  if (!in.HasItems(columns, 16)) return malformed;
  for (uint32_t c = 0; c < columns && in.ok(); ++c) {
    Column column;
    column.name = in.GetString();
    column.kind = static_cast<FieldKind>(in.Get<uint8_t>());
    const auto dtype = in.Get<uint8_t>();
    if (!IsValidDType(dtype)) return malformed;
    column.dtype = static_cast<DType>(dtype);
    const auto rank = in.Get<uint8_t>();
    if (rank > Shape::kMaxRank) return malformed;
    for (uint8_t axis = 0; axis < rank; ++axis) column.inner.Append(in.Get<int64_t>());
    column.attributes = in.GetString();
    if (in.Get<uint8_t>() != 0) {
      if (!in.HasItems(frames, 1)) return malformed;
      column.present.resize(frames);
      for (uint8_t& present : column.present) present = in.Get<uint8_t>();
    }
    const auto lengths = in.Get<uint64_t>();
    if (!in.HasItems(lengths, 8)) return malformed;
    column.lengths.resize(lengths);
    for (int64_t& length : column.lengths) length = in.Get<int64_t>();
    const auto texts = in.Get<uint64_t>();
    if (!in.HasItems(texts, 4)) return malformed;
    for (uint64_t i = 0; i < texts; ++i) column.text.push_back(in.GetString());
    column.data = in.GetBuffer(in.Get<uint64_t>());
    batch.columns.push_back(std::move(column));
  }
  if (!in.done()) return malformed;
  if (auto valid = ValidateBatch(batch); !valid) return Error{ErrorCode::kInvalidArgument, valid.error().message};
  return batch;
}

}  // namespace zn::formats
