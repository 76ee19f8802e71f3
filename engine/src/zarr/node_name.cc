#include <algorithm>

#include "zn/engine/zarr_metadata.h"

namespace zn {
namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

void Escape(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  out += '~';
  out += kHex[byte >> 4];
  out += kHex[byte & 15];
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

std::string ZarrNodeName(std::string_view field) {
  // What Zarr, or this view, gives a meaning of its own must not be a field's name.
  const bool reserved_start =
      field.substr(0, 1) == "." || field.substr(0, 2) == "__" || field == "zarr.json";
  const bool reserved_end = EndsWith(field, kZarrPresent) || EndsWith(field, kZarrLengths);
  std::string name;
  for (size_t i = 0; i < field.size(); ++i) {
    if (!IsPlain(field[i]) || (i == 0 && reserved_start) ||
        (i + 1 == field.size() && reserved_end)) {
      Escape(name, field[i]);
    } else {
      name += field[i];
    }
  }
  return name;
}

std::optional<std::string> FieldOfZarrNode(std::string_view node) {
  std::string field;
  for (size_t i = 0; i < node.size(); ++i) {
    if (node[i] != '~') {
      field += node[i];
      continue;
    }
    if (i + 2 >= node.size()) return std::nullopt;
    const size_t high = kHex.find(node[i + 1]), low = kHex.find(node[i + 2]);
    if (high == kHex.npos || low == kHex.npos) return std::nullopt;
    field += static_cast<char>(high << 4 | low);
    i += 2;
  }
  if (ZarrNodeName(field) != node) return std::nullopt;
  return field;
}

}  // namespace zn
