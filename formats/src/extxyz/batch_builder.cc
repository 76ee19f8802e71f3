#include "extxyz/batch_builder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "extxyz/number.h"
#include "extxyz/place.h"
#include "fields/number_text.h"
#include "zn/formats/fields.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

std::string_view Word(const char* at) {
  const char* end = at;
  while (*end != '\n' && !IsBlank(*end)) ++end;
  return {at, static_cast<size_t>(end - at)};
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && (IsBlank(text.back()) || text.back() == '\n')) text.remove_suffix(1);
  return text;
}

// Is there `key =` in a comment? Then it is extended XYZ, and must be well-formed.
bool HasKey(std::string_view comment, std::string_view key) {
  for (size_t at = comment.find(key); at != std::string_view::npos;
       at = comment.find(key, at + 1)) {
    if (at > 0 && !IsBlank(comment[at - 1])) continue;
    size_t end = at + key.size();
    while (end < comment.size() && IsBlank(comment[end])) ++end;
    if (end < comment.size() && comment[end] == '=') return true;
  }
  return false;
}

// ASE reads 9 numbers of these keys as a matrix in Fortran order.
Value FortranMatrix(Value value) {
  value.shape = Shape{3, 3};
  auto transpose = [](auto& v) {
    std::swap(v[1], v[3]);
    std::swap(v[2], v[6]);
    std::swap(v[5], v[7]);
  };
  if (value.type == Value::Type::kFloat)
    transpose(value.floats);
  else
    transpose(value.ints);
  return value;
}

std::optional<std::array<double, 9>> Nine(const Value& value) {
  if (!value.is_number() || value.elements() != 9) return std::nullopt;
  std::array<double, 9> nine;
  for (size_t i = 0; i < 9; ++i) nine[i] = value.AsDouble(i);
  return nine;
}

Value Reals(Shape shape, std::vector<double> values) {
  return Value{Value::Type::kFloat, shape, {}, std::move(values), {}};
}

double Volume(const std::array<double, 9>& c) {
  return std::fabs(c[0] * (c[4] * c[8] - c[5] * c[7]) - c[1] * (c[3] * c[8] - c[5] * c[6]) +
                   c[2] * (c[3] * c[7] - c[4] * c[6]));
}

struct CanonicalKey {
  std::string_view key, field;
};
constexpr CanonicalKey kCanonicalKeys[] = {
    {"Lattice", "cell"},       {"pbc", "pbc"},
    {"energy", "calc.energy"}, {"free_energy", "calc.free_energy"},
    {"dipole", "calc.dipole"}, {"stress", "calc.stress"},
    {"magmom", "calc.magmom"}};

}  // namespace

void XyzBatchBuilder::Warn(const FrameSpan& frame, std::string message) {
  for (Warning& warning : warnings_) {
    if (warning.message == message) {
      ++warning.count;
      return;
    }
  }
  if (warnings_.size() < 100) {
    warnings_.push_back({"frame " + std::to_string(frame.index), std::move(message), 1});
  }
}

Result<const Layout*> XyzBatchBuilder::LayoutOf(std::string_view properties) {
  if (layout_ == nullptr || layout_text_ != properties) {
    ZN_ASSIGN_OR_RETURN(Layout layout, ParseLayout(properties, mapper_));
    layout_ = std::make_unique<Layout>(std::move(layout));
    layout_text_ = properties;
    cursors_.clear();
  }
  return layout_.get();
}

// Finds or makes the columns of a layout; false when one has another type here than before.
Result<bool> XyzBatchBuilder::Columns(const Layout& layout) {
  if (!cursors_.empty()) return true;
  std::vector<Cursor> cursors;
  for (const LayoutColumn& column : layout.columns) {
    Cursor cursor;
    cursor.column = &column;
    if (column.type != WordType::kSkip && column.field != "constraints") {
      auto it = std::find_if(atoms_.begin(), atoms_.end(),
                             [&](const auto& c) { return c->field == column.field; });
      if (it == atoms_.end()) {
        auto made = std::make_unique<AtomColumn>();
        made->field = column.field;
        made->type = column.type;
        made->count = column.count;
        atoms_.push_back(std::move(made));
        cursor.target = atoms_.back().get();
      } else {
        bool both_numbers =
            ((*it)->type == WordType::kSymbol && column.type == WordType::kInteger) ||
            ((*it)->type == WordType::kInteger && column.type == WordType::kSymbol);
        if (((*it)->type != column.type && !both_numbers) || (*it)->count != column.count)
          return false;
        cursor.target = it->get();
      }
    }
    cursors.push_back(std::move(cursor));
  }
  cursors_ = std::move(cursors);
  return true;
}

