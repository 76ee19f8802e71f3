#include "api/json_body.h"

namespace zn::server {

Answer<nlohmann::json> ParseObject(std::string_view body) {
  using nlohmann::json;
  if (body.empty()) return json::object();
  bool deep = false;
  const auto look = [&deep](int depth, json::parse_event_t, json&) {
    deep |= depth > 64;
    return !deep;  // what is too deep is dropped, and the rest not kept
  };
  json object = json::parse(body, look, false);
  if (deep) return BadRequest("the body is nested deeper than 64 levels");
  if (!object.is_object()) return BadRequest("the body is not a JSON object");
  return object;
}

}  // namespace zn::server
