#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "fields/number_text.h"
#include "zn/formats/fields.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

using Json = nlohmann::json;

// What ASE 3.22 keeps for itself in a frame's columns and comment: other arrays and keys of these
// names are written with "_" behind.
constexpr std::string_view kColumnNames[] = {
    "species", "pos", "positions", "symbols", "numbers", "Z", "charge", "charges", "move_mask"};
constexpr std::string_view kKeyNames[] = {"Lattice", "Properties", "pbc"};
constexpr std::string_view kMatrixKeys[] = {"stress", "virial"};

template <size_t N>
bool Among(std::string_view name, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::string_view WithoutPrefix(std::string_view name) {
  for (std::string_view prefix : {"arrays.", "calc.", "info."})
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  return name;
}

// In quotes, with the two characters escaped that end or escape within them.
void AppendQuoted(std::string_view text, std::string& out) {
  out += '"';
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

bool IsBare(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != 0x7F &&
           std::string_view("\"'{}[]=\\,").find(c) == std::string_view::npos;
  });
}

void AppendKey(std::string_view key, std::string& out) {
  out += ' ';
  if (IsBare(key)) {
    out += key;
  } else {
    std::string clean(key);
    for (char& c : clean)
      if (static_cast<unsigned char>(c) < ' ' || c == 0x7F) c = '_';
    AppendQuoted(clean, out);
  }
}

// Would ASE read the bare text as something else than a string?
bool ReadsAsString(std::string_view text) {
  if (text.empty() || text.starts_with("_JSON")) return false;
  // Python's int() and float() take "1_000", "infinity", "nan", "+.5"; all begin with one of these.
  bool number_like = true, bool_like = true;
  size_t words = 0;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == ' ' || text[i] == ',') {
      ++i;
      continue;
    }
    size_t end = std::min(text.find_first_of(" ,", i), text.size());
    std::string_view word = text.substr(i, end - i);
    ++words;
    bool number_start = word.find_first_of("0123456789") != std::string_view::npos;
    std::string lower(word.substr(0, 16));
    for (char& c : lower) c = static_cast<char>(c | 0x20);
    if (lower.find("nan") != std::string::npos || lower.find("inf") != std::string::npos)
      number_start = true;
    number_like &= number_start && word.find_first_not_of("0123456789+-._eEdDinfatyINFATY") ==
                                       std::string_view::npos;
    bool_like &= word == "T" || word == "F" || lower == "true" || lower == "false";
    i = end;
  }
  if (words == 0 || number_like || bool_like) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7F; });
}

void AppendJsonValue(std::string_view json, std::string& out) {
  AppendQuoted("_JSON " + std::string(json), out);
}

// A key and a kJson value.
void AppendText(std::string_view key, std::string_view json, std::string& out) {
  AppendKey(key, out);
  out += '=';
  if (json.starts_with('"')) {
    Json value = Json::parse(json, nullptr, false);
    if (value.is_string()) {
      const std::string& text = value.get_ref<const std::string&>();
      // One space and leading or trailing ones survive quotes; only what would read as something
      // else needs JSON.
      if (ReadsAsString(text)) {
        if (IsBare(text))
          out += text;
        else
          AppendQuoted(text, out);
        return;
      }
    }
  }
  std::string line(json);  // a comment is one line
  for (char& c : line)
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  AppendJsonValue(line, out);
}

// A key and an array of any shape.
void AppendArray(std::string_view key, DType dtype, const Shape& shape, const std::byte* at,
                 std::string& out) {
  AppendKey(key, out);
  out += '=';
  bool complex = dtype == DType::kComplex64 || dtype == DType::kComplex128;
  if (!complex && shape.rank() == 0) {
    AppendElement(dtype, at, kXyzNonFinite, "T", "F", out);
    return;
  }
  if (!complex && shape.rank() == 1 && shape[0] > 1) {
    out += '"';
    for (int64_t i = 0; i < shape[0]; ++i, at += ItemSize(dtype)) {
      if (i > 0) out += ' ';
      AppendElement(dtype, at, kXyzNonFinite, "T", "F", out);
    }
    out += '"';
    return;
  }
  std::string json;
  AppendNested(dtype, shape.begin(), shape.rank(), at, kPythonNonFinite, json);
  AppendJsonValue(json, out);
}

struct ColumnPart {
  std::string name;
  char type = 'R';
  int64_t count = 1;
  DType dtype = DType::kFloat64;
  std::span<const std::byte> bytes;
  std::vector<std::string> words;  // type S: count words an atom
};