Result<bool> XyzBatchBuilder::Add(std::string_view text, const FrameSpan& frame) {
  std::string_view comment = Trim(text.substr(frame.comment, frame.atoms - frame.comment));
  int64_t line = frame.line + 1;
  bool extended = HasKey(comment, "Properties") || HasKey(comment, "Lattice");
  std::vector<KeyValue> pairs;
  std::string properties(kPlainProperties);
  if (!comment.empty()) {
    Result<std::vector<KeyValue>> parsed = ParseComment(comment);
    if (parsed)
      pairs = std::move(*parsed);
    else if (extended)
      return AtLine(frame, line, "comment line: " + parsed.error().message + "; mend the line");
    // A plain xyz file's comment may be a sentence; all in pairs, it is taken for what ASE would.
    bool sentence = !parsed || std::any_of(pairs.begin(), pairs.end(),
                                           [](const KeyValue& p) { return p.bare; });
    if (!extended && sentence) {
      pairs.clear();
      pairs.push_back({"comment", Value::String(std::string(comment)), false});
    }
  }
  for (auto it = pairs.begin(); it != pairs.end(); ++it) {
    if (it->key != "Properties") continue;
    if (it->value.type != Value::Type::kString)
      return AtLine(frame, line, "the value of Properties is no list of columns");
    properties = std::move(it->value.text);
    pairs.erase(it);
    break;
  }
  Result<const Layout*> layout = LayoutOf(properties);
  if (!layout) return AtLine(frame, line, std::move(layout).error().message);
  // An atom line has a byte a word and one between: so no column is made larger than the text
  // allows.
  int64_t bytes = static_cast<int64_t>(frame.end - frame.atoms);
  int64_t words = (*layout)->words;
  if (frame.n_atoms > 0 && words > bytes / frame.n_atoms) {
    // Let ReadAtoms name the line, on one frame's columns of one atom.
    int64_t short_line = frame.line + 2;
    for (const char* at = text.data() + frame.atoms; at < text.data() + frame.end; ++short_line) {
      int64_t found = 0;
      while (*at != '\n') {
        if (IsBlank(*at)) {
          ++at;
          continue;
        }
        at += Word(at).size();
        ++found;
      }
      ++at;
      if (found < words) {
        return AtLine(frame, short_line,
                      "the line has " + std::to_string(found) + " words, Properties asks for " +
                          std::to_string(words) + "; mend the line or the comment before it");
      }
    }
  }
  ZN_ASSIGN_OR_RETURN(bool fits, Columns(**layout));
  if (!fits) return false;

  for (const std::string& note : (*layout)->notes) Warn(frame, note);
  cell_.reset();
  virial_.reset();
  has_pbc_ = false;
  Result<> result;
  for (KeyValue& pair : pairs) {
    result = SetKey(std::move(pair), frame);
    if (!result) break;
  }
  if (result) {
    Derive(frame);
    result = ReadAtoms(text, frame, **layout);
    if (!result) RevertAtoms();
  }
  if (!result) {
    info_.Revert(frames());
    Error error = std::move(result).error();
    if (!error.message.starts_with("frame ")) return AtLine(frame, line, std::move(error.message));
    return error;
  }
  n_atoms_.push_back(static_cast<int32_t>(frame.n_atoms));
  return true;
}

