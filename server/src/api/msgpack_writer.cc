#include "api/msgpack_writer.h"

#include <nlohmann/json.hpp>

namespace zn::server::msgpack {

bool PutJson(std::string& out, std::string_view json) {
  // A string without escapes is its bytes.
  if (json.size() >= 2 && json.front() == '"' && json.back() == '"') {
    std::string_view inside = json.substr(1, json.size() - 2);
    if (inside.find_first_of("\\\"") == std::string_view::npos) {
      PutString(out, inside);
      return true;
    }
  }
  nlohmann::json value = nlohmann::json::parse(json, nullptr, false);
  if (value.is_discarded()) return false;
  std::vector<uint8_t> bytes = nlohmann::json::to_msgpack(value);
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return true;
}

}  // namespace zn::server::msgpack