// A list of n strings (or n lists of k) that can stand as words in atom lines.
std::optional<std::vector<std::string>> Words(std::string_view text, size_t n, int64_t& count) {
  if (n == 0 || !text.starts_with('[')) return std::nullopt;
  Json list = Json::parse(text, nullptr, false);
  if (!list.is_array() || list.size() != n) return std::nullopt;
  count = list[0].is_array() ? static_cast<int64_t>(list[0].size()) : 1;
  if (count < 1) return std::nullopt;
  std::vector<std::string> words;
  auto add = [&](const Json& item) {
    if (!item.is_string()) return false;
    const std::string& word = item.get_ref<const std::string&>();
    bool fits = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
      return static_cast<unsigned char>(c) > ' ' && c != 0x7F;
    });
    if (fits) words.push_back(word);
    return fits;
  };
  for (const Json& item : list) {
    if (item.is_array() != list[0].is_array()) return std::nullopt;
    if (!item.is_array()) {
      if (!add(item)) return std::nullopt;
      continue;
    }
    if (static_cast<int64_t>(item.size()) != count) return std::nullopt;
    for (const Json& word : item)
      if (!add(word)) return std::nullopt;
  }
  return words;
}

// ASE's FixAtoms and FixCartesian as a move_mask column; nullopt when it cannot say the same.
std::optional<ColumnPart> MoveMask(std::string_view text, size_t n, std::vector<uint8_t>& mask) {
  Json list = Json::parse(text, nullptr, false);
  if (!list.is_array() || list.empty() || n == 0) return std::nullopt;
  auto index = [&](const Json& value) -> std::optional<size_t> {
    if (!value.is_number_integer()) return std::nullopt;
    int64_t i = value.get<int64_t>();
    if (i < 0 || i >= static_cast<int64_t>(n)) return std::nullopt;
    return static_cast<size_t>(i);
  };
  auto member = [](const Json& object, const char* key) -> Json {
    if (!object.is_object()) return nullptr;
    auto it = object.find(key);
    return it == object.end() ? Json() : *it;
  };
  ColumnPart part;
  part.name = "move_mask";
  part.type = 'L';
  part.dtype = DType::kBool;
  if (list.size() == 1 && member(list[0], "name") == "FixAtoms") {
    mask.assign(n, 1);
    Json indices = member(member(list[0], "kwargs"), "indices");
    if (!indices.is_array()) return std::nullopt;
    for (const Json& value : indices) {
      std::optional<size_t> i = index(value);
      if (!i) return std::nullopt;
      mask[*i] = 0;
    }
  } else {
    mask.assign(3 * n, 1);
    part.count = 3;
    for (const Json& constraint : list) {
      Json arguments = member(constraint, "kwargs");
      Json flags = member(arguments, "mask");
      Json atoms = member(arguments, "a");
      if (atoms.is_number_integer()) atoms = Json::array({atoms});
      if (member(constraint, "name") != "FixCartesian" || !flags.is_array() || flags.size() != 3 ||
          !atoms.is_array())
        return std::nullopt;
      for (const Json& atom : atoms) {
        std::optional<size_t> i = index(atom);
        if (!i) return std::nullopt;
        for (size_t axis = 0; axis < 3; ++axis)
          if (flags[axis] == true || flags[axis] == 1) mask[3 * *i + axis] = 0;
      }
    }
  }
  part.bytes = std::as_bytes(std::span(mask));
  return part;
}

// ASE's integer columns are 32 bit; wider values are written as words.
bool FitsInt32(DType dtype, std::span<const std::byte> bytes) {
  size_t size = ItemSize(dtype);
  if (size < 4 || dtype == DType::kInt32) return true;
  for (size_t i = 0; i + size <= bytes.size(); i += size) {
    if (dtype == DType::kUInt32) {
      uint32_t value;
      std::memcpy(&value, bytes.data() + i, sizeof value);
      if (value > INT32_MAX) return false;
    } else {
      int64_t value;  // a uint64 beyond int64 shows as negative below INT32_MIN, or as large
      std::memcpy(&value, bytes.data() + i, sizeof value);
      if (value > INT32_MAX || value < INT32_MIN) return false;
      if (dtype == DType::kUInt64 && value < 0) return false;
    }
  }
  return true;
}

class ExtxyzFrame {
 public:
  ExtxyzFrame(const FrameRows& rows, size_t frame, std::string& out)
      : rows_(rows),
        frame_(frame),
        out_(out),
        n_(static_cast<size_t>(rows.batch().n_atoms[frame])) {}

