#include "api/body_json.h"

#include "api/frames_query.h"
#include "zn/formats/fields.h"

namespace zn::server {

using nlohmann::json;

std::string Dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

Answer<json> BodyObject(const Call& call, const std::vector<std::string>& known) {
  if (call.owned.body.empty()) return json::object();
  json body = json::parse(call.owned.body, nullptr, false);
  if (!body.is_object()) return BadRequest("the body is not a JSON object");
  for (const auto& [name, value] : body.items()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    return BadRequest("the body has no member '" + name + "' here")
        .With("candidates", formats::NearMisses(name, known));
  }
  return body;
}

Answer<std::optional<std::string>> TextMember(const json& object, std::string_view name) {
  const auto at = object.find(name);
  if (at == object.end() || at->is_null()) return std::optional<std::string>();
  if (!at->is_string()) return BadRequest(std::string(name) + ": a string is needed");
  return std::optional<std::string>(at->get<std::string>());
}

Answer<std::optional<int64_t>> IntegerMember(const json& object, std::string_view name) {
  const auto at = object.find(name);
  if (at == object.end() || at->is_null()) return std::optional<int64_t>();
  if (!at->is_number_integer() || (at->is_number_unsigned() && at->get<uint64_t>() > INT64_MAX))
    return BadRequest(std::string(name) + ": an integer is needed");
  return std::optional<int64_t>(at->get<int64_t>());
}

Answer<bool> FlagParameter(const std::vector<Parameter>& parameters, std::string_view name) {
  ZN_ASSIGN_OR_RETURN(const auto text, TakeParameter(parameters, name));
  if (!text || *text == "false") return false;
  if (*text == "true") return true;
  return BadRequest(std::string(name) + ": '" + *text + "' is neither true nor false");
}

Answer<std::string> LockToken(const Call& call, const std::vector<Parameter>& parameters) {
  if (const std::string_view* header = call.request().Find("lock-token")) return std::string(*header);
  ZN_ASSIGN_OR_RETURN(auto token, TakeParameter(parameters, "lock_token"));
  return token ? std::move(*token) : std::string();
}

Answer<bool> Force(const Call& call, const std::vector<Parameter>& parameters) {
  ZN_ASSIGN_OR_RETURN(const bool force, FlagParameter(parameters, "force"));
  if (force && !call.caller.IsAdmin(call.room))
    return Problem(403, "forbidden", "force=true is an admin's: " + call.caller.name + " is none of room " + call.room);
  return force;
}

}  // namespace zn::server