Result<> XyzBatchBuilder::SetKey(KeyValue pair, const FrameSpan& frame) {
  std::string_view known;
  for (const CanonicalKey& canonical : kCanonicalKeys)
    if (pair.key == canonical.key) known = canonical.field;
  std::string canonical(known);
  std::string plain;
  ZN_ASSIGN_OR_RETURN(plain, FieldName("info.", pair.key));
  if (canonical.empty()) canonical = plain;
  std::string field = mapper_.Name(pair.key, canonical);
  if (field.empty()) return {};
  const int64_t at = frames();
  Value& value = pair.value;
  const size_t count = value.is_array() ? value.elements() : 0;

  if (field == "cell") {
    cell_ = Nine(value);
    if (!cell_)
      return Error{ErrorCode::kCorrupt,
                   pair.key + " is not nine numbers; it must be \"ax ay az bx by bz cx cy cz\""};
    info_.Set(field, at, Reals(Shape{3, 3}, {cell_->begin(), cell_->end()}));
    return {};
  }
  if (field == "pbc") {
    if (value.is_array() && value.type != Value::Type::kFloat && (count == 3 || count == 1)) {
      std::vector<int64_t> flags(3);
      for (size_t i = 0; i < 3; ++i) flags[i] = value.ints[count == 3 ? i : 0] != 0 ? 1 : 0;
      info_.Set(field, at, Value{Value::Type::kBool, Shape{3}, std::move(flags), {}, {}});
      has_pbc_ = true;
      return {};
    }
    return Error{ErrorCode::kCorrupt, "pbc is not three of T and F; write e.g. pbc=\"T T F\""};
  }
  if (field == "calc.stress") {
    std::optional<std::array<double, 9>> m = Nine(value);
    if (m) {
      // ASE's choice of the off-diagonal elements, should the matrix not be symmetric.
      bool rows = value.shape.rank() == 2;
      const std::array<double, 9>& v = *m;
      info_.Set(field, at,
                Reals(Shape{6}, {v[0], v[4], v[8], rows ? v[5] : v[7], rows ? v[2] : v[6],
                                 rows ? v[1] : v[3]}));
      return {};
    }
    if (value.is_number() && count == 6 && value.shape.rank() == 1) {
      std::vector<double> voigt(6);
      for (size_t i = 0; i < 6; ++i) voigt[i] = value.AsDouble(i);
      info_.Set(field, at, Reals(Shape{6}, std::move(voigt)));
      return {};
    }
  } else if (IsRealField(field) && value.is_number()) {
    bool vector = field == "calc.dipole";
    if (count == (vector ? 3U : 1U)) {
      std::vector<double> reals(count);
      for (size_t i = 0; i < count; ++i) reals[i] = value.AsDouble(i);
      info_.Set(field, at, Reals(vector ? Shape{3} : Shape{}, std::move(reals)));
      return {};
    }
  } else if (!IsRealField(field)) {
    if (pair.key == "virial" && value.is_number() && count == 9) {
      if (value.shape.rank() == 1) value = FortranMatrix(std::move(value));
      virial_ = Nine(value);
    }
    info_.Set(field, at, std::move(value));
    return {};
  }
  Warn(frame, pair.key + " is not what " + field + " is; it becomes " + plain);
  info_.Set(plain, at, std::move(value));
  return {};
}

// What follows from the keys together: periodicity, and the stress of a virial.
void XyzBatchBuilder::Derive(const FrameSpan& frame) {
  const int64_t at = frames();
  if (!has_pbc_) {
    std::string field = mapper_.Name("pbc", "pbc");
    int64_t flag = cell_ ? 1 : 0;
    if (!field.empty())
      info_.Set(field, at, Value{Value::Type::kBool, Shape{3}, {flag, flag, flag}, {}, {}});
  }
  if (!virial_ || !cell_ || info_.Has("calc.stress", at)) return;
  double volume = Volume(*cell_);
  if (!(volume > 0)) return;
  const std::array<double, 9>& w = *virial_;
  std::vector<double> voigt = {
      w[0], w[4], w[8], (w[5] + w[7]) / 2, (w[2] + w[6]) / 2, (w[1] + w[3]) / 2};
  for (double& component : voigt) component = -component / volume;
  std::string field = mapper_.Name("calc.stress", "calc.stress");
  if (field.empty()) return;
  Warn(frame, "virial stays as info.virial, and gives calc.stress = -virial/volume");
  info_.Set(field, at, Reals(Shape{6}, std::move(voigt)));
}