  Result<> Write() {
    ZN_RETURN_IF_ERROR(Collect());
    AppendInteger(n_, out_);
    out_ += '\n';
    size_t comment = out_.size();
    if (!lattice_.empty()) out_ += lattice_;
    if (out_.size() > comment) out_ += ' ';
    out_ += "Properties=species:S:1:pos:R:3";
    for (const ColumnPart& part : parts_) {
      out_ += ':' + part.name + ':' + part.type + ':';
      AppendInteger(part.count, out_);
    }
    out_ += keys_;
    out_ += '\n';
    for (size_t atom = 0; atom < n_; ++atom) WriteAtom(atom);
    return {};
  }

 private:
  const Column& ColumnAt(size_t c) const { return rows_.batch().columns[c]; }

  Result<> Collect() {
    const std::vector<Column>& columns = rows_.batch().columns;
    bool has_positions = false;
    for (size_t c = 0; c < columns.size(); ++c) {
      if (!rows_.Has(c, frame_)) continue;
      const Column& column = columns[c];
      const Shape vector{3};
      if (column.name == "arrays.positions" && column.kind == FieldKind::kAtom &&
          column.inner == vector && column.dtype != DType::kJson && !IsComplex(column.dtype)) {
        positions_ = rows_.Bytes(c, frame_);
        position_dtype_ = column.dtype;
        has_positions = true;
      } else if (column.name == "arrays.numbers" && column.kind == FieldKind::kAtom &&
                 column.inner.rank() == 0 && IsInteger(column.dtype)) {
        numbers_ = rows_.Bytes(c, frame_);
        number_dtype_ = column.dtype;
      }
      present_.insert(column.name);
    }
    if (!has_positions) {
      return Error{ErrorCode::kInvalidArgument,
                   "extended XYZ needs arrays.positions (atoms, 3), and frame " +
                       std::to_string(frame_) + " of the selection has none"};
    }
    for (size_t c = 0; c < columns.size(); ++c)
      if (rows_.Has(c, frame_)) Add(c);
    return {};
  }

  static bool IsComplex(DType dtype) {
    return dtype == DType::kComplex64 || dtype == DType::kComplex128;
  }

  void Add(size_t c) {
    const Column& column = ColumnAt(c);
    if (column.name == "arrays.positions" || (column.name == "arrays.numbers" && !numbers_.empty()))
      return;
    if (column.name == "arrays.numbers" && n_ == 0) return;
    if (column.name == "cell" && AddCell(c)) return;
    if (column.name == "pbc" && column.dtype == DType::kBool && column.inner == Shape{3}) {
      AppendArray("pbc", column.dtype, column.inner, rows_.Bytes(c, frame_).data(), keys_);
      return;
    }
    if (column.name == "constraints" && column.dtype == DType::kJson) {
      if (auto part = MoveMask(rows_.Text(c, frame_), n_, mask_)) {
        AddPart(std::move(*part));
        return;
      }
    }
    if (column.kind == FieldKind::kAtom && column.dtype != DType::kJson && AddAtoms(c)) return;
    if (column.dtype == DType::kJson && column.name.starts_with("arrays.")) {
      ColumnPart part;
      part.name = ColumnName(column.name);
      part.type = 'S';
      if (auto words = Words(rows_.Text(c, frame_), n_, part.count)) {
        part.words = std::move(*words);
        AddPart(std::move(part));
        return;
      }
    }
    AddKey(c);
  }

