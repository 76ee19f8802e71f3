#include "control/audit.h"

#include "api/service.h"
#include "zn/formats/text_writer.h"

namespace zn::server {

std::string AuditText(const AuditEntry& entry) {
  std::string out = "{";
  const auto name = [&](std::string_view key) {
    if (out.size() > 1) out += ',';
    formats::AppendJsonString(key, out);
    out += ':';
  };
  const auto text = [&](std::string_view key, std::string_view value) {
    name(key);
    formats::AppendJsonString(value, out);
  };
  const auto value = [&](std::string_view key, const std::string& json) {
    name(key);
    if (json.size() > kMaxAuditValue) {
      out += "{\"bytes\":" + std::to_string(json.size()) + "}";
    } else {
      out += json.empty() ? "null" : json;
    }
  };
  text("time", TimeText(entry.time_ns));
  text("actor", entry.actor);
  text("origin", entry.origin);
  text("room", entry.room);
  text("scope", entry.scope);
  text("target", entry.target);
  text("key", entry.key);
  value("old", entry.old_value);
  value("new", entry.new_value);
  if (entry.version) {
    name("version");
    out += std::to_string(*entry.version);
  }
  return out + "}";
}

}  // namespace zn::server
