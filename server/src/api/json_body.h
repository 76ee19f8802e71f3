// Small JSON bodies of requests.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "http/problem.h"

namespace zn::server {

/// An object; {} for an empty body. 400 for anything else, and for what is nested deeper than 64 levels (printing it again
/// would take as much stack).
Answer<nlohmann::json> ParseObject(std::string_view body);

}  // namespace zn::server
