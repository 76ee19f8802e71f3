// NPY bodies. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#include <charconv>
#include <cstring>
#include <vector>

#include "api/decode_frames.h"

namespace zn::server {
namespace {

Error Bad(const std::string& what) { return {ErrorCode::kInvalidArgument, "the NPY body " + what}; }

// The header's dict literal, as numpy writes it and as other writers do: any order, any white space.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  Result<> Parse() {
    if (!Take('{')) return Bad("has a header that is no dict");
    while (!Take('}')) {
      ZN_ASSIGN_OR_RETURN(const std::string_view key, Quoted());
      if (!Take(':')) return Bad("has a header without ':' behind '" + std::string(key) + "'");
      if (key == "descr") {
        ZN_ASSIGN_OR_RETURN(descr, Quoted());
      } else if (key == "fortran_order") {
        if (TakeWord("True")) {
          fortran = true;
        } else if (!TakeWord("False")) {
          return Bad("has a fortran_order that is neither True nor False");
        }
      } else if (key == "shape") {
        ZN_RETURN_IF_ERROR(ParseShape());
      } else {
        return Bad("has an unknown '" + std::string(key) + "' in its header");
      }
      if (!Take(',') && !(Skip(), at_ < text_.size() && text_[at_] == '}')) return Bad("has a malformed header");
    }
    if (descr.empty() || !has_shape) return Bad("lacks descr or shape");
    return {};
  }

  std::string_view descr;
  bool fortran = false, has_shape = false;
  Shape shape;

 private:
  void Skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool Take(char c) {
    Skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool TakeWord(std::string_view word) {
    Skip();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  Result<std::string_view> Quoted() {
    Skip();
    if (at_ == text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) return Bad("holds structures, or has a malformed header");
    const size_t end = text_.find(text_[at_], at_ + 1);
    if (end == text_.npos) return Bad("has a header with an open quote");
    std::string_view quoted = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return quoted;
  }
  Result<> ParseShape() {
    if (!Take('(')) return Bad("has a shape that is no tuple");
    while (!Take(')')) {
      Skip();
      int64_t extent = 0;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), extent);
      if (error != std::errc() || extent < 0) return Bad("has a shape with what is no length");
      at_ = static_cast<size_t>(end - text_.data());
      if (shape.rank() == Shape::kMaxRank) return Bad("has more than 8 axes");
      shape.Append(extent);
      if (!Take(',') && !(Skip(), at_ < text_.size() && text_[at_] == ')')) return Bad("has a malformed shape");
    }
    has_shape = true;
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
};

// Fortran order to C order.
Buffer Turned(const Buffer& data, const Shape& shape, size_t item) {
  std::vector<std::byte> out(data.size());
  const auto elements = static_cast<size_t>(shape.Elements());
  std::vector<int64_t> index(shape.rank(), 0);
  std::vector<size_t> stride(shape.rank(), item);
  for (size_t axis = 1; axis < shape.rank(); ++axis)
    stride[axis] = stride[axis - 1] * static_cast<size_t>(shape[axis - 1]);
  for (size_t i = 0; i < elements; ++i) {
    size_t from = 0;
    for (size_t axis = 0; axis < shape.rank(); ++axis) from += stride[axis] * static_cast<size_t>(index[axis]);
    std::memcpy(out.data() + i * item, data.data() + from, item);
    for (size_t axis = shape.rank(); axis-- > 0;) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
  return Buffer::Own(std::move(out));
}

}  // namespace

Result<BodyValue> ReadNpy(const Buffer& body) {
  const std::string_view bytes(reinterpret_cast<const char*>(body.data()), body.size());
  if (bytes.size() < 10 || bytes.substr(0, 6) != "\x93NUMPY") return Bad("does not begin as one");
  const int version = bytes[6];
  if (version < 1 || version > 3) return Bad("is of a version that is not known here");
  const size_t length_bytes = version == 1 ? 2 : 4;
  size_t length = 0;
  if (bytes.size() < 8 + length_bytes) return Bad("ends within its header");
  for (size_t i = 0; i < length_bytes; ++i) length |= static_cast<size_t>(static_cast<uint8_t>(bytes[8 + i])) << (8 * i);
  const size_t start = 8 + length_bytes;
  if (length > bytes.size() - start) return Bad("ends within its header");
  HeaderParser header(bytes.substr(start, length));
  ZN_RETURN_IF_ERROR(header.Parse());
  if (header.descr.find('O') != header.descr.npos) return Bad("holds pickled objects, which are not read here");
  Buffer data = body.Slice(start + length, body.size() - start - length);
  if (header.fortran && header.shape.rank() > 1) {
    const int64_t elements = header.shape.Elements();
    if (elements > 0 && data.size() % static_cast<size_t>(elements) == 0) {
      data = Turned(data, header.shape, data.size() / static_cast<size_t>(elements));
    } else if (elements != 0) {
      return Bad("does not have the bytes that its shape " + header.shape.ToString() + " needs");
    }
  }
  return ArrayValue(header.descr, header.shape, std::move(data));
}

Result<std::vector<BodyFrame>> SplitFrames(std::string_view name, const BodyValue& value) {
  if (value.kind != BodyValue::Kind::kArray || value.shape.rank() == 0)
    return Error{ErrorCode::kInvalidArgument, "several frames of one field need an array whose first axis is the frames"};
  const Shape inner(std::span(value.shape.begin() + 1, value.shape.rank() - 1));
  const int64_t frames = value.shape[0];
  const size_t bytes = frames > 0 ? value.data.size() / static_cast<size_t>(frames) : 0;
  // Frames of no bytes would let a small body name any number of them.
  if (bytes == 0 && frames > 1'000'000) return Bad("has more than 1000000 empty frames");
  std::vector<BodyFrame> list;
  list.reserve(static_cast<size_t>(frames));
  for (int64_t i = 0; i < frames; ++i) {
    BodyValue one = value;
    one.shape = inner;
    one.data = value.data.Slice(static_cast<size_t>(i) * bytes, bytes);
    list.push_back({{std::string(name), std::move(one)}});
  }
  return list;
}

}  // namespace zn::server
