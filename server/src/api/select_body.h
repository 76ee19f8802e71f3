// The body of POST .../frames/select: {indices, data, format, ...}, as JSON or MessagePack.
#pragma once

#include <string_view>

#include "api/frames_query.h"

namespace zn::server {

inline constexpr size_t kMaxSelectIndices = 1'000'000;

/// 415 for another content type, 400 for what is not such an object. Values stand for the query
/// parameters of the same name; `indices` and `data` may be lists. Read as it comes: a long list of
/// numbers never becomes a tree of values.
Answer<FramesOptions> ParseSelectBody(std::string_view content_type, std::string_view body);

}  // namespace zn::server
