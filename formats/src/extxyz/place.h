// Where in a text file something is wrong, in words: for the errors of both passes over it.
#pragma once

#include <string>
#include <string_view>

#include "extxyz/frame_scanner.h"
#include "zn/engine/error.h"

namespace zn::formats {

/// The start of a text in quotes, with '?' for what cannot be shown.
inline std::string Shown(std::string_view text) {
  std::string shown;
  for (char c : text.substr(0, 40)) {
    unsigned char u = static_cast<unsigned char>(c);
    shown += u < 0x20 || u >= 0x7F ? '?' : c;
  }
  return "\"" + shown + (text.size() > 40 ? "...\"" : "\"");
}

inline Error AtLine(const FrameSpan& frame, int64_t line, std::string message) {
  return Error{ErrorCode::kCorrupt, "frame " + std::to_string(frame.index) + ", line " +
                                        std::to_string(line) + ": " + std::move(message)};
}

}  // namespace zn::formats