  bool AddCell(size_t c) {
    const Column& column = ColumnAt(c);
    if (column.dtype == DType::kJson || IsComplex(column.dtype) || column.inner != Shape{3, 3})
      return false;
    std::span<const std::byte> bytes = rows_.Bytes(c, frame_);
    if (std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; }))
      return true;
    lattice_ = "Lattice=\"";
    for (size_t i = 0; i < 9; ++i) {
      if (i > 0) lattice_ += ' ';
      AppendElement(column.dtype, bytes.data() + i * ItemSize(column.dtype), kXyzNonFinite, "1",
                    "0", lattice_);
    }
    lattice_ += '"';
    return true;
  }

  std::string ColumnName(std::string_view field) const {
    if (field == "arrays.velocities") return "velo";
    // ASE takes "charge" for initial charges and fails when both are there.
    if (field == "calc.charges")
      return present_.contains("arrays.initial_charges") ? "calc_charges" : "charge";
    std::string name(WithoutPrefix(field));
    for (char& c : name)
      if (!IsBare(std::string_view(&c, 1)) || c == ':') c = '_';
    if (Among(name, kColumnNames) ||
        (field.starts_with("arrays.") && present_.contains("calc." + name)))
      name += '_';
    return name;
  }

  bool AddAtoms(size_t c) {
    const Column& column = ColumnAt(c);
    int64_t count = column.inner.Elements();
    if (count < 1 || IsComplex(column.dtype)) return false;
    ColumnPart part;
    part.name = ColumnName(column.name);
    part.count = count;
    part.dtype = column.dtype;
    part.bytes = rows_.Bytes(c, frame_);
    part.type = column.dtype == DType::kBool          ? 'L'
                : IsFloating(column.dtype)            ? 'R'
                : FitsInt32(column.dtype, part.bytes) ? 'I'
                                                      : 'S';
    AddPart(std::move(part));
    return true;
  }

  void AddPart(ColumnPart part) {
    while (!names_.insert(part.name).second) part.name += '_';
    parts_.push_back(std::move(part));
  }

  void AddKey(size_t c) {
    const Column& column = ColumnAt(c);
    std::string key(WithoutPrefix(column.name));
    bool info = !column.name.starts_with("calc.");
    // A calculator's result and an info of one name are one key in the file: the result wins, as in
    // ASE.
    if (info && present_.contains("calc." + key)) return;
    if (Among(key, kKeyNames)) key += '_';
    bool json = column.dtype == DType::kJson;
    bool real = !json && !IsComplex(column.dtype) && column.dtype != DType::kBool;
    if (Among(key, kMatrixKeys)) {
      if (real && column.name == "calc.stress" && column.inner == Shape{6})
        return AddMatrix(key, c, {0, 5, 4, 5, 1, 3, 4, 3, 2});
      if (real && (column.inner == Shape{9})) return AddMatrix(key, c, {0, 1, 2, 3, 4, 5, 6, 7, 8});
      if (real && column.inner == Shape{3, 3})
        return AddMatrix(key, c, {0, 3, 6, 1, 4, 7, 2, 5, 8});  // Fortran order
      key += '_';
    }
    if (key.empty() || !names_.insert("=" + key).second) return;
    if (json) {
      AppendText(key, rows_.Text(c, frame_), keys_);
    } else {
      AppendArray(key, column.dtype, rows_.ShapeOf(c, frame_), rows_.Bytes(c, frame_).data(),
                  keys_);
    }
  }

  void AddMatrix(const std::string& key, size_t c, const std::array<size_t, 9>& order) {
    const Column& column = ColumnAt(c);
    const std::byte* at = rows_.Bytes(c, frame_).data();
    if (!names_.insert("=" + key).second) return;
    AppendKey(key, keys_);
    keys_ += "=\"";
    for (size_t i = 0; i < 9; ++i) {
      if (i > 0) keys_ += ' ';
      AppendElement(column.dtype, at + order[i] * ItemSize(column.dtype), kXyzNonFinite, "1", "0",
                    keys_);
    }
    keys_ += '"';
  }

  int64_t Number(size_t atom) const {
    int64_t value = 0;  // little-endian; a negative narrow number is none of an element either way
    size_t size = ItemSize(number_dtype_);
    std::memcpy(&value, numbers_.data() + atom * size, size);
    return value;
  }

  void WriteAtom(size_t atom) {
    out_ += numbers_.empty() ? "X" : ChemicalSymbol(Number(atom));
    size_t size = ItemSize(position_dtype_);
    for (size_t i = 0; i < 3; ++i) {
      out_ += ' ';
      AppendElement(position_dtype_, positions_.data() + (3 * atom + i) * size, kXyzNonFinite, "1",
                    "0", out_);
    }
    for (const ColumnPart& part : parts_) {
      size_t count = static_cast<size_t>(part.count);
      for (size_t i = 0; i < count; ++i) {
        out_ += ' ';
        if (!part.words.empty()) {
          out_ += part.words[atom * count + i];
        } else {
          AppendElement(part.dtype, part.bytes.data() + (atom * count + i) * ItemSize(part.dtype),
                        kXyzNonFinite, "T", "F", out_);
        }
      }
    }
    out_ += '\n';
  }

  const FrameRows& rows_;
  const size_t frame_;
  std::string& out_;
  const size_t n_;

  std::set<std::string, std::less<>> present_;  // fields of the frame
  std::set<std::string, std::less<>> names_;    // columns taken, and keys with "=" in front
  std::span<const std::byte> positions_, numbers_;
  DType position_dtype_ = DType::kFloat64, number_dtype_ = DType::kInt64;
  std::vector<uint8_t> mask_;
  std::vector<ColumnPart> parts_;
  std::string lattice_, keys_;
};

}  // namespace

Result<> AppendExtxyz(const FrameRows& rows, size_t frame, std::string& out) {
  size_t before = out.size();
  Result<> result = ExtxyzFrame(rows, frame, out).Write();
  if (!result) out.resize(before);
  return result;
}

Result<> AppendExtxyz(const FrameBatch& batch, size_t frame, std::string& out) {
  return AppendExtxyz(FrameRows(batch), frame, out);
}

}  // namespace zn::formats