Result<> XyzBatchBuilder::ReadWord(Cursor& cursor, const char*& at, int64_t atom, int64_t word) {
  switch (cursor.column->type) {
    case WordType::kReal:
      if (ReadDouble(at, *cursor.real)) {
        ++cursor.real;
        return {};
      }
      return Error{ErrorCode::kCorrupt, "number"};
    case WordType::kInteger:
      if (ReadInt(at, *cursor.integer)) {
        ++cursor.integer;
        return {};
      }
      return Error{ErrorCode::kCorrupt, "integer"};
    case WordType::kLogical: {
      std::string_view text = Word(at);
      std::optional<bool> flag = ParseBoolFolded(text);
      if (!flag) return Error{ErrorCode::kCorrupt, "T or F"};
      *cursor.flag++ = *flag ? 1 : 0;
      at += text.size();
      return {};
    }
    case WordType::kSymbol: {
      std::string_view text = Word(at);
      std::optional<int> number = AtomicNumber(text);
      if (!number) {
        std::optional<int64_t> digits = ParseInt(text);
        if (digits && *digits >= 0 && *digits <= 118)
          number = static_cast<int>(*digits);
        else
          odd_species_ = true;
      }
      *cursor.integer++ = number.value_or(0);
      at += text.size();
      return {};
    }
    case WordType::kString: {
      std::string_view text = Word(at);
      bool several = cursor.column->count > 1;
      if (atom > 0 || word > 0) cursor.text += several && word > 0 ? "," : several ? "],[" : ",";
      AppendJsonString(text, cursor.text);
      at += text.size();
      return {};
    }
    case WordType::kSkip:
      at += Word(at).size();
      return {};
  }
  return {};
}

Result<> XyzBatchBuilder::ReadAtoms(std::string_view text, const FrameSpan& frame,
                                 const Layout& layout) {
  const size_t n = static_cast<size_t>(frame.n_atoms);
  std::vector<uint8_t> mask;
  for (Cursor& cursor : cursors_) {
    size_t values = n * static_cast<size_t>(cursor.column->count);
    cursor.text = cursor.column->count > 1 && n > 0 ? "[[" : "[";
    if (cursor.column->field == "constraints") {
      mask.resize(values);
      cursor.flag = mask.data();
    }
    if (cursor.target == nullptr) continue;
    switch (cursor.target->type) {
      case WordType::kReal:
        cursor.real = cursor.target->reals.Extend(values);
        break;
      case WordType::kSymbol:
      case WordType::kInteger:
        cursor.integer = cursor.target->integers.Extend(values);
        break;
      case WordType::kLogical:
        cursor.flag = cursor.target->flags.Extend(values);
        break;
      case WordType::kString:
      case WordType::kSkip:
        break;
    }
  }
  odd_species_ = false;
  bool extra = false;
  const char* at = text.data() + frame.atoms;
  for (int64_t atom = 0; atom < frame.n_atoms; ++atom) {
    for (Cursor& cursor : cursors_) {
      for (int64_t word = 0; word < cursor.column->count; ++word) {
        while (IsBlank(*at)) ++at;
        bool ended = *at == '\n';
        Result<> read;
        if (!ended) read = ReadWord(cursor, at, atom, word);
        if (!ended && read) [[likely]]
          continue;
        std::string which = cursor.column->source;
        if (cursor.column->count > 1)
          which +=
              " (" + std::to_string(word + 1) + " of " + std::to_string(cursor.column->count) + ")";
        int64_t line = frame.line + 2 + atom;
        if (ended) {
          return AtLine(frame, line,
                        "the line ends before " + which + "; it needs " +
                            std::to_string(layout.words) +
                            " words; mend the line or the comment before the atoms");
        }
        return AtLine(frame, line,
                      which + ": expected " +
                          (read.error().message == "integer"  ? "an "
                           : read.error().message == "number" ? "a "
                                                              : "") +
                          read.error().message + ", found " + Shown(Word(at)) + "; mend the line");
      }
    }
    while (IsBlank(*at)) ++at;
    if (*at != '\n') {
      extra = true;
      at = static_cast<const char*>(
          std::memchr(at, '\n', static_cast<size_t>(text.data() + text.size() - at)));
    }
    ++at;
  }
  if (extra)
    Warn(frame, "words behind the columns that Properties lists (or behind x y z) are ignored");
  if (odd_species_) {
    Warn(frame,
         "species that are no chemical elements: number 0, as written in arrays.species_label");
    ReadLabels(text, frame, layout);
  }
  for (Cursor& cursor : cursors_) {
    if (cursor.column->type == WordType::kString)
      cursor.text += cursor.column->count > 1 && n > 0 ? "]]" : "]";
    if (!mask.empty() && cursor.column->field == "constraints")
      AddConstraints(mask, cursor.column->count);
    if (cursor.target == nullptr) continue;
    if (cursor.target->type == WordType::kString)
      cursor.target->texts.push_back(std::move(cursor.text));
    cursor.target->frames.push_back(frames());
  }
  return {};
}

