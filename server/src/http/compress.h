// Content codings of replies: zstd and gzip, when they are asked for and worth it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace zn::server {

enum class Coding { kIdentity, kGzip, kZstd };

/// From Accept-Encoding, with its q values; zstd before gzip where they tie.
Coding ChooseCoding(std::string_view accept_encoding);

/// The coded bytes, or nullopt when a sample of `raw` says that less than a tenth would be saved:
/// binary coordinates rarely shrink, and trying would cost more than sending them.
std::optional<std::string> CompressIfWorth(Coding coding, std::string_view raw);

}  // namespace zn::server
