#include "extxyz/comment.h"

#include <cmath>
#include <optional>

#include "extxyz/number.h"
#include "fields/number_text.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxAxes = 4;

// A nested list while it is read.
struct Item {
  enum class Kind : uint8_t { kList, kWord, kString, kJsonLiteral };
  Kind kind = Kind::kWord;
  std::vector<Item> items;  // kList
  std::string text;         // kWord as written; kString unescaped; kJsonLiteral as is
  bool object = false;      // kList of alternating keys and values, from JSON
};

struct Scalar {
  Value::Type type = Value::Type::kString;
  int64_t integer = 0;
  double real = 0;
};

Scalar ClassifyWord(std::string_view word) {
  if (auto integer = ParseInt(word))
    return {Value::Type::kInt, *integer, static_cast<double>(*integer)};
  if (auto real = ParseDouble(word)) return {Value::Type::kFloat, 0, *real};
  if (auto flag = ParseBool(word)) return {Value::Type::kBool, *flag ? 1 : 0, 0};
  return {};
}

// The scalars of a list whose nesting is a box; false where it is ragged, too deep, or holds
// anything else.
class Flattener {
 public:
  bool Flatten(const Item& item, size_t axis) {
    if (item.kind != Item::Kind::kList) {
      if (item.kind != Item::Kind::kWord || axis != shape_.rank()) return false;
      Scalar scalar = ClassifyWord(item.text);
      if (scalar.type == Value::Type::kString) return false;
      bool flag = scalar.type == Value::Type::kBool;
      if (!scalars_.empty() && flag != flags_) return false;
      flags_ = flag;
      reals_ |= scalar.type == Value::Type::kFloat;
      scalars_.push_back(scalar);
      return true;
    }
    int64_t extent = static_cast<int64_t>(item.items.size());
    if (item.object || axis >= kMaxAxes) return false;
    if (axis == shape_.rank()) {
      if (!scalars_.empty() || closed_) return false;  // deeper than the first branch
      shape_.Append(extent);
    } else if (shape_[axis] != extent) {
      return false;
    }
    for (const Item& child : item.items)
      if (!Flatten(child, axis + 1)) return false;
    closed_ = true;
    return true;
  }

  Value Take() {
    Value value;
    value.shape = shape_;
    value.type = flags_ ? Value::Type::kBool : reals_ ? Value::Type::kFloat : Value::Type::kInt;
    for (const Scalar& scalar : scalars_) {
      if (value.type == Value::Type::kFloat)
        value.floats.push_back(scalar.real);
      else
        value.ints.push_back(scalar.integer);
    }
    return value;
  }

 private:
  Shape shape_;
  std::vector<Scalar> scalars_;
  bool flags_ = false, reals_ = false, closed_ = false;
};

void AppendScalarJson(const Scalar& scalar, std::string& out) {
  if (scalar.type == Value::Type::kBool)
    out += scalar.integer != 0 ? "true" : "false";
  else if (scalar.type == Value::Type::kInt)
    AppendInteger(scalar.integer, out);
  else
    AppendFloat(scalar.real, kJsonNonFinite, out);
}

void AppendItemJson(const Item& item, std::string& out) {
  switch (item.kind) {
    case Item::Kind::kJsonLiteral:
      out += item.text;
      return;
    case Item::Kind::kString:
      AppendJsonString(item.text, out);
      return;
    case Item::Kind::kWord: {
      Scalar scalar = ClassifyWord(item.text);
      if (scalar.type == Value::Type::kString)
        AppendJsonString(item.text, out);
      else
        AppendScalarJson(scalar, out);
      return;
    }
    case Item::Kind::kList:
      break;
  }
  out += item.object ? '{' : '[';
  for (size_t i = 0; i < item.items.size(); ++i) {
    if (i > 0) out += item.object && i % 2 == 1 ? ":" : ",";
    AppendItemJson(item.items[i], out);
  }
  out += item.object ? '}' : ']';
}

Value ItemToValue(const Item& item) {
  if (item.kind == Item::Kind::kString) return Value::String(item.text);
  Flattener flattener;
  if (flattener.Flatten(item, 0)) return flattener.Take();
  Value value;
  value.type = Value::Type::kJson;
  AppendItemJson(item, value.text);
  return value;
}

bool IsSpace(char c) { return IsBlank(c) || c == '\n'; }