void XyzBatchBuilder::RevertAtoms() {
  for (auto& column : atoms_) {
    if (!column->frames.empty() && column->frames.back() == frames()) {
      column->frames.pop_back();
      if (column->type == WordType::kString) column->texts.pop_back();
    }
    size_t values = 0;
    for (int64_t frame : column->frames)
      values += static_cast<size_t>(n_atoms_[static_cast<size_t>(frame)]);
    values *= static_cast<size_t>(column->count);
    column->reals.Truncate(std::min(values, column->reals.size()));
    column->integers.Truncate(std::min(values, column->integers.size()));
    column->flags.Truncate(std::min(values, column->flags.size()));
  }
}

void XyzBatchBuilder::ReadLabels(std::string_view text, const FrameSpan& frame, const Layout& layout) {
  int64_t before = 0;
  for (const LayoutColumn& column : layout.columns) {
    if (column.type == WordType::kSymbol) break;
    before += column.count;
  }
  std::string json = "[";
  const char* at = text.data() + frame.atoms;
  for (int64_t atom = 0; atom < frame.n_atoms; ++atom) {
    for (int64_t word = 0; word <= before; ++word) {
      while (IsBlank(*at)) ++at;
      if (word == before) {
        if (atom > 0) json += ',';
        AppendJsonString(Word(at), json);
      }
      at += Word(at).size();
    }
    at = static_cast<const char*>(
             std::memchr(at, '\n', static_cast<size_t>(text.data() + text.size() - at))) +
         1;
  }
  json += ']';
  std::string field = mapper_.Name("species_label", "arrays.species_label");
  if (!field.empty())
    info_.Set(field, frames(), Value{Value::Type::kJson, {}, {}, {}, std::move(json)});
}

// As ASE: atoms whose mask is false are fixed, all three directions or some.
void XyzBatchBuilder::AddConstraints(const std::vector<uint8_t>& mask, int64_t count) {
  std::string json;
  if (count == 1) {
    for (size_t i = 0; i < mask.size(); ++i) {
      if (mask[i] != 0) continue;
      json += json.empty() ? "[{\"name\":\"FixAtoms\",\"kwargs\":{\"indices\":[" : ",";
      AppendInteger(i, json);
    }
    if (!json.empty()) json += "]}}]";
  } else {
    for (size_t i = 0; i + 3 <= mask.size(); i += 3) {
      if (mask[i] != 0 && mask[i + 1] != 0 && mask[i + 2] != 0) continue;
      json += json.empty() ? "[" : ",";
      json += "{\"name\":\"FixCartesian\",\"kwargs\":{\"a\":";
      AppendInteger(i / 3, json);
      json += ",\"mask\":[";
      for (size_t axis = 0; axis < 3; ++axis)
        json += std::string(axis > 0 ? "," : "") + (mask[i + axis] == 0 ? "true" : "false");
      json += "]}}";
    }
    if (!json.empty()) json += "]";
  }
  if (json.empty()) return;
  info_.Set("constraints", frames(), Value{Value::Type::kJson, {}, {}, {}, std::move(json)});
}

FrameBatch XyzBatchBuilder::Take() {
  FrameBatch result;
  const int64_t frames = this->frames();
  for (auto& atoms : atoms_) {
    if (atoms->frames.empty()) continue;
    Column column;
    column.name = atoms->field;
    column.kind = FieldKind::kAtom;
    column.present = PresentFlags(atoms->frames, frames);
    if (atoms->count > 1) column.inner = Shape{atoms->count};
    switch (atoms->type) {
      case WordType::kReal:
        column.dtype = DType::kFloat64;
        column.data = atoms->reals.Take();
        break;
      case WordType::kSymbol:
      case WordType::kInteger:
        column.dtype = DType::kInt64;
        column.data = atoms->integers.Take();
        break;
      case WordType::kLogical:
        column.dtype = DType::kBool;
        column.data = atoms->flags.Take();
        break;
      case WordType::kString:
      case WordType::kSkip:
        column.kind = FieldKind::kFrame;
        column.inner = Shape();
        column.dtype = DType::kJson;
        column.text = std::move(atoms->texts);
        break;
    }
    result.columns.push_back(std::move(column));
  }
  for (Column& column : info_.Take(frames)) result.columns.push_back(std::move(column));
  for (Column& column : result.columns) column.attributes = UnitAttributes(column.name);
  result.n_atoms = std::move(n_atoms_);
  n_atoms_.clear();
  atoms_.clear();
  cursors_.clear();
  return result;
}

}  // namespace zn::formats
