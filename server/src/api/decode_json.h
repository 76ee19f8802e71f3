// JSON bodies: turned into MessagePack as they are parsed, so that one decoder reads both.
#pragma once

#include <string>
#include <string_view>

#include "zn/engine/error.h"

namespace zn::server {

/// The same values as MessagePack: integers as such, other numbers as float 64. At most nine times as long as the JSON.
/// kInvalidArgument naming the byte for what is no JSON, more than 64 levels deep, or holds a number beyond float 64.
Result<std::string> JsonToMsgpack(std::string_view json);

}  // namespace zn::server
