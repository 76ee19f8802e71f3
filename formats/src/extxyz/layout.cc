#include "extxyz/layout.h"

#include <algorithm>
#include <optional>
#include <set>

#include "extxyz/number.h"
#include "zn/formats/fields.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

Error Fault(std::string_view properties, const std::string& what) {
  std::string shown(properties.substr(0, 80));
  return Error{ErrorCode::kCorrupt, "Properties=" + shown + (properties.size() > 80 ? "..." : "") +
                                        ": " + what +
                                        "; it must list name:type:columns with types S, I, R, L"};
}

// Words of the columns that the table of fields knows; 0: any.
int64_t ExpectedCount(std::string_view field) {
  if (field == "arrays.positions" || field == "arrays.momenta" || field == "arrays.velocities" ||
      field == "calc.forces")
    return 3;
  if (field == "calc.stresses" || field == "calc.magmoms" || field == "arrays.initial_magmoms")
    return 0;
  return 1;
}

// ASE's own names of arrays are taken as well as those of the table.
std::string_view CanonicalColumn(std::string_view name) {
  if (name == "symbols" || name == "numbers") return "arrays.numbers";
  for (const CanonicalField& field : CanonicalFields()) {
    if (field.kind != FieldKind::kAtom) continue;
    if (std::find(field.extxyz.begin(), field.extxyz.end(), name) != field.extxyz.end())
      return field.name;
  }
  return "";
}

std::string_view NextPart(std::string_view& text) {
  size_t colon = text.find(':');
  std::string_view part = text.substr(0, colon);
  text = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  return part;
}

}  // namespace

bool IsRealField(std::string_view field) {
  const CanonicalField* canonical = FindCanonical(field);
  return canonical != nullptr && !canonical->unit.empty() && canonical->unit != "1";
}

Result<std::string> FieldName(std::string_view prefix, std::string_view name) {
  std::string json;
  AppendJsonString(name, json);  // replaces what is no UTF-8
  std::string field(prefix);
  for (size_t i = 1; i + 1 < json.size(); ++i) {
    if (json[i] != '\\') {
      field += json[i];
    } else if (json[++i] == '"' || json[i] == '\\') {
      field += json[i];
    } else {
      if (json[i] == 'u') i += 4;
      field += '_';
    }
  }
  constexpr size_t kMaxBytes = 240;
  if (field.size() > kMaxBytes) {
    return Error{ErrorCode::kCorrupt, "the name " + field.substr(prefix.size(), 40) +
                                          "... has more than " +
                                          std::to_string(kMaxBytes - prefix.size()) + " bytes"};
  }
  return field;
}

Result<Layout> ParseLayout(std::string_view properties, ColumnMapper& mapper) {
  Layout layout;
  std::set<std::string, std::less<>> sources, fields;
  if (properties.empty()) return Fault(properties, "it is empty");
  for (std::string_view rest = properties; !rest.empty();) {
    std::string_view name = NextPart(rest), type = NextPart(rest), count_text = NextPart(rest);
    std::string triple =
        std::string(name) + ":" + std::string(type) + ":" + std::string(count_text);
    std::optional<int64_t> count = ParseInt(count_text);
    if (name.empty()) return Fault(properties, "a column without a name");
    if (!count || *count < 1)
      return Fault(properties, "\"" + triple + "\" has no number of columns");
    if (*count > Layout::kMaxWords - layout.words) {
      return Fault(properties, "\"" + triple + "\" has an absurd number of columns");
    }
    if (type.size() != 1 || std::string_view("SIRLsirl").find(type[0]) == std::string_view::npos) {
      return Fault(properties,
                   "\"" + triple + "\" has the unknown type \"" + std::string(type) + "\"");
    }
    if (!sources.emplace(name).second) {
      return Fault(properties, "it names the column " + std::string(name) + " twice");
    }
    char letter = static_cast<char>(type[0] & ~0x20);
    LayoutColumn column;
    column.source = name;
    column.count = *count;
    column.type = letter == 'S'   ? WordType::kString
                  : letter == 'I' ? WordType::kInteger
                  : letter == 'L' ? WordType::kLogical
                                  : WordType::kReal;

    std::string_view known = name == "move_mask" ? "constraints" : CanonicalColumn(name);
    bool number = column.type == WordType::kReal || column.type == WordType::kInteger;
    bool fits = !known.empty();
    if (known == "constraints") {
      fits = column.type == WordType::kLogical && (*count == 1 || *count == 3);
    } else if (known == "arrays.numbers") {
      fits = *count == 1 && column.type != WordType::kReal && column.type != WordType::kLogical;
    } else if (fits) {
      fits = number && (ExpectedCount(known) == 0 || ExpectedCount(known) == *count);
    }
    if (known == "arrays.positions" && !fits) {
      return Fault(properties, "\"" + triple + "\" is not three numbers");
    }
    std::string canonical(fits ? known : "");
    if (!fits) {
      ZN_ASSIGN_OR_RETURN(canonical, FieldName("arrays.", name));
      if (!known.empty()) {
        layout.notes.push_back("the column " + triple + " is not what " + std::string(known) +
                               " is; it becomes " + canonical);
      }
    }
    column.field = mapper.Name(name, canonical);
    if (column.field.empty()) {
      column.type = WordType::kSkip;
    } else if (!fields.insert(column.field).second) {
      // species and Z: ASE takes Z. Others keep both, the later one under its own name.
      if (column.field == "arrays.numbers" && column.type == WordType::kInteger) {
        for (LayoutColumn& other : layout.columns) {
          if (other.field != column.field) continue;
          other.type = WordType::kSkip;
          other.field.clear();
        }
      } else {
        ZN_ASSIGN_OR_RETURN(column.field, FieldName("arrays.", name));
        if (!fields.insert(column.field).second) {
          return Fault(properties, "two columns would become " + column.field +
                                       " (leave one out with --map " + column.source + "=)");
        }
      }
    }
    if (column.field == "arrays.numbers" && column.type == WordType::kString && *count == 1) {
      column.type = WordType::kSymbol;
    }
    if (column.type == WordType::kInteger && IsRealField(column.field))
      column.type = WordType::kReal;
    layout.words += *count;
    layout.columns.push_back(std::move(column));
  }
  return layout;
}

}  // namespace zn::formats
