#include "api/msgpack_reader.h"

#include <bit>
#include <cstring>

#include "zn/formats/text_writer.h"

namespace zn::server::msgpack {
namespace {

constexpr int kMaxDepth = 64;

uint64_t LoadBig(const uint8_t* at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | at[i];
  return value;
}

// What stands behind a first byte: bytes of a number or length, whether that is a length, and what else.
struct Form {
  uint8_t operand = 0;   // bytes of it
  bool is_length = false;
  uint8_t values = 0;    // per counted element: 1 array, 2 map
  uint32_t extra = 0;    // payload bytes beside: fixed ones, or an ext's type
  bool known = true;
};

Form FormOf(uint8_t c) {
  if (c < 0xc0 || c >= 0xe0) return {};
  switch (c) {
    case 0xc0: case 0xc2: case 0xc3: return {};
    case 0xc4: case 0xd9: return {1, true, 0, 0};
    case 0xc5: case 0xda: return {2, true, 0, 0};
    case 0xc6: case 0xdb: return {4, true, 0, 0};
    case 0xca: case 0xce: case 0xd2: return {4, false, 0, 0};
    case 0xcb: case 0xcf: case 0xd3: return {8, false, 0, 0};
    case 0xcc: case 0xd0: return {1, false, 0, 0};
    case 0xcd: case 0xd1: return {2, false, 0, 0};
    case 0xdc: return {2, true, 1, 0};
    case 0xdd: return {4, true, 1, 0};
    case 0xde: return {2, true, 2, 0};
    case 0xdf: return {4, true, 2, 0};
    default: return {0, false, 0, 0, false};
  }
}

Error NotMsgpack(uint8_t c) {
  return {ErrorCode::kInvalidArgument,
          c == 0xc1 ? "not MessagePack (a byte c1)" : "an extension type, which this server does not read"};
}

}  // namespace

Error Reader::Bad(std::string_view what) const {
  return {ErrorCode::kInvalidArgument, "the body at byte " + std::to_string(at_) + ": " + std::string(what)};
}

template <class T>
Result<T> Reader::Big() {
  if (bytes_.size() - at_ < sizeof(T)) return Bad("it ends within a value");
  const uint64_t value = LoadBig(reinterpret_cast<const uint8_t*>(bytes_.data()) + at_, sizeof(T));
  at_ += sizeof(T);
  return static_cast<T>(value);
}

Result<Token> Reader::Next() {
  if (at_ == bytes_.size()) return Bad("it ends where a value should stand");
  const auto c = static_cast<uint8_t>(bytes_[at_]);
  const Form form = FormOf(c);
  if (!form.known) return Bad(NotMsgpack(c).message);
  ++at_;
  Token token;
  uint64_t operand = 0;
  if (form.operand == 1) {
    ZN_ASSIGN_OR_RETURN(operand, Big<uint8_t>());
  } else if (form.operand == 2) {
    ZN_ASSIGN_OR_RETURN(operand, Big<uint16_t>());
  } else if (form.operand == 4) {
    ZN_ASSIGN_OR_RETURN(operand, Big<uint32_t>());
  } else if (form.operand == 8) {
    ZN_ASSIGN_OR_RETURN(operand, Big<uint64_t>());
  }
  const auto set_unsigned = [&](uint64_t value) {
    token.type = Type::kUInt;
    token.unsigned_ = value;
    token.integer = static_cast<int64_t>(value);
  };
  const auto set_signed = [&](int64_t value) {
    if (value >= 0) return set_unsigned(static_cast<uint64_t>(value));
    token.type = Type::kInt;
    token.integer = value;
  };
  const auto set_bytes = [&](Type type, uint64_t size) -> Result<> {
    if (bytes_.size() - at_ < size) return Bad("it ends within a text or binary of " + std::to_string(size) + " bytes");
    token.type = type;
    token.bytes = bytes_.substr(at_, size);
    at_ += size;
    return {};
  };
  const auto set_count = [&](Type type, uint64_t count) -> Result<> {
    // Every element has a byte at least.
    if (count > (bytes_.size() - at_) / (type == Type::kMap ? 2 : 1))
      return Bad("it ends within a list or map of " + std::to_string(count));
    token.type = type;
    token.count = count;
    return {};
  };
  if (c < 0x80) {
    set_unsigned(c);
  } else if (c < 0x90) {
    ZN_RETURN_IF_ERROR(set_count(Type::kMap, c & 15));
  } else if (c < 0xa0) {
    ZN_RETURN_IF_ERROR(set_count(Type::kArray, c & 15));
  } else if (c < 0xc0) {
    ZN_RETURN_IF_ERROR(set_bytes(Type::kStr, c & 31));
  } else if (c >= 0xe0) {
    set_signed(static_cast<int8_t>(c));
  } else {
    switch (c) {
      case 0xc0: break;
      case 0xc2: case 0xc3:
        token.type = Type::kBool;
        token.boolean = c == 0xc3;
        break;
      case 0xc4: case 0xc5: case 0xc6: ZN_RETURN_IF_ERROR(set_bytes(Type::kBin, operand)); break;
      case 0xd9: case 0xda: case 0xdb: ZN_RETURN_IF_ERROR(set_bytes(Type::kStr, operand)); break;
      case 0xca:
        token.type = Type::kFloat;
        token.number = std::bit_cast<float>(static_cast<uint32_t>(operand));
        break;
      case 0xcb:
        token.type = Type::kFloat;
        token.number = std::bit_cast<double>(operand);
        break;
      case 0xcc: case 0xcd: case 0xce: case 0xcf: set_unsigned(operand); break;
      case 0xd0: set_signed(static_cast<int8_t>(operand)); break;
      case 0xd1: set_signed(static_cast<int16_t>(operand)); break;
      case 0xd2: set_signed(static_cast<int32_t>(operand)); break;
      case 0xd3: set_signed(static_cast<int64_t>(operand)); break;
      case 0xdc: case 0xdd: ZN_RETURN_IF_ERROR(set_count(Type::kArray, operand)); break;
      default: ZN_RETURN_IF_ERROR(set_count(Type::kMap, operand)); break;
    }
  }
  return token;
}

Result<> Reader::Skip() {
  for (uint64_t values = 1; values > 0; --values) {
    ZN_ASSIGN_OR_RETURN(const Token token, Next());
    // Every value still to come needs a byte.
    if (token.type == Type::kArray) values += token.count;
    if (token.type == Type::kMap) values += 2 * token.count;
    if (values > bytes_.size() + 1) return Bad("lists and maps hold more than the body has");
  }
  return {};
}

Result<Token> Reader::Expect(Type type, std::string_view what) {
  const size_t at = at_;
  ZN_ASSIGN_OR_RETURN(const Token token, Next());
  if (token.type == type) return token;
  at_ = at;
  return Bad(what);
}

Result<std::string_view> Reader::Text(std::string_view what) {
  const size_t at = at_;
  ZN_ASSIGN_OR_RETURN(const Token token, Next());
  if (token.type == Type::kStr || token.type == Type::kBin) return token.bytes;
  at_ = at;
  return Bad(what);
}

Result<bool> Scanner::Feed(std::string_view bytes, size_t* used) {
  size_t at = 0;
  while (values_ > 0 || skip_ > 0) {
    if (skip_ > 0) {
      const uint64_t n = std::min<uint64_t>(skip_, bytes.size() - at);
      at += n;
      skip_ -= n;
      if (skip_ > 0) break;
      continue;
    }
    if (at == bytes.size()) break;
    head_[head_size_++] = static_cast<uint8_t>(bytes[at++]);
    const uint8_t c = head_[0];
    const Form form = FormOf(c);
    if (!form.known) return NotMsgpack(c);
    if (head_size_ < 1u + form.operand) continue;
    head_size_ = 0;
    --values_;
    uint64_t more = 0;
    if (c >= 0x80 && c < 0x90) {
      more = 2u * (c & 15);
    } else if (c >= 0x90 && c < 0xa0) {
      more = c & 15;
    } else if (c >= 0xa0 && c < 0xc0) {
      skip_ = c & 31;
    } else if (form.is_length) {
      const uint64_t n = LoadBig(head_ + 1, form.operand);
      if (form.values > 0) {
        more = n * form.values;
      } else {
        skip_ = n;
      }
    }
    // 2^33 values a head: only a body of exabytes would overflow.
    if (__builtin_add_overflow(values_, more, &values_)) return NotMsgpack(0xc1);
  }
  *used = at;
  if (values_ > 0 || skip_ > 0) return false;
  values_ = 1;
  return true;
}

namespace {

Result<> AppendJsonAt(Reader& reader, int depth, std::string& out) {
  if (depth > kMaxDepth)
    return Error{ErrorCode::kInvalidArgument, "a value is nested deeper than " + std::to_string(kMaxDepth) + " levels"};
  ZN_ASSIGN_OR_RETURN(const Token token, reader.Next());
  switch (token.type) {
    case Type::kNil:
      out += "null";
      return {};
    case Type::kBool:
      out += token.boolean ? "true" : "false";
      return {};
    case Type::kInt:
      out += std::to_string(token.integer);
      return {};
    case Type::kUInt:
      out += std::to_string(token.unsigned_);
      return {};
    case Type::kFloat:
      formats::AppendJsonArray(DType::kFloat64, Shape(), std::as_bytes(std::span(&token.number, 1)), out);
      return {};
    case Type::kStr:
    case Type::kBin:
      formats::AppendJsonString(token.bytes, out);
      return {};
    case Type::kArray:
      out += '[';
      for (uint64_t i = 0; i < token.count; ++i) {
        if (i > 0) out += ',';
        ZN_RETURN_IF_ERROR(AppendJsonAt(reader, depth + 1, out));
      }
      out += ']';
      return {};
    case Type::kMap:
      out += '{';
      for (uint64_t i = 0; i < token.count; ++i) {
        if (i > 0) out += ',';
        ZN_ASSIGN_OR_RETURN(const std::string_view key, reader.Text("a key of a map is not a text"));
        formats::AppendJsonString(key, out);
        out += ':';
        ZN_RETURN_IF_ERROR(AppendJsonAt(reader, depth + 1, out));
      }
      out += '}';
      return {};
  }
  return {};
}

}  // namespace

Result<> AppendJson(Reader& reader, std::string& out) { return AppendJsonAt(reader, 0, out); }

}  // namespace zn::server::msgpack
