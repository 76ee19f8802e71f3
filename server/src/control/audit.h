// Lines of the audit log: one JSON object each, as GET .../audit gives them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace zn::server {

/// `old_value` and `new_value` are JSON text (a frame's are its hash or version); "" is null.
struct AuditEntry {
  int64_t time_ns = 0;
  std::string actor = {};
  std::string origin = {};  // where it came from: "http", "socket", a client's label
  std::string room = {};
  std::string scope = {};   // "frame", "room", "lock", "token", or a record's
  std::string target = {};
  std::string key = {};
  std::string old_value = {}, new_value = {};
  std::optional<uint64_t> version = {};
};

/// Values beyond this many bytes are left out, as {"bytes": n}.
inline constexpr size_t kMaxAuditValue = 4096;

std::string AuditText(const AuditEntry& entry);

}  // namespace zn::server
