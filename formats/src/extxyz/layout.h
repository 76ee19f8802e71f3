// The columns of atom lines, as a Properties value lists them, and the fields they become.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "column_map.h"
#include "zn/engine/error.h"

namespace zn::formats {

/// How the words of a column are read.
enum class WordType : uint8_t { kSymbol, kReal, kInteger, kLogical, kString, kSkip };

struct LayoutColumn {
  std::string source;  // as the file calls it
  std::string field;   // as the room will; empty for kSkip
  WordType type = WordType::kReal;
  int64_t count = 1;  // words
};

struct Layout {
  std::vector<LayoutColumn> columns;
  int64_t words = 0;               // of an atom line
  std::vector<std::string> notes;  // what a user should know, once

  static constexpr int64_t kMaxWords = 1 << 20;
};

inline constexpr std::string_view kPlainProperties = "species:S:1:pos:R:3";

/// "name:S|I|R|L:count" triples, letters in either case. kCorrupt naming the triple at fault.
Result<Layout> ParseLayout(std::string_view properties, ColumnMapper& mapper);

/// A field name from a key or column name of a file: `prefix` and the name without control
/// characters and bytes that are no UTF-8. kCorrupt when it is longer than a field name may be.
Result<std::string> FieldName(std::string_view prefix, std::string_view name);

/// True when the table gives the field a physical unit: its numbers are floats even where a file
/// writes "-5".
bool IsRealField(std::string_view field);

}  // namespace zn::formats