// Recursive descent over JSON as Python's json module reads it.
class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  std::optional<Item> Parse() {
    std::optional<Item> item = Element(0);
    Skip();
    if (at_ != text_.size()) return std::nullopt;
    return item;
  }

 private:
  void Skip() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
  }
  bool Take(char c) {
    Skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::optional<Item> Element(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    Skip();
    if (at_ == text_.size()) return std::nullopt;
    if (text_[at_] == '"') return String();
    if (Take('[')) return List(depth, ']');
    if (Take('{')) return List(depth, '}');
    size_t start = at_;
    while (at_ < text_.size() && !IsSpace(text_[at_]) &&
           std::string_view(",]}:[{\"").find(text_[at_]) == std::string_view::npos)
      ++at_;
    std::string_view word = text_.substr(start, at_ - start);
    Item item;
    if (word == "null") {
      item.kind = Item::Kind::kJsonLiteral;
      item.text = word;
      return item;
    }
    bool number =
        word == "NaN" || word == "Infinity" || word == "-Infinity" ||
        (word.find_first_not_of("0123456789+-.eE") == std::string_view::npos && ParseDouble(word));
    if (word != "true" && word != "false" && !number) return std::nullopt;
    item.text = word;
    return item;
  }

  std::optional<Item> List(int depth, char close) {
    Item list;
    list.kind = Item::Kind::kList;
    list.object = close == '}';
    if (Take(close)) return list;
    while (true) {
      if (list.object) {
        Skip();
        if (at_ == text_.size() || text_[at_] != '"') return std::nullopt;
        std::optional<Item> key = String();
        if (!key || !Take(':')) return std::nullopt;
        list.items.push_back(std::move(*key));
      }
      std::optional<Item> item = Element(depth + 1);
      if (!item) return std::nullopt;
      list.items.push_back(std::move(*item));
      if (Take(close)) return list;
      if (!Take(',')) return std::nullopt;
    }
  }

  std::optional<uint32_t> Hex4() {
    if (text_.size() - at_ < 4) return std::nullopt;
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      char c = text_[at_++];
      uint32_t digit = c >= '0' && c <= '9' ? static_cast<uint32_t>(c - '0')
                       : (c | 0x20) >= 'a' && (c | 0x20) <= 'f'
                           ? static_cast<uint32_t>((c | 0x20) - 'a' + 10)
                           : 16;
      if (digit == 16) return std::nullopt;
      value = value * 16 + digit;
    }
    return value;
  }

  static void AppendUtf8(uint32_t code, std::string& out) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | (code >> 6));
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      out += static_cast<char>(0xE0 | (code >> 12));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      out += static_cast<char>(0xF0 | (code >> 18));
      out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    }
  }

  std::optional<Item> String() {
    Item item;
    item.kind = Item::Kind::kString;
    for (++at_; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == '"') {
        ++at_;
        return item;
      }
      if (c != '\\') {
        item.text += c;
        continue;
      }
      if (++at_ == text_.size()) return std::nullopt;
      switch (text_[at_]) {
        case 'n':
          item.text += '\n';
          break;
        case 't':
          item.text += '\t';
          break;
        case 'r':
          item.text += '\r';
          break;
        case 'b':
          item.text += '\b';
          break;
        case 'f':
          item.text += '\f';
          break;
        case 'u': {
          ++at_;
          std::optional<uint32_t> code = Hex4();
          if (!code) return std::nullopt;
          if (*code >= 0xD800 && *code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
            at_ += 2;
            std::optional<uint32_t> low = Hex4();
            if (!low || *low < 0xDC00 || *low > 0xDFFF) return std::nullopt;
            code = 0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00);
          }
          if (*code >= 0xD800 && *code <= 0xDFFF) code = 0xFFFD;  // half a pair
          AppendUtf8(*code, item.text);
          --at_;
          break;
        }
        case '"':
        case '\\':
        case '/':
          item.text += text_[at_];
          break;
        default:
          return std::nullopt;
      }
    }
    return std::nullopt;
  }

  std::string_view text_;
  size_t at_ = 0;
};

class CommentParser {
 public:
  explicit CommentParser(std::string_view text) : text_(text) {}

  Result<std::vector<KeyValue>> Parse() {
    std::vector<KeyValue> pairs;
    while (true) {
      Skip();
      if (at_ == text_.size()) return pairs;
      KeyValue pair;
      if (text_[at_] == '"' || text_[at_] == '\'') {
        ZN_ASSIGN_OR_RETURN(pair.key, Quoted("a key"));
      } else {
        size_t start = at_;
        while (at_ < text_.size() && !IsSpace(text_[at_]) && text_[at_] != '=') ++at_;
        pair.key = text_.substr(start, at_ - start);
      }
      if (pair.key.empty()) {
        return Error{ErrorCode::kCorrupt, "a \"=\" without a key before it"};
      }
      Skip();
      if (at_ == text_.size() || text_[at_] != '=') {
        pair.value = Value::Bool(true);
        pair.bare = true;
      } else {
        ++at_;
        Skip();
        ZN_ASSIGN_OR_RETURN(pair.value, ReadValue(pair.key));
      }
      pairs.push_back(std::move(pair));
    }
  }

