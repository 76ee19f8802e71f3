// The log: one JSON object a line on standard error. Nothing secret goes into it: tokens in queries
// are cut out.
#pragma once

#include <spdlog/common.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "http/server.h"

namespace zn::server {

struct LogField {
  std::string_view name;
  std::string value;
  LogField(std::string_view field_name, std::string_view text) : name(field_name), value(text) {}
};

/// {"time": ..., "level": ..., "message": ..., fields...}
void LogLine(spdlog::level::level_enum level, std::string_view message,
             std::initializer_list<LogField> fields);

void LogAccess(const AccessRecord& record);

/// The target with the value of every `token` and `lock_token` parameter replaced by "...".
std::string Redact(std::string_view target);

}  // namespace zn::server
