// UTF-8, as RFC 3629 has it.
#pragma once

#include <string_view>

namespace zn {

/// No overlong forms, no surrogates, nothing above U+10FFFF.
bool IsValidUtf8(std::string_view text);

}  // namespace zn
