// Query strings and percent-encoding.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zn::server {

/// "%41b" -> "Ab"; '+' becomes a blank when `plus_is_blank`. nullopt for a malformed escape.
std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_blank);
/// Everything but unreserved characters (RFC 3986) becomes %XX.
std::string PercentEncode(std::string_view text);

struct Parameter {
  std::string name;
  std::string raw;  // the value as sent: `data` is split at commas before it is decoded
};

/// The parameters in order. nullopt for a malformed escape in a name.
std::optional<std::vector<Parameter>> ParseQuery(std::string_view query);

}  // namespace zn::server
