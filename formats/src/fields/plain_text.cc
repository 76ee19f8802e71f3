#include <cstdint>
#include <nlohmann/json.hpp>

#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

// Of UTF-8 text.
std::u32string CodePoints(std::string_view text) {
  std::u32string points;
  points.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    auto lead = static_cast<unsigned char>(text[i]);
    size_t length = lead < 0x80       ? 1
                    : lead >> 5 == 6  ? 2
                    : lead >> 4 == 14 ? 3
                    : lead >> 3 == 30 ? 4
                                      : 0;
    if (length == 0 || i + length > text.size()) {
      points.push_back(U'\xfffd');
      ++i;
      continue;
    }
    uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t k = 1; k < length; ++k)
      code = code << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3f);
    points.push_back(static_cast<char32_t>(code));
    i += length;
  }
  return points;
}

}  // namespace

std::u32string PlainText(std::string_view json) {
  if (json.size() >= 2 && json.front() == '"') {
    nlohmann::json value = nlohmann::json::parse(json, nullptr, false);
    if (value.is_string()) return CodePoints(value.get<std::string>());
  }
  return CodePoints(json);
}

}  // namespace zn::formats
