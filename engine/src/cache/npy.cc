#include "cache/npy.h"

#include <charconv>
#include <cstring>
#include <string>
#include <string_view>

#include "zn/engine/npy.h"

namespace zn {
namespace {

constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);
constexpr size_t kPrefix = kMagic.size() + sizeof(uint16_t);

Error Corrupt(const std::string& what) { return {ErrorCode::kCorrupt, "npy header: " + what}; }

// Takes apart the Python dictionary of a header.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  bool Take(char c) {
    SkipSpaces();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool TakeWord(std::string_view word) {
    SkipSpaces();
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  bool TakeString(std::string_view& out) {
    SkipSpaces();
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) return false;
    const size_t end = text_.find(text_.front(), 1);
    if (end == text_.npos) return false;
    out = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return true;
  }
  bool TakeExtent(int64_t& out) {
    SkipSpaces();
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), out);
    if (error != std::errc() || out < 0) return false;
    text_.remove_prefix(static_cast<size_t>(end - text_.data()));
    return true;
  }
  bool AtEnd() {
    SkipSpaces();
    return text_.empty();
  }

 private:
  void SkipSpaces() {
    const size_t skip = text_.find_first_not_of(" \t\n");
    text_.remove_prefix(skip == text_.npos ? text_.size() : skip);
  }
  std::string_view text_;
};

Result<> TakeShape(Parser& parser, Shape& shape) {
  if (!parser.Take('(')) return Corrupt("the shape is no tuple");
  while (!parser.Take(')')) {
    int64_t extent;
    if (!parser.TakeExtent(extent)) return Corrupt("an extent is no number");
    if (shape.rank() == Shape::kMaxRank)
      return {ErrorCode::kUnsupported, "npy header: more than 8 axes"};
    shape.Append(extent);
    if (!parser.Take(',')) {
      if (!parser.Take(')')) return Corrupt("the shape has no end");
      break;
    }
  }
  return {};
}

}  // namespace

std::vector<std::byte> EncodeNpyHeader(DType dtype, const Shape& shape) {
  const std::string header = EncodeNpyHeader(NumpyName(dtype), shape);
  const auto* bytes = reinterpret_cast<const std::byte*>(header.data());
  return {bytes, bytes + header.size()};
}

Result<NpyHeader> DecodeNpyHeader(std::span<const std::byte> bytes) {
  if (bytes.size() < kPrefix || std::memcmp(bytes.data(), kMagic.data(), 6) != 0)
    return Corrupt("no magic");
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0)
    return {ErrorCode::kUnsupported, "npy header: not version 1.0"};
  uint16_t length;
  std::memcpy(&length, bytes.data() + kMagic.size(), sizeof length);
  if (length > bytes.size() - kPrefix) return Corrupt("runs past the end");

  NpyHeader header;
  header.data_offset = kPrefix + length;
  Parser parser({reinterpret_cast<const char*>(bytes.data()) + kPrefix, length});
  bool has_dtype = false, has_order = false, has_shape = false;
  if (!parser.Take('{')) return Corrupt("no dictionary");
  while (!parser.Take('}')) {
    std::string_view key;
    if (!parser.TakeString(key) || !parser.Take(':')) return Corrupt("an entry without a key");
    if (key == "descr") {
      std::string_view name;
      if (!parser.TakeString(name))
        return {ErrorCode::kUnsupported, "npy header: a structured dtype"};
      auto dtype = ParseDType(name);
      if (!dtype || *dtype == DType::kJson)
        return {ErrorCode::kUnsupported, "npy header: dtype " + std::string(name.substr(0, 64))};
      header.dtype = *dtype;
      has_dtype = true;
    } else if (key == "fortran_order") {
      if (parser.TakeWord("True")) return {ErrorCode::kUnsupported, "npy header: Fortran order"};
      if (!parser.TakeWord("False")) return Corrupt("fortran_order is neither True nor False");
      has_order = true;
    } else if (key == "shape") {
      if (has_shape) return Corrupt("two shapes");
      ZN_RETURN_IF_ERROR(TakeShape(parser, header.shape));
      has_shape = true;
    } else {
      return Corrupt("unknown key");
    }
    if (!parser.Take(',')) {
      if (!parser.Take('}')) return Corrupt("the dictionary has no end");
      break;
    }
  }
  if (!has_dtype || !has_order || !has_shape || !parser.AtEnd()) return Corrupt("incomplete");
  return header;
}

}  // namespace zn
