#include "log.h"

#include <spdlog/spdlog.h>

#include <chrono>

#include "api/service.h"
#include "zn/formats/text_writer.h"

namespace zn::server {

void LogLine(spdlog::level::level_enum level, std::string_view message,
             std::initializer_list<LogField> fields) {
  if (!spdlog::should_log(level)) return;
  const int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  auto name = spdlog::level::to_string_view(level);
  std::string line = "{\"time\":\"" + TimeText(now) + "\",\"level\":\"" +
                     std::string(name.data(), name.size()) + "\",\"message\":";
  formats::AppendJsonString(message, line);
  for (const LogField& field : fields) {
    line += ',';
    formats::AppendJsonString(field.name, line);
    line += ':';
    formats::AppendJsonString(field.value, line);
  }
  line += '}';
  spdlog::log(level, "{}", line);
}

void LogAccess(const AccessRecord& record) {
  LogLine(spdlog::level::info, "request",
          {{"method", record.method},
           {"target", Redact(record.target)},
           {"status", std::to_string(record.status)}});
}

std::string Redact(std::string_view target) {
  size_t question = target.find('?');
  if (question == std::string_view::npos) return std::string(target);
  std::string out(target.substr(0, question + 1));
  std::string_view query = target.substr(question + 1);
  for (bool first = true; first || !query.empty(); first = false) {
    size_t ampersand = query.find('&');
    std::string_view item = query.substr(0, ampersand);
    query = ampersand == std::string_view::npos ? std::string_view() : query.substr(ampersand + 1);
    if (!first) out += '&';
    size_t equals = item.find('=');
    std::string_view name = item.substr(0, equals);
    // An encoded name could spell "token" in many ways: whatever holds a percent sign is cut, too.
    bool secret =
        name == "token" || name == "lock_token" || name.find('%') != std::string_view::npos;
    if (secret && equals != std::string_view::npos) {
      out += name;
      out += "=...";
    } else {
      out += item;
    }
  }
  return out;
}

}  // namespace zn::server
