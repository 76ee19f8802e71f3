// Small JSON bodies of requests, and JSON for replies.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/router.h"
#include "http/query.h"

namespace zn::server {

/// The body as an object whose members are all in `known`; an empty body is an empty object. 400 otherwise.
Answer<nlohmann::json> BodyObject(const Call& call, const std::vector<std::string>& known);
/// As text; invalid UTF-8 becomes U+FFFD.
std::string Dump(const nlohmann::json& value);

/// Members of an object; nullopt when absent or null. 400 when it is of another type.
Answer<std::optional<std::string>> TextMember(const nlohmann::json& object, std::string_view name);
Answer<std::optional<int64_t>> IntegerMember(const nlohmann::json& object, std::string_view name);

/// `true`, `false` or absent.
Answer<bool> FlagParameter(const std::vector<Parameter>& parameters, std::string_view name);
/// The token of a write: the header Lock-Token, or `?lock_token=`; "" for none.
Answer<std::string> LockToken(const Call& call, const std::vector<Parameter>& parameters);
/// `force=true`: 403 for who is not an admin of the room.
Answer<bool> Force(const Call& call, const std::vector<Parameter>& parameters);

}  // namespace zn::server