 private:
  void Skip() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
  }

  Result<std::string> Quoted(std::string_view what) {
    char quote = text_[at_++];
    std::string text;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        ++at_;
        text += text_[at_] == 'n' ? '\n' : text_[at_];
      } else {
        text += text_[at_];
      }
      ++at_;
    }
    if (at_ == text_.size()) return Unclosed(quote, what);
    ++at_;
    return text;
  }

  static Error Unclosed(char open, std::string_view what) {
    return Error{ErrorCode::kCorrupt, std::string("the ") + open + " that opens " +
                                          std::string(what) + " is never closed"};
  }

  Result<Value> ReadValue(const std::string& key) {
    std::string what = "the value of " + key;
    if (at_ == text_.size()) return Value::String("");
    char c = text_[at_];
    if (c == '"' || c == '\'') {
      ZN_ASSIGN_OR_RETURN(std::string text, Quoted(what));
      return FromText(text, key);
    }
    if (c == '[' || c == '{') {
      ZN_ASSIGN_OR_RETURN(Item list, List(0, what));
      // {7} is an old spelling of 7; [7] is a list of one.
      if (c == '{' && list.items.size() == 1 && list.items[0].kind != Item::Kind::kList) {
        const Item& only = list.items[0];
        return only.kind == Item::Kind::kWord ? ParseWords(only.text) : Value::String(only.text);
      }
      return ItemToValue(list);
    }
    size_t start = at_;
    while (at_ < text_.size() && !IsSpace(text_[at_])) ++at_;
    return FromText(std::string(text_.substr(start, at_ - start)), key);
  }

  static Result<Value> FromText(const std::string& text, const std::string& key) {
    constexpr std::string_view kJson = "_JSON ";
    if (text.starts_with(kJson)) {
      Result<Value> value = ParseJsonValue(std::string_view(text).substr(kJson.size()));
      if (!value) return std::move(value).error().Context("the value of " + key);
      return value;
    }
    return ParseWords(text);
  }

  Result<Item> List(int depth, const std::string& what) {
    if (depth > kMaxDepth) {
      return Error{ErrorCode::kCorrupt,
                   what + " is nested more than " + std::to_string(kMaxDepth) + " deep"};
    }
    char open = text_[at_++];
    char close = open == '[' ? ']' : '}';
    Item list;
    list.kind = Item::Kind::kList;
    while (true) {
      while (at_ < text_.size() && (IsSpace(text_[at_]) || text_[at_] == ',')) ++at_;
      if (at_ == text_.size()) return Unclosed(open, what);
      char c = text_[at_];
      if (c == close) {
        ++at_;
        return list;
      }
      Item item;
      if (c == '[' || c == '{') {
        ZN_ASSIGN_OR_RETURN(item, List(depth + 1, what));
      } else if (c == '"' || c == '\'') {
        item.kind = Item::Kind::kString;
        ZN_ASSIGN_OR_RETURN(item.text, Quoted(what));
      } else {
        size_t start = at_;
        while (at_ < text_.size() && !IsSpace(text_[at_]) && text_[at_] != ',' &&
               text_[at_] != close)
          ++at_;
        item.text = text_.substr(start, at_ - start);
      }
      list.items.push_back(std::move(item));
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Result<std::vector<KeyValue>> ParseComment(std::string_view comment) {
  return CommentParser(comment).Parse();
}

Value ParseWords(std::string_view text) {
  Value value;
  bool any_real = false, any_int = false, any_bool = false;
  std::vector<Scalar> scalars;
  for (size_t i = 0; i < text.size();) {
    if (IsSpace(text[i]) || text[i] == ',') {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && !IsSpace(text[end]) && text[end] != ',') ++end;
    Scalar scalar = ClassifyWord(text.substr(i, end - i));
    i = end;
    any_real |= scalar.type == Value::Type::kFloat;
    any_int |= scalar.type == Value::Type::kInt;
    any_bool |= scalar.type == Value::Type::kBool;
    if (scalar.type == Value::Type::kString || (any_bool && (any_int || any_real))) {
      return Value::String(std::string(text));
    }
    scalars.push_back(scalar);
  }
  if (scalars.empty()) return Value::String(std::string(text));
  value.type = any_bool ? Value::Type::kBool : any_real ? Value::Type::kFloat : Value::Type::kInt;
  if (scalars.size() > 1) value.shape.Append(static_cast<int64_t>(scalars.size()));
  for (const Scalar& scalar : scalars) {
    if (any_real)
      value.floats.push_back(scalar.real);
    else
      value.ints.push_back(scalar.integer);
  }
  return value;
}

Result<Value> ParseJsonValue(std::string_view json) {
  std::optional<Item> item = JsonParser(json).Parse();
  if (!item) return Error{ErrorCode::kCorrupt, "\"_JSON\" is not followed by valid JSON"};
  return ItemToValue(*item);
}

std::string ValueToJson(const Value& value) {
  std::string out;
  if (value.type == Value::Type::kJson) return value.text;
  if (value.type == Value::Type::kString) {
    AppendJsonString(value.text, out);
  } else if (value.type == Value::Type::kFloat) {
    AppendJsonArray(DType::kFloat64, value.shape, std::as_bytes(std::span(value.floats)), out);
  } else if (value.type == Value::Type::kInt) {
    AppendJsonArray(DType::kInt64, value.shape, std::as_bytes(std::span(value.ints)), out);
  } else {
    std::vector<uint8_t> flags(value.ints.begin(), value.ints.end());
    AppendJsonArray(DType::kBool, value.shape, std::as_bytes(std::span(flags)), out);
  }
  return out;
}

}  // namespace zn::formats
