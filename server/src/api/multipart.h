// multipart/form-data (RFC 7578), as far as an upload needs it.
#pragma once

#include <optional>
#include <string_view>

#include "zn/engine/error.h"

namespace zn::server {

/// The boundary of a Content-Type; nullopt when that is not multipart/form-data.
std::optional<std::string_view> MultipartBoundary(std::string_view content_type);

/// The content of the part named `name`, within `body`. kInvalidArgument when the body is malformed, kNotFound without such
/// a part.
Result<std::string_view> FindPart(std::string_view body, std::string_view boundary, std::string_view name);

}  // namespace zn::server
